import json
from dataclasses import replace

import numpy as np
import pytest

from altered import altered
from dspkd import reports
from dspkd.errors import DataError
from dspkd.evaluation.predictions import Predictions
from dspkd.reports import html, subgroups, teacher_predictions, wording
from dspkd.reports.comparison import arms
from dspkd.runs import run_folder

CLASSES, IMAGES = ("MEL", "NV", "DF"), (90, 240, 30)


def with_attributes(run):
    """Write attributes.csv: every third image of a man, and of half the body site."""
    test = Predictions.load(run / "predictions/test.csv")
    rows = [f"{name},{'male' if n % 3 == 0 else 'female'},{'' if n % 2 else 'arm'}" for n, name in enumerate(test.ids)]
    (run / "attributes.csv").write_text("\n".join(["id,sex,body site", *rows]) + "\n")
    return run


def worse_for_men(run, men=40):
    """Make the first so many right predictions for men wrong."""
    path = run / "predictions/test.csv"
    test = Predictions.load(path)
    mine = [n for n in range(0, len(test), 3) if test.predicted[n] == test.labels[n]][:men]
    logits = test.logits.copy()
    logits[mine] = -logits[mine]
    replace(test, logits=logits).save(path)
    return run


@pytest.fixture(scope="module")
def student(fabricated, tmp_path_factory):
    """A student that is worse for men, and its teacher, which is not."""
    teacher = with_attributes(fabricated(short=True, classes=CLASSES, images=IMAGES, place="teacher"))
    alone = (teacher / "recipe.toml").read_text().replace('teacher = "runs/teacher"', "")
    (teacher / "recipe.toml").write_text(alone)
    run = worse_for_men(with_attributes(fabricated(short=True, classes=CLASSES, images=IMAGES)))
    recipe = (run / "recipe.toml").read_text().replace("runs/teacher", str(teacher))
    (run / "recipe.toml").write_text(recipe)
    return run


def test_the_page_has_the_gap_and_its_change_from_the_teacher(student, page):
    reports.write(student)
    words = page(student / "report.html").words
    report = subgroups.of_run(run_folder.read(student))
    assert (report.focus, report.has_teacher) == ("MEL", True)
    (men,) = [group for group in report.sections[0].groups if group.name == "male"]
    assert men.gaps["accuracy"].p < 0.05
    assert (
        f"sex: male against female, accuracy: {wording.points(men.gaps['accuracy'].own.value)} percentage points"
        in words
    )
    assert "from teacher to student, lost" in words
    assert "fewer than 10 lesions" in words
    assert "Sensitivity to MEL" in words


def test_missing_values_are_counted_and_an_attribute_with_one_value_is_left_out(student):
    report = subgroups.of_run(run_folder.read(student))
    assert [(section.attribute, section.reference, section.unknown) for section in report.sections] == [
        ("sex", "female", 0)
    ]


def test_a_run_without_attributes_is_reported_as_such(whole, page):
    assert run_folder.read(whole).attributes is None
    assert subgroups.of_run(run_folder.read(whole)).sections is None
    assert "this run did not keep sex, age" in page(whole / "report.html").words


def test_the_teachers_predictions_are_matched_by_id_and_averaged(student):
    run = run_folder.read(student)
    (folder,) = run.teachers
    own = Predictions.load(folder / "predictions/test.csv")
    assert np.array_equal(teacher_predictions.load(run).predicted, own.predicted)
    rotated = own.take(np.arange(len(own))[::-1])
    rotated.save(folder / "predictions/test.csv")
    np.testing.assert_allclose(teacher_predictions.load(run).probabilities, own.probabilities, atol=1e-6)
    both = altered(run, teachers=(folder, student))
    mean = (own.probabilities + run.predictions("test").probabilities) / 2
    np.testing.assert_allclose(teacher_predictions.load(both).probabilities, mean, atol=1e-6)
    own.save(folder / "predictions/test.csv")


