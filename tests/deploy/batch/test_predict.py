"""Batch prediction: one row for each image, in order, whatever is interrupted."""

import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
from fake import CLASSES, COUNT, Grey, image_after_ctrl_c, image_or_die, predict, rows
from PIL import Image

from dspkd.deploy.batch import engines
from dspkd.deploy.batch.bundle_model import BundleClassifier
from dspkd.deploy.batch.output import PredictionBatch, ShardedOutput
from dspkd.deploy.batch.predict import BatchCounts
from dspkd.errors import DataError, RunError


def test_every_image_has_a_row_and_an_unreadable_one_its_error(folder, tmp_path):
    steps = []
    counts = predict(folder, tmp_path / "a.csv", steps=steps)
    assert counts == BatchCounts(images=COUNT, failed=2, before=0)
    read = rows(tmp_path / "a.csv")
    assert list(read[0]) == ["image", "predicted", "probability_dark", "probability_light", "error"]
    assert [row["image"] for row in read] == [f"{number:02}.png" for number in range(COUNT)]
    for number, row in enumerate(read):
        if number in (5, 8):
            assert (row["predicted"], row["probability_dark"]) == ("", "")
        else:
            light = (10 * number or 5) / 255
            assert float(row["probability_light"]) == pytest.approx(light, abs=1e-6)
            assert row["predicted"] == CLASSES[light > 0.5]
            assert row["error"] == ""
    assert "05.png: not a readable image" in read[5]["error"]
    assert read[8]["error"] == "the network's output is not finite"
    assert steps == [("images", done, COUNT) for done in (0, 5, 10, 15, 20, 23)]
    assert sorted(path.name for path in tmp_path.iterdir() if path.suffix != ".lock") == ["a.csv"]


def test_loader_processes_change_nothing(folder, tmp_path):
    predict(folder, tmp_path / "here.csv")
    predict(folder, tmp_path / "there.csv", workers=2)
    assert (tmp_path / "here.csv").read_bytes() == (tmp_path / "there.csv").read_bytes()


def test_parquet_has_the_same_rows_as_csv(folder, tmp_path):
    pq = pytest.importorskip("pyarrow.parquet", reason="needs the extra [parquet]")
    predict(folder, tmp_path / "a.csv")
    assert predict(folder, tmp_path / "a.parquet") == BatchCounts(COUNT, 2, 0)
    table = pq.read_table(tmp_path / "a.parquet").to_pydict()
    assert list(table) == list(rows(tmp_path / "a.csv")[0])
    for number, row in enumerate(rows(tmp_path / "a.csv")):
        assert (table["image"][number], table["predicted"][number] or "") == (row["image"], row["predicted"])
        assert (table["error"][number] or "") == row["error"]
        if not row["error"]:
            assert table["probability_dark"][number] == pytest.approx(float(row["probability_dark"]), abs=1e-6)
    assert table["probability_dark"][5] is None


def test_an_image_named_twice_or_missing_has_a_row_each_time(folder, tmp_path):
    (folder / "t.csv").write_text("file\n03.png\ngone.png\n03.png\n", encoding="utf-8")
    assert predict(folder / "t.csv", tmp_path / "a.csv", column="file").failed == 1
    read = rows(tmp_path / "a.csv")
    assert [row["image"] for row in read] == ["03.png", "gone.png", "03.png"]
    assert read[0] == read[2]
    assert "gone.png: not a readable image" in read[1]["error"]
    (folder / "t.csv").unlink()


class _StoppedError(Exception):
    pass


class StopsAt(Grey):
    """Predicts so many images, then is killed."""

    def __init__(self, limit):
        super().__init__()
        self.limit = limit

    def answer(self, images):
        if self.predicted + len(images) > self.limit:
            raise _StoppedError
        return super().answer(images)


@pytest.mark.parametrize("limit", [0, 3, 5, 14, 21])
def test_after_an_interruption_the_same_call_ends_with_the_same_file(folder, tmp_path, limit):
    predict(folder, tmp_path / "whole.csv")
    with pytest.raises(_StoppedError):
        predict(folder, tmp_path / "a.csv", StopsAt(limit))
    assert not (tmp_path / "a.csv").exists()
    again = Grey()
    counts = predict(folder, tmp_path / "a.csv", again)
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()
    assert counts.before % 5 == 0
    readable = COUNT - 1 - counts.before + (counts.before > 5)
    assert again.predicted == readable  # nothing twice


