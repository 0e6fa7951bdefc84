"""`dspkd predict --out` for a run."""

import csv
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from command import call, refused
from dspkd.deploy.batch.output import ShardedOutput
from dspkd.experiments import single_run

TEACHER = """name = "teacher"
data = { path = "LESIONS" }
model = { name = "tiny_wide" }
images = { size = 32 }
train = { batch_size = 32 }
stages = [{ name = "labels", epochs = 1, lr = 3e-3, terms = [{ method = "labels" }] }]
"""


@pytest.fixture(scope="module")
def student(lesions, tmp_path_factory):
    """The folder of a finished run."""
    folder = tmp_path_factory.mktemp("batch")
    (folder / "r.toml").write_text(TEACHER.replace("LESIONS", str(lesions)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(single_run.reports, "write", lambda out: out / "report.html")
        call("train", folder / "r.toml", "--out", folder / "run")
    return folder / "run"


def rows(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def probabilities(row):
    return {name.removeprefix("probability_"): float(p) for name, p in row.items() if name.startswith("probability_")}


def test_a_folder_is_predicted_as_its_images_one_by_one(student, lesions, tmp_path):
    images = sorted((lesions / "ISIC_2019_Training_Input").iterdir())
    out, _ = call("predict", student, "--many", images[0].parent, "--out", tmp_path / "a.csv", "--workers", 1)
    assert out == f"{tmp_path / 'a.csv'}: 220 images; no diagnosis\n"
    read = rows(tmp_path / "a.csv")
    assert [row["image"] for row in read] == [path.name for path in images]
    one_by_one, _ = call("predict", student, *images[:20], "--json")
    for line, row in zip(one_by_one.splitlines(), read[:20], strict=True):
        expected = json.loads(line)["probabilities"]
        np.testing.assert_allclose(list(probabilities(row).values()), list(expected.values()), atol=2e-6)
        assert row["predicted"] == max(expected, key=expected.get)


def test_resuming_with_another_folder_of_the_same_names_predicts_its_images(student, lesions, tmp_path, monkeypatch):
    images = sorted((lesions / "ISIC_2019_Training_Input").iterdir())
    for folder, image in zip("ab", images, strict=False):
        (tmp_path / folder).mkdir()
        shutil.copy(image, tmp_path / folder / "IMG_0001.jpg")
    options = ("--out", tmp_path / "out.csv", "--workers", 0)

    def stopped(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(ShardedOutput, "join", stopped)
        call("predict", student, "--many", tmp_path / "a", *options, code=130)
    out, _ = call("predict", student, "--many", tmp_path / "b", *options)
    assert "1 images; no diagnosis" in out
    alone, _ = call("predict", student, images[1], "--json")
    expected = list(json.loads(alone)["probabilities"].values())
    (row,) = rows(tmp_path / "out.csv")
    np.testing.assert_allclose(list(probabilities(row).values()), expected, atol=2e-6)


def test_the_block_of_the_guide_runs_and_does_not_take_one_folder_for_another(
    student, lesions, tmp_path, monkeypatch, capsys
):
    page = (Path(__file__).resolve().parents[2] / "docs/how-to/predict-many.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    images = sorted((lesions / "ISIC_2019_Training_Input").iterdir())
    for folder, image in zip(("my_images", "other"), images, strict=False):
        (tmp_path / folder).mkdir()
        shutil.copy(image, tmp_path / folder / "IMG_0001.jpg")
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs/dsp_kd").symlink_to(student)
    monkeypatch.chdir(tmp_path)

    def stopped(*_):
        raise KeyboardInterrupt

    block = block.replace("workers=1", "workers=0")
    with monkeypatch.context() as patch:
        patch.setattr(ShardedOutput, "join", stopped)
        with pytest.raises(KeyboardInterrupt):
            exec(block.replace("my_images", "other"), {})
    exec(block, {})
    assert "BatchCounts(images=1, failed=0, before=0)" in capsys.readouterr().out
    alone, _ = call("predict", student, images[0], "--json")
    expected = list(json.loads(alone)["probabilities"].values())
    (row,) = rows(tmp_path / "predictions.csv")
    np.testing.assert_allclose(list(probabilities(row).values()), expected, atol=2e-6)


def test_unreadable_images_are_counted_in_a_warning(student, lesions, tmp_path):
    image = next((lesions / "ISIC_2019_Training_Input").iterdir())
    (tmp_path / "t.csv").write_text(f"file\n{image}\ngone.jpg\n")
    options = ("--many", tmp_path / "t.csv", "--column", "file", "--out", tmp_path / "a.csv", "--workers", 0)
    out, err = call("predict", student, *options)
    assert "2 images; no diagnosis" in out
    assert "\nwarning: no prediction for 1 of them" in err
    error = rows(tmp_path / "a.csv")[1]["error"]
    assert error.startswith(f"{tmp_path / 'gone.jpg'}: not a readable image: [Errno 2] No such file or directory")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--many", "."), "--many writes a file; name it: --out predictions.csv"),
        (("a.jpg", "--many", ".", "--out", "a.csv"), "name image files, or --many"),
        ((), "name image files, or --many"),
        (("a.jpg", "--column", "file", "--out", "a.csv"), "--column goes with --many"),
        (("a.jpg", "--workers", "0"), "--workers goes with --out"),
        (("--many", ".", "--json", "--out", "a.csv"), "--json does not go with --out"),
        (("a.jpg", "--isic-csv", "b.csv", "--out", "a.csv"), "--isic-csv does not go with --out"),
        (("--many", ".", "--out", "a.csv", "--workers", "2", "--ray", "local"), "--workers and --ray: give one"),
        (("--many", ".", "--out", "a.csv", "--precision", "int8"), "--precision is for bundles"),
        (("--many", "gone", "--out", "a.csv"), "gone: there is no such file or folder"),
    ],
)
def test_options_that_do_not_go_together_are_refused(student, arguments, message):
    assert message in refused("predict", student, *arguments)
