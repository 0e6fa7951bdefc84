import json
import re
import shutil

import numpy as np
import pytest

from dspkd import reports
from dspkd.evaluation.fidelity import agreement, tally
from dspkd.evaluation.predictions import Predictions
from dspkd.reports import comparison_markdown, comparison_results, fidelity_by_arm
from dspkd.reports.comparison import arms
from dspkd.runs import run_folder

CLASSES = ("NV", "MEL", "BCC")
NV, MEL, BCC = range(3)
LABELS = [MEL, MEL, MEL, NV, NV, BCC, NV]
TEACHER = [MEL, MEL, NV, NV, BCC, NV, MEL]
FIRST = [NV, MEL, NV, BCC, NV, MEL, MEL]  # forgot i0 (MEL) and i3 (NV), copied i2 and i6, corrected i4
SECOND = [NV, NV, NV, BCC, NV, MEL, MEL]  # forgot i1 (MEL), too


def save_predictions(folder, predicted, file="test"):
    ids = tuple(f"i{n}" for n in range(len(LABELS)))
    logits = 2 * np.eye(3, dtype=np.float32)[predicted]
    Predictions(CLASSES, ids, ids, np.array(LABELS), logits).save(folder / f"predictions/{file}.csv")
    return folder


@pytest.fixture
def worked(fabricated):
    """Two seeds of a distilled student and a plain one, whose teacher has its predictions in its own folder."""
    small = {"classes": CLASSES, "images": (5, 5, 5), "short": True}
    teacher = save_predictions(fabricated("teacher", name="teacher", teacher=None, **small), TEACHER)
    distilled = [
        save_predictions(fabricated(f"distilled{seed}", name="distilled", seed=seed, **small), predicted)
        for seed, predicted in enumerate((FIRST, SECOND))
    ]
    for folder in distilled:
        text = (folder / "recipe.toml").read_text()
        (folder / "recipe.toml").write_text(text.replace("runs/teacher", str(teacher)))
    plain = save_predictions(fabricated("plain", name="plain", teacher=None, **small), [NV] * 7)
    for folder in (plain, teacher):
        text = (folder / "recipe.toml").read_text()
        (folder / "recipe.toml").write_text(text.replace('teacher = "runs/teacher"\n', ""))
    return [*distilled, plain], teacher


def by_name(folders):
    return fidelity_by_arm.of_arms(arms([run_folder.read(folder) for folder in folders]))


def test_numbers_worked_by_hand_as_data_and_as_a_table(worked):
    folders, _ = worked
    results = comparison_results.tabulate("", folders, [], controls=("plain",), failed={}, unequal=[])
    (data,) = json.loads(comparison_results.as_json([results]))
    by_arm = {arm["name"]: arm["fidelity"] for arm in data["arms"]}
    distilled = by_arm["distilled"]
    assert distilled["has_teacher"] is True
    assert distilled["forgets"] == {"mean": pytest.approx(5 / 6), "sd": pytest.approx(1 / 3 / 2**0.5)}
    assert distilled["melanoma_forgets"] == {"mean": pytest.approx(3 / 4), "sd": pytest.approx(1 / 2 / 2**0.5)}
    assert distilled["copies"] == {"mean": 2 / 4, "sd": 0}
    assert distilled["corrects"] == {"mean": 1 / 4, "sd": 0}
    assert distilled["agreement"]["mean"] == pytest.approx((3 / 7 + 2 / 7) / 2)
    p, q = np.exp(2) / (np.exp(2) + 2), 1 / (np.exp(2) + 2)
    assert distilled["kl"]["mean"] == pytest.approx((4 / 7 + 5 / 7) / 2 * 2 * (p - q), rel=1e-6)
    one = {
        "folder": str(folders[0]), "teacher_right": 3, "forgotten": 2, "teacher_wrong": 4, "copied": 2, "corrected": 1,
        "melanoma_teacher_right": 2, "melanoma_forgotten": 1, "forgets": 2 / 3, "melanoma_forgets": 1 / 2,
        "copies": 1 / 2,
        "corrects": 1 / 4, "agreement": pytest.approx(3 / 7), "kl": pytest.approx(4 / 7 * 2 * (p - q), rel=1e-6),
    }  # fmt: skip
    assert distilled["runs"][0] == one
    assert [run["forgotten"] for run in distilled["runs"]] == [2, 3]
    assert [run["melanoma_forgotten"] for run in distilled["runs"]] == [1, 2]
    plain = by_arm["plain"]  # predicts NV for all: of i0, i1, i3 it keeps i3; of i2, i4, i5, i6 it copies i2 and i5
    assert (plain["has_teacher"], plain["forgets"]) == (False, {"mean": pytest.approx(2 / 3), "sd": None})
    assert (plain["copies"]["mean"], plain["corrects"]["mean"]) == (1 / 2, 1 / 2)
    text = comparison_markdown.markdown([results])
    row = "0.833 ± 0.236 | 0.750 ± 0.354 | 0.500 ± 0.000 | 0.250 ± 0.000 | 0.357 ± 0.101"
    assert f"| distilled | yes | {row} | " in text
    assert "| plain | no | 0.667 | 1.000 | 0.500 | 0.500 | " in text
    assert fidelity_by_arm.CAPTION in text