def test_a_teacher_that_is_gone_or_was_tested_on_other_images_has_no_predictions(student):
    run = run_folder.read(student)
    (folder,) = run.teachers
    assert teacher_predictions.load(altered(run, teachers=(folder.with_name("nowhere"),))) is None
    assert teacher_predictions.load(altered(run, teachers=())) is None
    thirty = run.predictions("test").take(np.arange(30))
    few = altered(run, test=thirty)
    assert len(teacher_predictions.load(few)) == 30
    other = altered(few, test=replace(thirty, labels=(thirty.labels + 1) % 3))
    assert teacher_predictions.load(other) is None


def test_the_class_of_sensitivity_may_be_chosen(student):
    run = run_folder.read(student)
    assert subgroups.of_runs([run.predictions("test")], run.attributes, focus="DF").focus == "DF"
    with pytest.raises(DataError, match=r"no class 'DV'; known: MEL, NV, DF"):
        subgroups.of_runs([run.predictions("test")], run.attributes, focus="DV")


def test_a_comparison_has_a_gap_for_each_arm(student, fabricated, page, tmp_path):
    other = with_attributes(fabricated(short=True, classes=CLASSES, images=IMAGES, name="plain", place="plain"))
    out = reports.compare([student, other], tmp_path / "both.html")
    words = page(out).words
    assert "sex: male against female" in words
    ranked = arms([run_folder.read(student), run_folder.read(other)])
    attributes = run_folder.read(other).attributes
    rows = subgroups.rows([subgroups.of_arm(each, attributes) for each in ranked])
    assert [(attribute, name) for attribute, _, name, _ in rows] == [("sex", "male")]
    gaps = dict(zip([each.name for each in ranked], rows[0][3], strict=True))
    assert gaps["plain"].own.value > gaps["dspkd-shufflenet"].own.value
    assert gaps["plain"].change is None  # its teacher is nowhere
    assert gaps["dspkd-shufflenet"].change.value < 0


def test_the_numbers_are_in_json_too(student):
    from dspkd.reports import comparison_results

    report = comparison_results.tabulate("", [student], [], controls=(), failed={}, unequal=[])
    (plain,) = json.loads(comparison_results.as_json([report]))
    assert plain["arms"][0]["runs"][0]["test_evaluations"] == 0
    assert plain["arms"][0]["compute"]["teachers"]["seconds"] > 0


@pytest.mark.parametrize(
    ("men", "women", "some", "tested", "untested"),
    [
        (18, 6, 0, None, None),  # all six women are wrong
        (18, 18, 0, "Of 1 gap tested, none is significant.", "1 gap could not be tested: too few lesions."),
        (18, 12, 6, "Of 1 gap tested", "3 gaps could not be tested"),
    ],
)
@pytest.mark.parametrize("has_teacher", [False, True])
def test_gaps_that_could_not_be_tested_are_not_said_to_be_insignificant(
    men, women, some, tested, untested, has_teacher
):
    """Accuracy and balanced accuracy of women and, where there are `some`, of others; men are the reference."""
    sex = ("male",) * men + ("female",) * women + ("other",) * some
    labels = np.arange(len(sex)) % 2
    logits = np.eye(2, dtype=np.float32)[1 - labels if tested is None else labels]
    ids = tuple(f"i{n}" for n in range(len(sex)))
    predictions = Predictions(("A", "B"), ids, ids, labels, logits)
    report = subgroups.of_runs([predictions], {"sex": sex}, [predictions] if has_teacher else [])
    template = html._templates().get_template("subgroups.html")
    text = template.render(subgroups=report, ids=True, figures={"gaps": None})
    if tested is None:
        assert "No gap could be tested: too few lesions" in text
        assert "significant." not in text
    else:
        assert tested.replace(".", ", nor is the change of one." if has_teacher else ".") in text
        assert untested in text