def alive(process):
    try:
        os.kill(process, 0)
        return "\nState:\tZ" not in Path(f"/proc/{process}/status").read_text()
    except (ProcessLookupError, FileNotFoundError):
        return False


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="looks for processes in /proc: Linux")
def test_after_a_kill_the_same_call_resumes(folder, tmp_path):
    predict(folder, tmp_path / "whole.csv")
    script = f"""
import sys, time
sys.path[:0] = [{str(Path(__file__).parent)!r}]
from functools import partial
from pathlib import Path
from fake import Grey, image_and_process_id
from dspkd.deploy.batch import engines, predict
from dspkd.deploy.batch.listing import ImageList
from dspkd.deploy.batch.output import ShardedOutput
class Slow(Grey):
    def answer(self, images):
        time.sleep(0.2)
        return super().answer(images)
if __name__ == "__main__":
    predict.CHUNK = 5
    engine = partial(engines.run_inline, classifier=Slow(image_and_process_id), root=Path({str(folder)!r}), workers=1)
    predict.predict(ImageList(Path({str(folder)!r})), ShardedOutput(Path("a.csv"), Grey.classes, Grey.key), engine)
"""
    (tmp_path / "slow.py").write_text(script)
    process = subprocess.Popen([sys.executable, "slow.py"], cwd=tmp_path)
    until = time.monotonic() + 200
    while len(list((tmp_path / "a.csv.parts").glob("*.csv"))) < 2:
        assert process.poll() is None
        assert time.monotonic() < until
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    (loader,) = (int(path.stem) for path in tmp_path.glob("*.loader"))
    while alive(loader):
        assert time.monotonic() < until, "a loader outlived its parent process"
        time.sleep(0.02)
    assert not (tmp_path / "a.csv").exists()
    assert predict(folder, tmp_path / "a.csv").before >= 10
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()


@pytest.fixture
def own(folder, tmp_path):
    """Return a copy of the folder, whose images a test may replace."""
    return Path(shutil.copytree(folder, tmp_path / "own"))


def test_an_image_that_was_replaced_under_its_name_is_predicted_again(own, tmp_path):
    with pytest.raises(_StoppedError):
        predict(own, tmp_path / "a.csv", StopsAt(14))
    kept = len(list((tmp_path / "a.csv.parts").glob("*.csv")))
    Image.new("RGB", (9, 8), (250,) * 3).save(own / "01.png")
    assert predict(own, tmp_path / "a.csv").before == 5 * (kept - 1)
    predict(own, tmp_path / "whole.csv")
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()


def test_an_image_that_is_replaced_meanwhile_stops_nothing(own, tmp_path):
    class Replaces(Grey):
        def answer(self, images):
            Image.new("RGB", (9, 8), (250,) * 3).save(own / "01.png")
            return super().answer(images)

    assert predict(own, tmp_path / "a.csv", Replaces()).images == COUNT


def test_another_model_or_list_of_images_is_predicted_again(folder, tmp_path):
    with pytest.raises(_StoppedError):
        predict(folder, tmp_path / "a.csv", StopsAt(14))
    other = Grey()
    other.key = "another"
    assert predict(folder, tmp_path / "a.csv", other).before == 0
    with pytest.raises(_StoppedError):
        predict(folder, tmp_path / "b.csv", StopsAt(14))
    (folder / "t.csv").write_text("path\n" + "".join(f"{n:02}.png\n" for n in (0, 1, 2, 3, 4, 9)), encoding="utf-8")
    counts = predict(folder / "t.csv", tmp_path / "b.csv")
    assert (counts.images, counts.before) == (6, 5)  # the first chunk is the same
    assert [row["image"] for row in rows(tmp_path / "b.csv")][-1] == "09.png"
    (folder / "t.csv").unlink()


