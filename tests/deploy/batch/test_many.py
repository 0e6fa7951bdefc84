"""Many images: answered in order, whatever happens on the way."""

import os
import signal
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
from fake import CLASSES, COUNT, Grey, ask, image_of_one_interrupted, image_or_die, rows

from dspkd.deploy.batch import engines, predict
from dspkd.deploy.batch.output import PredictionBatch, ShardedOutput
from dspkd.errors import DataError, RunError


def test_every_image_has_a_row_in_order_and_one_that_cannot_be_read_its_reason(folder, tmp_path):
    told = []
    counted = ask(folder, tmp_path / "a.csv", told=told)
    assert counted == predict.BatchCounts(images=COUNT, unanswered=2, before=0)
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
    assert read[8]["error"] == "the network's answer is not finite"
    assert told == [("images", done, COUNT) for done in (0, 5, 10, 15, 20, 23)]
    assert sorted(path.name for path in tmp_path.iterdir() if path.suffix != ".lock") == ["a.csv"]


def test_loader_processes_change_nothing(folder, tmp_path):
    ask(folder, tmp_path / "here.csv")
    ask(folder, tmp_path / "there.csv", workers=2)
    assert (tmp_path / "here.csv").read_bytes() == (tmp_path / "there.csv").read_bytes()


def test_parquet_says_the_same_as_csv(folder, tmp_path):
    pq = pytest.importorskip("pyarrow.parquet", reason="needs the extra [parquet]")
    ask(folder, tmp_path / "a.csv")
    assert ask(folder, tmp_path / "a.parquet") == predict.BatchCounts(COUNT, 2, 0)
    table = pq.read_table(tmp_path / "a.parquet").to_pydict()
    assert list(table) == list(rows(tmp_path / "a.csv")[0])
    for number, row in enumerate(rows(tmp_path / "a.csv")):
        assert (table["image"][number], table["predicted"][number] or "") == (row["image"], row["predicted"])
        assert (table["error"][number] or "") == row["error"]
        if not row["error"]:
            assert table["probability_dark"][number] == pytest.approx(float(row["probability_dark"]), abs=1e-6)
    assert table["probability_dark"][5] is None


def test_a_table_that_names_an_image_twice_or_one_that_is_not_there_has_a_row_for_each(folder, tmp_path):
    (folder / "t.csv").write_text("file\n03.png\ngone.png\n03.png\n", encoding="utf-8")
    assert ask(folder / "t.csv", tmp_path / "a.csv", column="file").unanswered == 1
    read = rows(tmp_path / "a.csv")
    assert [row["image"] for row in read] == ["03.png", "gone.png", "03.png"]
    assert read[0] == read[2]
    assert "gone.png: not a readable image" in read[1]["error"]
    (folder / "t.csv").unlink()


class _StoppedError(Exception):
    pass


class StopsAt(Grey):
    """Answers about so many images, then is killed."""

    def __init__(self, limit):
        super().__init__()
        self.limit = limit

    def answer(self, images):
        if self.asked + len(images) > self.limit:
            raise _StoppedError
        return super().answer(images)


@pytest.mark.parametrize("limit", [0, 3, 5, 14, 21])
def test_stopped_anywhere_the_same_call_ends_with_the_same_file(folder, tmp_path, limit):
    ask(folder, tmp_path / "whole.csv")
    with pytest.raises(_StoppedError):
        ask(folder, tmp_path / "a.csv", StopsAt(limit))
    assert not (tmp_path / "a.csv").exists()
    again = Grey()
    counted = ask(folder, tmp_path / "a.csv", again)
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()
    assert counted.before % 5 == 0
    readable = COUNT - 1 - counted.before + (counted.before > 5)
    assert again.asked == readable  # nothing twice


