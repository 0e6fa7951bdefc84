import csv
import json
import shutil
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from scipy.special import softmax

from dspkd.data import artefacts, metadata
from dspkd.errors import DataError, RunError
from dspkd.evaluation.metrics import summarise
from dspkd.evaluation.predictions import Predictions
from dspkd.runs import evaluate, holdout, predict
from dspkd.runs.files import RunFiles
from dspkd.runs.run_folder import Run
from tiny_runs import recipe, stage, trained


def student(lesions, out, **settings):
    """Return the folder of a finished run."""
    return trained(recipe(lesions, stages=[stage("labels", lr=3e-3)], **settings), out)


@pytest.fixture(scope="module")
def finished(lesions, tmp_path_factory):
    return student(lesions, tmp_path_factory.mktemp("runs") / "student")


@pytest.fixture(scope="module")
def rows(finished):
    """The rows of the run's split: id, group, label, part."""
    with (finished / "split.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def as_folders(lesions, target, rows, **columns):
    """Copy these images into a folder per class; `columns` map metadata columns to functions of a row."""
    for row in rows:
        (target / row["label"]).mkdir(parents=True, exist_ok=True)
        shutil.copy(lesions / "ISIC_2019_Training_Input" / f"{row['id']}.jpg", target / row["label"])
    if columns:
        with (target / "metadata.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["image", *columns])
            writer.writerows([row["id"], *(value(row) for value in columns.values())] for row in rows)
    return target


def own(finished, part="test"):
    return Predictions.load(finished / "predictions" / f"{part}.csv")


@pytest.mark.parametrize("part", ["val", "test"])
def test_evaluating_a_part_gives_the_runs_own_predictions(finished, part):
    evaluation = evaluate.evaluate(finished, part=part)
    expected = own(finished, part)
    assert (evaluation.predictions.ids, evaluation.predictions.groups) == (expected.ids, expected.groups)
    assert np.array_equal(evaluation.predictions.labels, expected.labels)
    assert np.array_equal(evaluation.predictions.logits, expected.logits)
    assert evaluation.summary == summarise(expected)
    assert evaluation.trained_on == 0


def test_a_run_in_bfloat16_is_evaluated_in_bfloat16(lesions, tmp_path):
    out = student(lesions, tmp_path / "run", train={"batch_size": 16, "precision": "bfloat16"})
    assert np.array_equal(evaluate.evaluate(out, part="test").predictions.logits, own(out).logits)


def test_artefacts_are_removed_in_training_evaluation_and_prediction(lesions, tmp_path, monkeypatch):
    """Training and evaluation read the cache of decoded images, prediction decodes each image; logits must agree."""
    shapes = []
    monkeypatch.setitem(artefacts.REMOVERS, "shading", lambda image: shapes.append(image.shape) or 255 - image)
    images = {"size": 32, "artefacts": ["shading"]}
    machine = {"cache": str(tmp_path / "cache")}
    out = student(lesions, tmp_path / "run", images=images, machine=machine)
    # for training, for evaluation, and for the small images of the run's report
    assert {min(shape[:2]) for shape in shapes} == {48, 37, 183}
    before = len(shapes)
    predictions = evaluate.evaluate(out, part="test").predictions
    assert len(shapes) == before  # decoded images come from the run's cache
    assert np.array_equal(predictions.logits, own(out).logits)
    path = lesions / "ISIC_2019_Training_Input" / f"{predictions.ids[0]}.jpg"
    ((_, probabilities),) = predict.predict(out, [path])
    np.testing.assert_allclose(list(probabilities.values()), softmax(predictions.logits[0].astype(float)), atol=1e-5)


def test_the_test_set_is_the_default_and_images_trained_on_are_counted(finished, rows):
    evaluation = evaluate.evaluate(finished)
    assert list(evaluation.predictions.ids) == [row["id"] for row in rows if row["part"] == "test"]
    assert evaluation.trained_on == 0
    on_train = evaluate.evaluate(finished, part="train")
    assert on_train.trained_on == len(on_train.predictions) == sum(row["part"] == "train" for row in rows)
    assert f"balanced accuracy {evaluation.summary.balanced_accuracy:.3f}" in evaluation._repr_html_()
    assert "too optimistic" in on_train._repr_html_()
    assert "too optimistic" not in evaluation._repr_html_()


def test_classes_in_another_order_or_missing_are_matched_by_name(lesions, finished, rows, tmp_path):
    some = [row for row in rows if row["part"] == "test" and row["label"] in ("VASC", "MEL", "NV")]
    assert {row["label"] for row in some} == {"VASC", "MEL", "NV"}
    predictions = evaluate.evaluate(finished, folder=as_folders(lesions, tmp_path / "other", some)).predictions
    expected = own(finished)
    assert predictions.classes == expected.classes
    place = {name: i for i, name in enumerate(expected.ids)}
    order = [place[name.split("/")[1].removesuffix(".jpg")] for name in predictions.ids]
    assert len(order) == len(some)
    assert predictions.labels.tolist() == expected.labels[order].tolist()
    np.testing.assert_allclose(predictions.logits, expected.logits[order], atol=1e-5)
    summary = evaluate.evaluate(finished, folder=tmp_path / "other").summary
    assert {row.name: row.images for row in summary.per_class} == {
        **dict.fromkeys(expected.classes, 0), **Counter(row["label"] for row in some)
    }  # fmt: skip


def test_a_class_map_gives_other_images_the_students_classes(lesions, finished, rows, tmp_path):
    some = [row for row in rows if row["part"] == "test" and row["label"] in ("VASC", "MEL", "NV")]
    folder = as_folders(lesions, tmp_path / "other", [{**row, "label": row["label"].lower()} for row in some])
    with pytest.raises(DataError, match=r"other: .*mel, nv, vasc, .*--classes"):
        evaluate.evaluate(finished, folder=folder)
    (tmp_path / "map.toml").write_text('drop = ["vasc"]\n[classes]\nNV = ["nv"]\nMEL = ["mel"]\n')
    predictions = evaluate.evaluate(finished, folder=folder, classes=tmp_path / "map.toml").predictions
    assert predictions.classes == own(finished).classes
    assert Counter(predictions.classes[label] for label in predictions.labels) == Counter(
        row["label"] for row in some if row["label"] != "VASC"
    )
    with pytest.raises(DataError, match=r"class map .*map\.toml is for other images"):
        evaluate.evaluate(finished, classes=tmp_path / "map.toml")


def check_ood(out, lesions, few, rows, tmp_path):
    """Evaluate the run in `out` on images of five classes that it was not trained on."""
    others = [row for row in rows if row not in few]
    ood = evaluate.evaluate_ood(out, lesions)
    assert ood.classes == Counter(row["label"] for row in others)
    assert (len(ood.logits), ood.left_out) == (len(others), len(few))
    assert set(ood.groups) == {row["group"] for row in others}
    some = as_folders(lesions, tmp_path / "some", others[:3], lesion_id=lambda row: "one", patient_id=lambda row: "p")
    path = some / others[0]["label"] / f"{others[0]['id']}.jpg"
    ((_, probabilities),) = predict.predict(out, [path])
    ood = evaluate.evaluate_ood(out, some, group="lesion_id")
    same = np.isclose(softmax(ood.logits.astype(float), axis=1), list(probabilities.values()), atol=1e-5)
    assert same.all(axis=1).any()
    assert set(ood.groups) == {"one"}
    names = sorted({row["label"] for row in others})
    lines = [f'{name.lower()} = ["{name}"]' for name in ("MEL", "NV", "BCC", *names[1:])]
    (tmp_path / "map.toml").write_text(f'drop = ["{names[0]}"]\n[classes]\n' + "\n".join(lines) + "\n")
    assert set(evaluate.evaluate_ood(out, lesions, classes=tmp_path / "map.toml").classes) == {names[0]}
    shutil.copytree(out, tmp_path / "mapped")
    shutil.copy(tmp_path / "map.toml", tmp_path / "mapped/classes.toml")
    assert set(evaluate.evaluate_ood(tmp_path / "mapped", lesions).classes) == {names[0]}
    with pytest.raises(DataError, match=r"three: has no image .* knows BCC"):
        evaluate.evaluate_ood(out, tmp_path / "three")
    (some / others[0]["label"]).rename(some / "mel")
    with pytest.raises(DataError, match=r"class 'mel' .*'MEL'; --classes"):
        evaluate.evaluate_ood(out, some)


def test_images_of_an_unknown_class_are_refused_and_a_class_without_images_is_not(lesions, rows, tmp_path):
    few = [row for row in rows if row["label"] in ("MEL", "NV", "BCC")]
    out = student(as_folders(lesions, tmp_path / "three", few), tmp_path / "run")
    check_ood(out, lesions, few, rows, tmp_path)
    with pytest.raises(DataError, match=r"AK, BKL, .*VASC, .* knows BCC, MEL, NV; --classes"):
        evaluate.evaluate(out, folder=lesions)
    tables = ("ISIC_2019_Training_GroundTruth.csv", "ISIC_2019_Training_Metadata.csv")
    shutil.copytree(lesions, tmp_path / "eight")
    for table in tables:
        lines = (lesions / table).read_text().splitlines()
        kept = [line for line in lines if line.split(",")[0] in {"image", *(row["id"] for row in few)}]
        (tmp_path / "eight" / table).write_text("\n".join(kept) + "\n")
    predictions = evaluate.evaluate(out, folder=tmp_path / "eight").predictions
    assert len(predictions) == len(few)
    names = [predictions.classes[label] for label in predictions.labels]
    assert Counter(names) == Counter(row["label"] for row in few)


def test_images_of_lesions_trained_on_are_counted_by_the_group_column(lesions, finished, rows, tmp_path):
    some = [row for row in rows if row["label"] in ("MEL", "SCC")]
    lesion, patient = (lambda row: row["group"]), (lambda row: f"patient of {row['id']}")
    other = as_folders(lesions, tmp_path / "other", some, patient_id=patient, lesion_id=lesion)
    generator = np.random.default_rng(0)
    for path in other.rglob("*.jpg"):  # other images of these lesions, so that names alone tell them
        Image.fromarray(generator.integers(0, 256, (48, 48, 3), dtype=np.uint8)).save(path)
    trained_on = sum(row["part"] == "train" for row in some)
    assert 0 < trained_on < len(some)
    assert evaluate.evaluate(finished, folder=other).trained_on == 0
    evaluation = evaluate.evaluate(finished, folder=other, group="lesion_id")
    assert evaluation.trained_on == trained_on
    assert set(evaluation.predictions.groups) == {row["group"] for row in some}
    with pytest.raises(DataError, match=r"'lesion'.*'lesion_id'"):
        evaluate.evaluate(finished, folder=other, group="lesion")


def test_the_runs_own_images_are_known_whatever_column_names_their_lesions(lesions, finished, rows, tmp_path):
    """Their ids are enough to count images trained on, and to record a test-set evaluation."""
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    before = len(Run(run).test_evaluations)
    metadata = next(lesions.glob("*_Metadata.csv"))
    own = tmp_path / "own"
    shutil.copytree(lesions, own)
    text = metadata.read_text().replace("lesion_id", "notes", 1)
    (own / metadata.name).write_text(text)
    evaluation = evaluate.evaluate(run, folder=own)
    assert evaluation.trained_on == sum(row["part"] == "train" for row in rows)
    assert len(Run(run).test_evaluations) == before + 1
    assert Run(run).test_evaluations[-1].images == sum(row["part"] == "test" for row in rows)


def test_an_unknown_an_empty_or_a_foreign_part_is_refused(lesions, finished, rows, tmp_path):
    with pytest.raises(DataError, match=r"'tset'.*'test'"):
        evaluate.evaluate(finished, part="tset")
    with pytest.raises(DataError, match=r"part 'test' .*leave out .*lesions"):
        evaluate.evaluate(finished, part="test", folder=lesions)
    with pytest.raises(DataError, match=r"group 'lesion_id' .* its recipe"):
        evaluate.evaluate(finished, group="lesion_id")
    shutil.copytree(finished, tmp_path / "run")
    split = (finished / "split.csv").read_text()
    with RunFiles(tmp_path / "run").manifest.recording(tmp_path / "run" / "split.csv"):
        (tmp_path / "run" / "split.csv").write_text(split.replace(",val\n", ",train\n"))
    with pytest.raises(DataError, match=r"split\.csv: .*'val'"):
        evaluate.evaluate(tmp_path / "run", part="val")


@pytest.mark.parametrize(("key", "place"), [("path", "/gone"), ("path", "gone"), ("classes", "gone.toml")])
def test_images_that_are_not_where_the_recipe_says_are_refused_with_the_key(finished, key, place):
    made_by = Run(finished)
    moved = replace(made_by.recipe, data=replace(made_by.recipe.data, **{key: place}))
    with pytest.raises(DataError, match=rf"^{place}: .*it is data\.{key} in the recipe of .*student; ") as refused:
        evaluate.own_part(finished, moved, made_by.classes, "val", purpose="test")
    assert ("use the run from that folder" in str(refused.value)) != place.startswith("/")


def test_predict_yields_the_probabilities_of_one_image_at_a_time(lesions, finished, tmp_path):
    expected = own(finished)
    paths = [lesions / "ISIC_2019_Training_Input" / f"{name}.jpg" for name in expected.ids[:3]]
    predicted = dict(predict.predict(finished, paths))
    assert list(predicted) == paths
    for path, logits in zip(paths, expected.logits, strict=False):
        assert tuple(predicted[path]) == expected.classes
        assert list(predicted[path].values()) == pytest.approx(softmax(logits.astype(float)), abs=1e-5)
        assert sum(predicted[path].values()) == pytest.approx(1, abs=1e-12)
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"no image")
    one_by_one = predict.predict(finished, [paths[0], bad])
    assert next(one_by_one)[0] == paths[0]
    with pytest.raises(DataError, match=r"bad\.jpg: "):
        next(one_by_one)


def purposes(run):
    return [evaluation.purpose for evaluation in holdout.evaluations(run)]


def test_each_evaluation_of_test_images_is_recorded_and_no_other(lesions, finished, rows, tmp_path):
    run = shutil.copytree(finished, tmp_path / "run")
    before = purposes(run)
    assert (
        evaluate.evaluate(run, part="val").test_evaluations
        == evaluate.evaluate(run, part="train").test_evaluations
        == 0
    )
    assert purposes(run) == before
    assert evaluate.evaluate(run).test_evaluations == len(before) + 1
    assert purposes(run) == [*before, "evaluate"]
    assert json.loads((run / "result.json").read_text())["test_evaluations"] == len(before) + 1
    assert holdout.early(run, holdout.evaluations(run)) == []
    for part, counted in (("val", 0), ("test", len(before) + 2)):
        some = [row for row in rows if row["part"] == part]
        other = tmp_path / f"isic-{part}"
        (other / "ISIC_2019_Training_Input").mkdir(parents=True)
        names = {"image", *(row["id"] for row in some)}
        for file in ("ISIC_2019_Training_GroundTruth.csv", "ISIC_2019_Training_Metadata.csv"):
            lines = (lesions / file).read_text().splitlines()
            (other / file).write_text("\n".join(line for line in lines if line.split(",")[0] in names) + "\n")
        for row in some:
            shutil.copy(lesions / "ISIC_2019_Training_Input" / f"{row['id']}.jpg", other / "ISIC_2019_Training_Input")
        assert evaluate.evaluate(run, folder=other).test_evaluations == counted
    assert purposes(run)[-1] == "evaluate --data"


def test_attributes_are_those_of_the_evaluated_images(finished, rows):
    evaluation = evaluate.evaluate(finished, part="val")
    assert {len(values) for values in evaluation.attributes.values()} == {len(evaluation.predictions)}
    saved = metadata.load(finished / metadata.FILE, evaluation.predictions.ids)
    assert evaluation.attributes == saved
    assert {"sex", "age", "body site"} <= set(saved)


def test_a_folder_without_a_finished_run_is_refused(tmp_path):
    for use in (evaluate.evaluate, lambda folder: list(predict.predict(folder, []))):
        with pytest.raises(RunError, match="not a run folder"):
            use(tmp_path)
