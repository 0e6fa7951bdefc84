"""Runs that learn from a file of answers: as from the cache that was exported, and refused where it does not fit."""

import csv
import json
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch

from command import call, refused
from dspkd import data
from dspkd.data import answer_files
from dspkd.data.split import Split
from dspkd.errors import DataError, RecipeError, RunError
from dspkd.recipes import schema
from dspkd.runs import answers, build, validate
from dspkd.runs import train as run
from dspkd.runs.explain import explain
from dspkd.runs.plan import plan
from tiny_runs import (
    FUSION,
    LABELS,
    Notes,
    dsp_kd_recipe,
    recipe,
    stage,
    teacher_recipe,
    trained,
    weights,
    write_recipe,
)

KD = [stage("kd", LABELS, {"method": "kd"})]


@pytest.fixture(scope="module")
def teacher(lesions, tmp_path_factory):
    return trained(teacher_recipe(lesions, stages=[stage("labels")]), tmp_path_factory.mktemp("answers") / "teacher")


def student(lesions, teacher, **settings):
    """Return a recipe with one view of each image."""
    common = {"images": {"size": 32, "views": 1}, "train": {"batch_size": 16, "balance": 0.5}, "stages": KD}
    return dsp_kd_recipe(lesions, teacher, **{**common, **settings})


def answering(recipe, file):
    return schema.parse({**json.loads(json.dumps(asdict(recipe))), "teacher": {"answers": str(file)}})


@pytest.fixture(scope="module")
def exported(lesions, teacher, tmp_path_factory):
    """Return a file of logits that the command has written."""
    folder = tmp_path_factory.mktemp("exported")
    path = write_recipe(folder, student(lesions, teacher))
    out, _ = call("teacher-outputs", path, "--out", folder / "logits.csv")
    assert 'teacher.answers = "' in out
    assert "logits of 220 images" in out
    return folder / "logits.csv"


def rewritten(source, out, change):
    """Write the rows of a CSV file after `change(header, rows)`."""
    with source.open() as file:
        header, *rows = csv.reader(file)
    header, rows = change(header, rows) or (header, rows)
    with out.open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return out


def test_training_from_the_exported_file_is_bit_for_bit_that_from_the_cache(lesions, teacher, exported, tmp_path):
    cached = student(lesions, teacher)
    run.train(cached, tmp_path / "cached")

    def shuffled(header, rows):
        order = np.random.default_rng(0).permutation(len(rows))
        columns = [0, *reversed(range(1, len(header)))]
        return [header[k] for k in columns], [[rows[row][k] for k in columns] for row in order]

    for name, file in {
        "exported": exported,
        "shuffled": rewritten(exported, tmp_path / "shuffled.csv", shuffled),
    }.items():
        run.train(answering(cached, file), tmp_path / name)
        expected = weights(tmp_path / "cached")
        assert all(torch.equal(value, expected[key]) for key, value in weights(tmp_path / name).items())
        for predictions in ("test", "teacher-test", "teacher-val"):
            first, second = (tmp_path / each / "predictions" / f"{predictions}.csv" for each in ("cached", name))
            assert first.read_bytes() == second.read_bytes()
    result = json.loads((tmp_path / "shuffled" / "result.json").read_text())
    assert result["teacher"] == str(tmp_path / "shuffled.csv")
    assert result["teacher_cache"] is None


def test_parquet_holds_the_same_and_probabilities_their_softmax(lesions, teacher, exported, tmp_path):
    classes = data.load_table(lesions).classes
    path = write_recipe(tmp_path, student(lesions, teacher))
    call("teacher-outputs", path, "--out", tmp_path / "a.parquet", "--kind", "probabilities")
    logits, probabilities = (answer_files.read(file, classes) for file in (exported, tmp_path / "a.parquet"))
    shifted = np.exp(logits.values.astype(np.float64))
    np.testing.assert_allclose(probabilities.values, shifted / shifted.sum(axis=1, keepdims=True), rtol=1e-5)
    assert logits.ids == probabilities.ids


def test_with_other_views_all_images_are_as_in_evaluation(lesions, teacher, tmp_path):
    for views in (2, "fresh"):
        many = student(lesions, teacher, images={"size": 32, "views": views})
        path = write_recipe(tmp_path, many)
        out, _ = call("teacher-outputs", path, "--out", tmp_path / f"{views}.csv")
        assert "all as in evaluation" in out
    assert (tmp_path / "2.csv").read_bytes() == (tmp_path / "fresh.csv").read_bytes()


def test_embeddings_get_a_head_and_are_the_pooled_vectors(lesions, teacher, tmp_path):
    path = write_recipe(tmp_path, student(lesions, teacher))
    call("teacher-outputs", path, "--out", tmp_path / "e.parquet", "--kind", "embeddings")
    both = [stage("both", LABELS, {"method": "kd", "options": {"prior": "uniform"}}, {"method": "rkd"})]
    listener = Notes()
    learning = answering(student(lesions, teacher, stages=both), tmp_path / "e.parquet")
    run.train(learning, tmp_path / "run", listener)
    (head,) = [note for note in listener.notes if "linear head" in note]
    assert "balanced accuracy" in head
    assert "fitted without each image's own lesion" in head
    assert (tmp_path / "run" / "predictions" / "teacher-test.csv").exists()
    # A resumed run has the logits with which it began, and fits nothing again.
    (tmp_path / "run" / "result.json").unlink()
    listener = Notes()
    run.train(learning, tmp_path / "run", listener)
    assert not any("linear head" in note for note in listener.notes)


