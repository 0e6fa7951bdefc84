"""`dspkd predict --many` for a run and for a bundle."""

import csv
import json

import numpy as np
import pytest

from command import call, refused
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
    made = tmp_path_factory.mktemp("many")
    (made / "r.toml").write_text(TEACHER.replace("LESIONS", str(lesions)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(single_run.reports, "write", lambda out: out / "report.html")
        call("train", made / "r.toml", "--out", made / "run")
    return made / "run"


def rows(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def probabilities(row):
    return {name.removeprefix("probability_"): float(p) for name, p in row.items() if name.startswith("probability_")}


def test_a_folder_is_answered_as_its_images_are_one_by_one(student, lesions, tmp_path):
    images = sorted((lesions / "ISIC_2019_Training_Input").iterdir())
    out, _ = call("predict", student, "--many", images[0].parent, "--out", tmp_path / "a.csv", "--workers", 1)
    assert out == f"{tmp_path / 'a.csv'}: 220 images; no diagnosis\n"
    read = rows(tmp_path / "a.csv")
    assert [row["image"] for row in read] == [path.name for path in images]
    one_by_one, _ = call("predict", student, *images[:20], "--json")
    for line, row in zip(one_by_one.splitlines(), read[:20], strict=True):
        said = json.loads(line)["probabilities"]
        np.testing.assert_allclose(list(probabilities(row).values()), list(said.values()), atol=2e-6)
        assert row["predicted"] == max(said, key=said.get)


def test_images_that_cannot_be_read_are_told_of_at_the_end(student, lesions, tmp_path):
    image = next((lesions / "ISIC_2019_Training_Input").iterdir())
    (tmp_path / "t.csv").write_text(f"file\n{image}\ngone.jpg\n")
    asked = ("--many", tmp_path / "t.csv", "--column", "file", "--out", tmp_path / "a.csv", "--workers", 0)
    out, err = call("predict", student, *asked)
    assert "2 images; no diagnosis" in out
    assert err == "warning: no answer for 1 of them; the column 'error' says why\n"
    error = rows(tmp_path / "a.csv")[1]["error"]
    assert error.startswith(f"{tmp_path / 'gone.jpg'}: not a readable image: [Errno 2] No such file or directory")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--many", "."), "name it: --out answers.csv, or answers.parquet"),
        (("a.jpg", "--many", ".", "--out", "a.csv"), "name image files, or --many"),
        ((), "name image files, or --many"),
        (("a.jpg", "--out", "a.csv"), "--out goes with --many"),
        (("a.jpg", "--workers", "0"), "--workers goes with --many"),
        (("--many", ".", "--json", "--out", "a.csv"), "--json is for image files"),
        (("--many", ".", "--out", "a.csv", "--workers", "2", "--ray", "local"), "--workers and --ray: give one"),
        (("--many", ".", "--out", "a.csv", "--precision", "int8"), "--precision is for bundles"),
        (("--many", "gone", "--out", "a.csv"), "gone: there is no such file or folder"),
    ],
)
def test_options_that_do_not_go_together_are_refused(student, arguments, message):
    assert message in refused("predict", student, *arguments)