def alive(process):
    try:
        os.kill(process, 0)
        return "\nState:\tZ" not in Path(f"/proc/{process}/status").read_text()
    except (ProcessLookupError, FileNotFoundError):
        return False


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="looks for processes in /proc: Linux")
def test_killed_outright_the_same_call_goes_on(folder, tmp_path):
    ask(folder, tmp_path / "whole.csv")
    script = f"""
import sys, time
sys.path[:0] = [{str(Path(__file__).parent)!r}]
from functools import partial
from pathlib import Path
from fake import Grey, image_and_sign
from dspkd.deploy.batch import engines, predict
from dspkd.deploy.batch.listing import ImageList
from dspkd.deploy.batch.output import ShardedOutput
class Slow(Grey):
    def answer(self, images):
        time.sleep(0.2)
        return super().answer(images)
if __name__ == "__main__":
    predict.CHUNK = 5
    engine = partial(engines.run_inline, asked=Slow(image_and_sign), root=Path({str(folder)!r}), workers=1)
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
        assert time.monotonic() < until, "a loader outlived the process that it worked for"
        time.sleep(0.02)
    assert not (tmp_path / "a.csv").exists()
    assert ask(folder, tmp_path / "a.csv").before >= 10
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()


def test_another_model_or_another_list_of_images_is_answered_anew(folder, tmp_path):
    with pytest.raises(_StoppedError):
        ask(folder, tmp_path / "a.csv", StopsAt(14))
    other = Grey()
    other.key = "another"
    assert ask(folder, tmp_path / "a.csv", other).before == 0
    with pytest.raises(_StoppedError):
        ask(folder, tmp_path / "b.csv", StopsAt(14))
    (folder / "t.csv").write_text("path\n" + "".join(f"{n:02}.png\n" for n in (0, 1, 2, 3, 4, 9)), encoding="utf-8")
    counted = ask(folder / "t.csv", tmp_path / "b.csv")
    assert (counted.images, counted.before) == (6, 5)  # the first chunk is the same
    assert [row["image"] for row in rows(tmp_path / "b.csv")][-1] == "09.png"
    (folder / "t.csv").unlink()


def test_killed_while_the_parts_were_being_deleted_it_is_made_again(folder, tmp_path):
    ask(folder, tmp_path / "a.csv")
    whole = (tmp_path / "a.csv").read_bytes()
    (tmp_path / "a.csv.parts").mkdir()
    ask(folder, tmp_path / "a.csv")
    assert (tmp_path / "a.csv").read_bytes() == whole


def test_a_loader_that_is_killed_costs_no_answers(folder, tmp_path):
    (folder / "deadly.png").write_bytes((folder / "01.png").read_bytes())
    try:
        with pytest.raises(RunError, match=r"a process that decodes images was killed.*the same command goes on"):
            ask(folder, tmp_path / "a.csv", Grey(image_or_die), workers=1)
    finally:
        (folder / "deadly.png").unlink()
    assert ask(folder, tmp_path / "a.csv").images == COUNT


def test_ctrl_c_is_left_to_the_process_that_was_started(folder, tmp_path):
    ask(folder, tmp_path / "whole.csv")
    ask(folder, tmp_path / "a.csv", Grey(image_of_one_interrupted), workers=1)
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()


def test_an_answer_of_which_a_part_is_not_finite_is_none(folder, tmp_path):
    class Half(Grey):
        def answer(self, images):
            said = super().answer(images)
            said[0, 1] = np.inf
            return said

    ask(folder, tmp_path / "a.csv", Half())
    first, second = rows(tmp_path / "a.csv")[:2]
    assert (first["probability_dark"], first["error"]) == ("", "the network's answer is not finite")
    assert (second["predicted"], second["error"]) == ("dark", "")


def test_what_cannot_be_begun_is_refused(folder, tmp_path):
    (tmp_path / "there.csv").touch()
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"there\.csv: is there already"):
        ask(folder, tmp_path / "there.csv")
    with pytest.raises(DataError, match=r"a\.txt: answers are written as \.csv or \.parquet"):
        ask(folder, tmp_path / "a.txt")
    with pytest.raises(DataError, match="empty: names no image"):
        ask(tmp_path / "empty", tmp_path / "a.csv")
    assert not (tmp_path / "a.csv.parts").exists()
    with pytest.raises(DataError, match="cannot be written"):
        ask(folder, tmp_path / "there.csv" / "a.csv")


def test_two_that_write_one_file_do_not_meet(folder, tmp_path):
    def engine(chunks):
        with pytest.raises(DataError, match="another process is writing it"):
            ask(folder, tmp_path / "a.csv")
        yield from engines.run_inline(chunks, asked=Grey(), root=folder, workers=0)

    assert ask(folder, tmp_path / "a.csv", engine=engine).images == COUNT


@pytest.mark.parametrize(("workers", "ahead"), [(0, 0), (3, 6)])
def test_no_more_is_decoded_ahead_than_is_needed(folder, monkeypatch, workers, ahead):
    submitted = []

    class Pool(engines._Here):
        def submit(self, *given, **settings):
            submitted.append(given[-1])
            return super().submit(*given, **settings)

    monkeypatch.setattr(engines, "_decoders", lambda _: nullcontext(Pool()))
    chunks = (("01.png",) * 5 for _ in range(1000))
    said = engines.run_inline(chunks, asked=Grey(), root=folder, workers=workers)
    next(said)
    assert ahead < len(submitted) <= ahead + 3  # a chunk is two batches


def test_answers_of_a_part_are_those_that_were_given(tmp_path):
    parts = ShardedOutput(tmp_path / "a.csv", ("x", "y"), "key")
    parts.folder.mkdir()
    names = ("a,b.png", 'c"d.png')
    parts.write(PredictionBatch(names, np.array([[0.25, 0.75], [np.nan, np.nan]]), ("", "two\nlines")))
    assert parts.join([names]) == (2, 1)
    first, second = rows(tmp_path / "a.csv")
    assert (first["image"], first["predicted"], first["probability_y"]) == ("a,b.png", "y", "0.75")
    assert (second["image"], second["error"]) == ('c"d.png', "two\nlines")


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_who_has_a_threshold_advises_below_it_and_not_at_it(tmp_path, suffix):
    parts = ShardedOutput(tmp_path / f"a.{suffix}", ("x", "y"), "key", refer_below=0.75)
    parts.folder.mkdir()
    names = ("sure.png", "not.png", "broken.png")
    nearly = 0.75 - 1e-9  # to six digits the threshold itself
    said = np.array([[0.25, 0.75], [nearly, 1 - nearly], [np.nan, np.nan]])
    parts.write(PredictionBatch(names, said, ("", "", "no image")))
    assert parts.join([names]) == (3, 1)
    if suffix == "csv":
        assert [row["refer"] for row in rows(parts.out)] == ["no", "yes", ""]
        assert list(rows(parts.out)[0])[:3] == ["image", "predicted", "refer"]
    else:
        table = pytest.importorskip("pyarrow.parquet").read_table(parts.out)
        assert table["refer"].to_pylist() == ["no", "yes", None]


def test_a_part_is_called_after_all_that_it_depends_on(tmp_path):
    def name(names=("ab", "c"), classes=("x", "y"), key="key", refer_below=None):
        return ShardedOutput(tmp_path / "a.csv", classes, key, refer_below).path(names).name

    others = [name(("a", "bc")), name(("ab",)), name(classes=("y", "x")), name(key="other"), name(refer_below=0.5)]
    assert name() == name()
    assert len({name(), *others}) == 6


def test_a_part_is_there_wholly_or_not_at_all(tmp_path, monkeypatch):
    parts = ShardedOutput(tmp_path / "a.csv", ("x", "y"), "key")
    parts.folder.mkdir()

    def killed(_):
        raise _StoppedError

    monkeypatch.setattr(os, "fsync", killed)
    with pytest.raises(_StoppedError):
        parts.write(PredictionBatch(("a.png",), np.array([[0.25, 0.75]]), ("",)))
    assert not parts.path(("a.png",)).exists()