def test_what_the_file_lacks_is_named(lesions, exported, teacher, tmp_path):
    table = data.load_table(lesions)
    split = build.load_data(student(lesions, teacher)).split
    trained = [table.ids[row] for row in split.rows("train")]

    def without(ids):
        return lambda header, rows: (header, [row for row in rows if row[0] not in ids])

    few = rewritten(exported, tmp_path / "few.csv", without(set(trained[:2])))
    with pytest.raises(DataError, match=rf"few\.csv: no answer for 2 of {len(trained)} training images: {trained[0]}"):
        answers.teacher(few, table, split)
    listener = Notes()
    evaluated = {table.ids[row] for part in ("val", "test") for row in split.places(part)}
    only = rewritten(exported, tmp_path / "only.csv", without(evaluated))
    run.train(answering(student(lesions, teacher), only), tmp_path / "run", listener)
    (note,) = [note for note in listener.notes if "only.csv" in note]
    assert f"{len(trained)} of {len(trained)} training images, 0 of " in note
    assert "cannot be checked here" in note
    assert not list((tmp_path / "run" / "predictions").glob("teacher-*"))


def test_a_file_that_changed_is_refused_when_the_run_goes_on(lesions, exported, teacher, tmp_path):
    file = tmp_path / "logits.csv"
    file.write_bytes(exported.read_bytes())
    table, split = data.load_table(lesions), build.load_data(student(lesions, teacher)).split
    first = answers.teacher(file, table, split, kept=tmp_path / "kept.npz")
    assert answers.teacher(file, table, split, kept=tmp_path / "kept.npz").digest() == first.digest()
    turned = table.take(np.arange(len(table))[::-1])
    again = answers.teacher(file, turned, Split(split.parts[::-1]), kept=tmp_path / "kept.npz")
    assert torch.equal(again._logits_NK, first._logits_NK.flip(0))
    row = split.rows("val")[0]
    other = replace(table, ids=(*table.ids[:row], "another image", *table.ids[row + 1 :]))
    with pytest.raises(RunError, match="about other images than those that are there now"):
        answers.teacher(file, other, split, kept=tmp_path / "kept.npz")
    parts = split.parts.copy()
    parts[split.rows("val")[0]] = "train"
    changed = {
        "labels": (replace(table, labels=(table.labels + 1) % len(table.classes)), split),
        "groups": (replace(table, groups=tuple(f"G{group}" for group in table.groups)), split),
        "sets": (table, Split(parts)),
    }
    for what, (images, of_them) in changed.items():
        with pytest.raises(RunError, match=r"kept\.npz: classes, labels, groups or sets .*changed.*") as error:
            answers.teacher(file, images, of_them, kept=tmp_path / "kept.npz")
        assert what in str(error.value)
    with np.load(tmp_path / "kept.npz") as kept:  # as an older version wrote it
        np.savez(tmp_path / "older.npz", **{name: kept[name] for name in ("sha256", "logits", "ids")})
    assert answers.teacher(file, *changed["sets"], kept=tmp_path / "older.npz").digest() == first.digest()
    file.write_bytes(exported.read_bytes() + b"\n")
    with pytest.raises(RunError, match=r"logits\.csv: has changed since this run began"):
        answers.teacher(file, table, split, kept=tmp_path / "kept.npz")


@pytest.mark.parametrize(
    ("term", "message"),
    [
        ({"method": "rkd"}, r"read the teacher's pooled.*give it embeddings"),
        (FUSION, r"offers no maps, not last"),
        ({"method": "mgd"}, r"offers no maps, not last"),
        ({"method": "at"}, r"."),
        ({"method": "reviewkd"}, r"."),
        ({"method": "sp"}, r"offers no maps"),
        ({"method": "ssd_kd", "options": {"self_supervision": 0.0}}, r"offers no maps"),
    ],
)
def test_terms_that_read_maps_or_pooled_vectors_are_refused(lesions, exported, teacher, tmp_path, term, message):
    reading = answering(student(lesions, teacher, stages=[stage("s", LABELS, term)]), exported)
    with pytest.raises(RecipeError, match=message) as train_error:
        run.train(reading, tmp_path / "run")
    print(train_error.value)
    with pytest.raises(RecipeError, match=message):
        explain(reading)
    assert not list((tmp_path / "run").glob("stages/*"))


def test_explain_and_plan_know_a_file_of_answers(lesions, exported, teacher):
    learning = answering(student(lesions, teacher), exported)
    assert explain(learning).teacher.shapes == {"pooled": (0,), "logits": (8,)}
    assert plan(learning, steps=1).teacher_outputs.count == 0


def test_recipes_name_a_run_or_answers_and_mixing(lesions, exported, teacher, tmp_path):
    with pytest.raises(RecipeError, match=r"either a run folder, run = ..., or a file of answers"):
        recipe("x", teacher={"run": "t", "answers": "a.csv"})
    mixed = answering(student(lesions, teacher, train={"batch_size": 16, "mixup": 0.3}), exported)
    with pytest.raises(RecipeError, match=r"teacher\.answers = .*train\.mix_teacher_outputs = true"):
        validate.check(mixed)
    both = {"batch_size": 16, "mixup": 0.3, "cutmix": 1.0, "mix_teacher_outputs": True}
    fresh = {"size": 32, "randaugment": {"num_ops": 1}}
    run.train(answering(student(lesions, teacher, train=both, images=fresh), exported), tmp_path / "run")
    assert (tmp_path / "run" / "result.json").exists()
    path = write_recipe(tmp_path, answering(student(lesions, teacher), exported))
    assert "has no teacher to compute outputs of" in refused("teacher-outputs", path, "--out", tmp_path / "a.csv")
