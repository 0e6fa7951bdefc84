import csv
import json
import shutil
from collections import Counter

import numpy as np
import pytest
from scipy.special import softmax

from dspkd.data import artefacts, metadata
from dspkd.errors import DataError, RunError
from dspkd.evaluation.metrics import summarise
from dspkd.evaluation.predictions import Predictions
from dspkd.recipes import schema
from dspkd.runs import evaluate, holdout, predict
from dspkd.runs import train as run


def trained(lesions, out, **changes):
    settings = {
        "name": "student",
        "data": {"path": str(lesions)},
        "model": {"name": "tiny"},
        "images": {"size": 32},
        "train": {"batch_size": 16},
        "stages": [{"name": "labels", "epochs": 1, "lr": 3e-3, "terms": [{"method": "labels"}]}],
    }
    run.train(schema.parse({**settings, **changes}), out)
    return out


@pytest.fixture(scope="module")
def finished(lesions, tmp_path_factory):
    return trained(lesions, tmp_path_factory.mktemp("runs") / "student")


@pytest.fixture(scope="module")
def rows(finished):
    """The rows of the run's split: id, group, label, part."""
    with (finished / "split.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def as_folders(lesions, target, rows, **columns):
    """Copy these images into a folder a class; `columns` are the metadata's, functions of a row."""
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
def test_a_part_is_judged_exactly_as_the_run_judged_it(finished, part):
    judged = evaluate.evaluate(finished, part=part)
    expected = own(finished, part)
    assert (judged.predictions.ids, judged.predictions.groups) == (expected.ids, expected.groups)
    assert np.array_equal(judged.predictions.labels, expected.labels)
    assert np.array_equal(judged.predictions.logits, expected.logits)
    assert judged.summary == summarise(expected)
    assert judged.trained_on == 0


def test_a_run_in_half_precision_is_judged_in_half_precision(lesions, tmp_path):
    out = trained(lesions, tmp_path / "run", train={"batch_size": 16, "precision": "bfloat16"})
    assert np.array_equal(evaluate.evaluate(out, part="test").predictions.logits, own(out).logits)


def test_artefacts_are_taken_out_in_training_judging_and_use_alike(lesions, tmp_path, monkeypatch):
    """Here with a store of decoded images, without one, and one image at a time; the numbers must be the same."""
    taken = []
    monkeypatch.setitem(artefacts.REMOVERS, "shading", lambda image: taken.append(image.shape) or 255 - image)
    images = {"size": 32, "artefacts": ["shading"]}
    machine = {"cache": str(tmp_path / "cache")}
    out = trained(lesions, tmp_path / "run", images=images, machine=machine)
    # to train on, to judge by, and for the small images of the run's page
    assert {min(shape[:2]) for shape in taken} == {48, 37, 183}
    before = len(taken)
    judged = evaluate.evaluate(out, part="test").predictions
    assert len(taken) == before  # decoded images come from the run's cache
    assert np.array_equal(judged.logits, own(out).logits)
    path = lesions / "ISIC_2019_Training_Input" / f"{judged.ids[0]}.jpg"
    ((_, probabilities),) = predict.predict(out, [path])
    np.testing.assert_allclose(list(probabilities.values()), softmax(judged.logits[0].astype(float)), atol=1e-5)


def test_without_a_part_the_test_images_are_judged_and_images_trained_on_are_counted(finished, rows):
    judged = evaluate.evaluate(finished)
    assert list(judged.predictions.ids) == [row["id"] for row in rows if row["part"] == "test"]
    assert judged.trained_on == 0
    trained_on = evaluate.evaluate(finished, part="train")
    assert trained_on.trained_on == len(trained_on.predictions) == sum(row["part"] == "train" for row in rows)


def test_another_order_of_classes_and_fewer_of_them_are_matched_by_name(lesions, finished, rows, tmp_path):
    wanted = [row for row in rows if row["part"] == "test" and row["label"] in ("VASC", "MEL", "NV")]
    assert {row["label"] for row in wanted} == {"VASC", "MEL", "NV"}
    judged = evaluate.evaluate(finished, folder=as_folders(lesions, tmp_path / "other", wanted)).predictions
    expected = own(finished)
    assert judged.classes == expected.classes
    place = {name: i for i, name in enumerate(expected.ids)}
    order = [place[name.split("/")[1].removesuffix(".jpg")] for name in judged.ids]
    assert len(order) == len(wanted)
    assert judged.labels.tolist() == expected.labels[order].tolist()
    np.testing.assert_allclose(judged.logits, expected.logits[order], atol=1e-5)
    summary = evaluate.evaluate(finished, folder=tmp_path / "other").summary
    assert {row.name: row.images for row in summary.per_class} == {
        **dict.fromkeys(expected.classes, 0), **Counter(row["label"] for row in wanted)
    }  # fmt: skip


def test_a_class_map_gives_other_images_the_students_classes(lesions, finished, rows, tmp_path):
    wanted = [row for row in rows if row["part"] == "test" and row["label"] in ("VASC", "MEL", "NV")]
    folder = as_folders(lesions, tmp_path / "other", [{**row, "label": row["label"].lower()} for row in wanted])
    with pytest.raises(DataError, match=r"has images of mel, nv, vasc, which the student does not know; .*--classes"):
        evaluate.evaluate(finished, folder=folder)
    (tmp_path / "map.toml").write_text('drop = ["vasc"]\n[classes]\nNV = ["nv"]\nMEL = ["mel"]\n')
    judged = evaluate.evaluate(finished, folder=folder, classes=tmp_path / "map.toml").predictions
    assert judged.classes == own(finished).classes
    assert Counter(judged.classes[label] for label in judged.labels) == Counter(
        row["label"] for row in wanted if row["label"] != "VASC"
    )
    with pytest.raises(DataError, match="is for other images"):
        evaluate.evaluate(finished, classes=tmp_path / "map.toml")


def strange(out, lesions, few, rows, tmp_path):
    """Look at images of five classes that the run in `out` was not taught."""
    others = [row for row in rows if row not in few]
    got = evaluate.evaluate_ood(out, lesions)
    assert got.classes == Counter(row["label"] for row in others)
    assert (len(got.logits), got.left_out) == (len(others), len(few))
    assert set(got.groups) == {row["group"] for row in others}
    some = as_folders(lesions, tmp_path / "some", others[:3], lesion_id=lambda row: "one", patient_id=lambda row: "p")
    path = some / others[0]["label"] / f"{others[0]['id']}.jpg"
    ((_, probabilities),) = predict.predict(out, [path])
    asked = evaluate.evaluate_ood(out, some, group="lesion_id")
    answered = np.isclose(softmax(asked.logits.astype(float), axis=1), list(probabilities.values()), atol=1e-5)
    assert answered.all(axis=1).any()
    assert set(asked.groups) == {"one"}
    names = sorted({row["label"] for row in others})
    lines = [f'{name.lower()} = ["{name}"]' for name in ("MEL", "NV", "BCC", *names[1:])]
    (tmp_path / "map.toml").write_text(f'drop = ["{names[0]}"]\n[classes]\n' + "\n".join(lines) + "\n")
    assert set(evaluate.evaluate_ood(out, lesions, classes=tmp_path / "map.toml").classes) == {names[0]}
    shutil.copytree(out, tmp_path / "mapped")
    shutil.copy(tmp_path / "map.toml", tmp_path / "mapped/classes.toml")
    assert set(evaluate.evaluate_ood(tmp_path / "mapped", lesions).classes) == {names[0]}
    with pytest.raises(DataError, match=r"three: has no image of a class that the student does not know; it knows BCC"):
        evaluate.evaluate_ood(out, tmp_path / "three")
    (some / others[0]["label"]).rename(some / "mel")
    with pytest.raises(DataError, match=r"class 'mel' would count as unknown, but the student knows 'MEL'; --classes"):
        evaluate.evaluate_ood(out, some)


def test_a_class_that_the_student_does_not_know_is_refused_but_not_for_its_name_alone(lesions, rows, tmp_path):
    few = [row for row in rows if row["label"] in ("MEL", "NV", "BCC")]
    out = trained(as_folders(lesions, tmp_path / "three", few), tmp_path / "run")
    strange(out, lesions, few, rows, tmp_path)
    with pytest.raises(DataError, match=r"has images of AK, BKL, .*VASC, which .* it knows BCC, MEL, NV; --classes"):
        evaluate.evaluate(out, folder=lesions)
    tables = ("ISIC_2019_Training_GroundTruth.csv", "ISIC_2019_Training_Metadata.csv")
    shutil.copytree(lesions, tmp_path / "eight")
    for table in tables:
        lines = (lesions / table).read_text().splitlines()
        kept = [line for line in lines if line.split(",")[0] in {"image", *(row["id"] for row in few)}]
        (tmp_path / "eight" / table).write_text("\n".join(kept) + "\n")
    judged = evaluate.evaluate(out, folder=tmp_path / "eight")
    assert len(judged.predictions) == len(few)
    names = [judged.predictions.classes[label] for label in judged.predictions.labels]
    assert Counter(names) == Counter(row["label"] for row in few)


def test_images_of_known_lesions_are_counted_by_the_column_that_names_them(lesions, finished, rows, tmp_path):
    some = [row for row in rows if row["label"] in ("MEL", "SCC")]
    lesion, patient = (lambda row: row["group"]), (lambda row: f"patient of {row['id']}")
    other = as_folders(lesions, tmp_path / "other", some, patient_id=patient, lesion_id=lesion)
    trained_on = sum(row["part"] == "train" for row in some)
    assert 0 < trained_on < len(some)
    assert evaluate.evaluate(finished, folder=other).trained_on == 0
    judged = evaluate.evaluate(finished, folder=other, group="lesion_id")
    assert judged.trained_on == trained_on
    assert set(judged.predictions.groups) == {row["group"] for row in some}
    with pytest.raises(DataError, match=r"no column 'lesion'; did you mean 'lesion_id'"):
        evaluate.evaluate(finished, folder=other, group="lesion")


def test_a_part_is_one_of_the_runs_own_split_and_has_images(lesions, finished, rows, tmp_path):
    with pytest.raises(DataError, match=r"there is no part 'tset'; did you mean 'test'\?"):
        evaluate.evaluate(finished, part="tset")
    with pytest.raises(DataError, match=r"part 'test' is of the run's own split; leave out "):
        evaluate.evaluate(finished, part="test", folder=lesions)
    with pytest.raises(DataError, match=r"group 'lesion_id' is a column of other images"):
        evaluate.evaluate(finished, group="lesion_id")
    shutil.copytree(finished, tmp_path / "run")
    split = (finished / "split.csv").read_text()
    (tmp_path / "run" / "split.csv").write_text(split.replace(",val\n", ",train\n"))
    with pytest.raises(DataError, match=r"split\.csv: no image is in 'val'"):
        evaluate.evaluate(tmp_path / "run", part="val")


def test_probabilities_are_those_of_the_logits_and_come_image_by_image(lesions, finished, tmp_path):
    expected = own(finished)
    paths = [lesions / "ISIC_2019_Training_Input" / f"{name}.jpg" for name in expected.ids[:3]]
    told = dict(predict.predict(finished, paths))
    assert list(told) == paths
    for path, logits in zip(paths, expected.logits, strict=False):
        assert tuple(told[path]) == expected.classes
        assert list(told[path].values()) == pytest.approx(softmax(logits.astype(float)), abs=1e-5)
        assert sum(told[path].values()) == pytest.approx(1, abs=1e-12)
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"no image")
    answers = predict.predict(finished, [paths[0], bad])
    assert next(answers)[0] == paths[0]
    with pytest.raises(DataError, match=r"bad\.jpg: not a readable image"):
        next(answers)


def openings(run):
    return [opening.purpose for opening in holdout.evaluations(run)]


def test_each_judging_of_the_test_part_is_counted_and_of_no_other(lesions, finished, rows, tmp_path):
    run = shutil.copytree(finished, tmp_path / "run")
    before = openings(run)
    assert (
        evaluate.evaluate(run, part="val").test_evaluations
        == evaluate.evaluate(run, part="train").test_evaluations
        == 0
    )
    assert openings(run) == before
    assert evaluate.evaluate(run).test_evaluations == len(before) + 1
    assert openings(run) == [*before, "evaluate"]
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
    assert openings(run)[-1] == "evaluate --data"


def test_attributes_come_with_the_images(finished, rows):
    judged = evaluate.evaluate(finished, part="val")
    assert {len(values) for values in judged.attributes.values()} == {len(judged.predictions)}
    kept = metadata.load(finished / metadata.FILE, judged.predictions.ids)
    assert judged.attributes == kept
    assert {"sex", "age", "body site"} <= set(kept)


def test_a_folder_without_a_finished_run_is_refused(tmp_path):
    for use in (evaluate.evaluate, lambda folder: list(predict.predict(folder, []))):
        with pytest.raises(RunError, match="no finished run"):
            use(tmp_path)