def test_without_a_melanoma_there_is_a_dash(worked, fabricated):
    small = {"classes": ("NV", "DF"), "images": (20, 20), "short": True}
    run = fabricated("run", **small)
    Predictions.load(run / "predictions/val.csv").save(run / "predictions/teacher-val.csv")
    test = Predictions.load(run / "predictions/test.csv")
    flipped = Predictions(test.classes, test.ids, test.groups, test.labels, -test.logits)
    flipped.save(run / "predictions/teacher-test.csv")
    results = comparison_results.tabulate("", [run], [], controls=(), failed={}, unequal=[])
    assert results.arms[0].fidelity.melanoma_forgets is None
    assert results.arms[0].fidelity.runs[0].melanoma_teacher_right is None
    assert "| yes | 1.000 | \N{EN DASH} | 0.000 | 1.000 | 0.000 | " in comparison_markdown.markdown([results])


def test_the_runs_own_copy_comes_before_the_teachers_folder(worked):
    folders, _ = worked
    before = by_name(folders[:1])["distilled"]
    assert before.forgets.mean == pytest.approx(2 / 3)
    save_predictions(folders[0], [MEL, NV, NV, NV, NV, BCC, NV], "teacher-test")  # right on i0, i3, i4, i5, i6
    assert by_name(folders[:1])["distilled"].runs[0].teacher_right == 5


@pytest.mark.parametrize("how", ["size", "artefacts", "images", "several", "gone", "broken"])
def test_a_teacher_tested_on_other_images_is_not_compared(worked, how):
    folders, teacher = worked
    recipe = folders[0] / "recipe.toml"
    text = recipe.read_text()
    if how == "size":
        recipe.write_text(text + "[images]\nsize = 64\n")
    elif how == "artefacts":
        recipe.write_text(text + '[images]\nartefacts = ["hair"]\n')
    elif how == "several":
        shutil.copytree(teacher, f"{teacher}2")
        recipe.write_text(text.replace(f'"{teacher}"', f'["{teacher}", "{teacher}2"]'))
    elif how == "images":
        text = (teacher / "predictions/test.csv").read_text()
        (teacher / "predictions/test.csv").write_text(text.replace("i0,", "another,"))
    else:
        (teacher / "predictions/test.csv").unlink() if how == "gone" else (teacher / "recipe.toml").unlink()
    assert by_name([folders[0], folders[2]]) == {}


def test_arms_are_compared_with_their_teacher_and_a_plain_one_with_the_common_one(runs, page, tmp_path):
    ranked = arms([run_folder.read(run) for run in runs[:3]])
    got = fidelity_by_arm.of_arms(ranked)
    teacher = Predictions.load(runs[3] / "predictions/test.csv")
    totals = [tally(agreement(Predictions.load(run / "predictions/test.csv"), teacher)) for run in runs[:3]]
    assert got["distilled"].forgets.mean == pytest.approx((totals[0].forgets + totals[1].forgets) / 2)
    assert got["distilled"].kl.sd == pytest.approx(abs(totals[0].kl - totals[1].kl) / np.sqrt(2))
    assert got["plain"].copies.mean == pytest.approx(totals[2].copies)
    assert got["plain"].corrects.sd is None
    itself = fidelity_by_arm.of_arms(arms([run_folder.read(run) for run in runs]))
    assert set(itself) == {"distilled", "plain"}  # not the teacher, which agrees with itself
    words = page(reports.compare(runs[:3], tmp_path / "compare.html")).words
    assert re.search(rf"plain no teacher {got['plain'].forgets.mean:.3f} ", words)
    assert "Teacher-student agreement" in words
    alone = page(reports.compare(runs[2:], tmp_path / "plain.html")).words
    assert "Teacher-student agreement" not in alone


def test_where_teachers_differ_a_plain_arm_is_not_compared(runs, tmp_path):
    read = [run_folder.read(run) for run in runs[:3]]
    other = runs[1] / "predictions/teacher-test.csv"
    kept = other.read_text()
    other.write_text((runs[2] / "predictions/test.csv").read_text())
    try:
        assert set(fidelity_by_arm.of_arms(arms(read))) == {"distilled"}
        other.unlink()
        assert fidelity_by_arm.of_arms(arms(read)).keys() == {"plain"}
    finally:
        other.write_text(kept)
