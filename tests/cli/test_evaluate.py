"""What `evaluate` and `check` refuse before an evaluation of the test set counts."""

import shutil

import pytest

from command import refused
from dspkd.evaluation import isic2019_submission
from tiny_runs import recipe, trained


@pytest.fixture(scope="module")
def finished(lesions, tmp_path_factory):
    return trained(recipe(lesions), tmp_path_factory.mktemp("runs") / "plain")


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (["--focus", "MELL"], "--focus MELL: there is no class 'MELL'; did you mean 'MEL'"),
        (["--out", "FOLDER"], "a folder has the name of the file"),
        (["--isic-csv", "FOLDER"], "a folder has the name of the file"),
        (["--isic-csv", "new.csv"], "the challenge has no class NV"),
    ],
)
def test_a_wrong_option_is_refused_before_the_test_set_is_evaluated(finished, tmp_path, monkeypatch, option, message):
    if "new.csv" in option:
        known = tuple(name for name in isic2019_submission.CATEGORIES if name != "NV")
        monkeypatch.setattr(isic2019_submission, "CATEGORIES", known)
    before = (finished / "test_evaluations.jsonl").read_bytes()
    arguments = [str(tmp_path) if each == "FOLDER" else each for each in option]
    assert message in refused("evaluate", finished, *arguments)
    assert (finished / "test_evaluations.jsonl").read_bytes() == before


def test_check_says_of_the_folder_above_runs_that_it_is_none(finished):
    line = refused("check", finished.parent)
    assert "not a run folder" in line
    assert line.endswith("runs in it: plain")


def test_a_page_in_place_of_a_folder_names_the_folder_and_leaves_nothing(finished, tmp_path):
    out = tmp_path / "pages"
    out.mkdir()
    assert f"{out}: Is a directory" in refused("report", finished, "--out", out)
    assert list(tmp_path.iterdir()) == [out]


def test_a_copied_run_whose_images_are_not_here_says_from_where_to_use_it(lesions, tmp_path, monkeypatch):
    (tmp_path / "first").mkdir()
    shutil.copytree(lesions, tmp_path / "first" / "imgs")
    monkeypatch.chdir(tmp_path / "first")
    run = trained(recipe("imgs"), tmp_path / "run")
    monkeypatch.chdir(tmp_path)
    line = refused("evaluate", run)
    assert f"imgs: there is no such file or folder; it is data.path in the recipe of {run}" in line
    assert "relative to the folder in which training was started: use the run from that folder" in line