def test_after_a_kill_while_shards_are_deleted_the_file_is_written_again(folder, tmp_path):
    predict(folder, tmp_path / "a.csv")
    whole = (tmp_path / "a.csv").read_bytes()
    (tmp_path / "a.csv.parts").mkdir()
    predict(folder, tmp_path / "a.csv")
    assert (tmp_path / "a.csv").read_bytes() == whole


def test_a_killed_loader_costs_no_finished_predictions(folder, tmp_path):
    (folder / "deadly.png").write_bytes((folder / "01.png").read_bytes())
    try:
        with pytest.raises(
            RunError, match=r"a process that decodes images was killed.*the same command resumes; --workers 0"
        ):
            predict(folder, tmp_path / "a.csv", Grey(image_or_die), workers=1)
    finally:
        (folder / "deadly.png").unlink()
    assert predict(folder, tmp_path / "a.csv").images == COUNT


def test_loaders_ignore_ctrl_c(folder, tmp_path):
    predict(folder, tmp_path / "whole.csv")
    predict(folder, tmp_path / "a.csv", Grey(image_after_ctrl_c), workers=1)
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()


def test_probabilities_that_are_not_all_finite_are_an_error(folder, tmp_path):
    class Half(Grey):
        def answer(self, images):
            probabilities = super().answer(images)
            probabilities[0, 1] = np.inf
            return probabilities

    predict(folder, tmp_path / "a.csv", Half())
    first, second = rows(tmp_path / "a.csv")[:2]
    assert (first["probability_dark"], first["error"]) == ("", "the network's output is not finite")
    assert (second["predicted"], second["error"]) == ("dark", "")


def test_an_output_that_cannot_be_written_is_refused(folder, tmp_path):
    (tmp_path / "there.csv").touch()
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"there\.csv: exists already"):
        predict(folder, tmp_path / "there.csv")
    with pytest.raises(DataError, match=r"a\.txt: .*\.csv or \.parquet"):
        predict(folder, tmp_path / "a.txt")
    with pytest.raises(DataError, match="empty: names no image"):
        predict(tmp_path / "empty", tmp_path / "a.csv")
    assert not (tmp_path / "a.csv.parts").exists()
    with pytest.raises(DataError, match="cannot be written"):
        predict(folder, tmp_path / "there.csv" / "a.csv")


def test_two_processes_cannot_write_one_file(folder, tmp_path):
    def engine(chunks):
        with pytest.raises(DataError, match="another process is writing it"):
            predict(folder, tmp_path / "a.csv")
        yield from engines.run_inline(chunks, classifier=Grey(), root=folder, workers=0)

    assert predict(folder, tmp_path / "a.csv", engine=engine).images == COUNT


@pytest.mark.parametrize(("workers", "ahead"), [(0, 0), (3, 6)])
def test_decoding_ahead_is_bounded(folder, monkeypatch, workers, ahead):
    submitted = []

    class Pool(engines._InlineExecutor):
        def submit(self, *args, **kwargs):
            submitted.append(args[-1])
            return super().submit(*args, **kwargs)

    monkeypatch.setattr(engines, "_decoders", lambda _: nullcontext(Pool()))
    chunks = (("01.png",) * 5 for _ in range(1000))
    batches = engines.run_inline(chunks, classifier=Grey(), root=folder, workers=workers)
    next(batches)
    assert ahead < len(submitted) <= ahead + 3  # a chunk is two batches


def test_an_image_without_finite_logits_stops_no_other(bundle):
    classifier = BundleClassifier(bundle)
    side = classifier._predictor.bundle.spec.preprocessing.size
    pixels = np.random.default_rng(0).random((3, 3, side, side), dtype=np.float32)
    alone = classifier.answer(pixels[2:])
    pixels[1] = np.nan
    got = classifier.answer(pixels)
    assert np.isfinite(got).all(axis=1).tolist() == [True, False, True]
    np.testing.assert_array_equal(got[2:], alone)


def test_a_shard_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    output = ShardedOutput(tmp_path / "a.csv", ("x", "y"), "key")
    output.folder.mkdir()

    def killed(_):
        raise _StoppedError

    monkeypatch.setattr(os, "fsync", killed)
    with pytest.raises(_StoppedError):
        output.write(PredictionBatch(("a.png",), np.array([[0.25, 0.75]]), ("",)))
    assert not output.path(("a.png",)).exists()
