import json
from pathlib import Path

import pytest
import torch

from dspkd.data import loader
from dspkd.errors import DataError, RecipeError, RunError
from dspkd.recipes import schema
from dspkd.runs import build
from dspkd.runs import train as run
from dspkd.runs.explain import explain

FEATURES = [
    {"method": "labels", "options": {"class_weights": "inverse"}},
    {"method": "hierarchical_fusion", "weight": 1e-2, "options": {"width": 8, "hidden": 8}},
    {"method": "mgd", "weight": 1e-3, "options": {"mask_ratio": 0.5}},
]
LOGITS = [{"method": "labels", "weight": 0.5}, {"method": "kd", "weight": 2.0}]


def made(lesions, teacher=None, **changes):
    settings = {
        "name": "dsp_kd",
        "data": {"path": str(lesions)},
        "model": {"name": "tiny"},
        "images": {"size": 32},
        "train": {"batch_size": 32},
        "stages": [
            {"name": "features", "epochs": 1, "lr": 1e-3, "terms": FEATURES},
            {"name": "logits", "epochs": 2, "lr": 1e-3, "terms": LOGITS},
        ],
    }
    if teacher is not None:
        settings["teacher"] = str(teacher)
    return schema.parse({**settings, **changes})


def trained(recipe, out):
    run.train(recipe, out)
    return out


@pytest.fixture(scope="module")
def teacher(lesions, tmp_path_factory):
    one = [{"name": "labels", "epochs": 1, "lr": 1e-3, "terms": [{"method": "labels"}]}]
    plain = made(lesions, model={"name": "tiny_wide"}, stages=one)
    return trained(plain, tmp_path_factory.mktemp("runs") / "teacher")


@pytest.fixture(scope="module")
def facts(lesions, teacher):
    return explain(made(lesions, teacher))


def stage_anew(lesions, teacher, number):
    """Return the first batch, and a stage's distiller as training makes it; its masks are the next random numbers."""
    wanted = made(lesions, teacher)
    dataset = build.load_data(wanted)
    table, split = dataset.table, dataset.split
    rows = split.rows("train")
    counts = tuple(int((table.labels[rows] == label).sum()) for label in range(len(table.classes)))
    batches = loader.TrainBatches(table, rows, build.augmentation(wanted.images), batch_size=32)
    batch = next(batches.epoch(0))
    student = build.student(wanted.model, 8, seed=0)
    taught = build.teacher([str(teacher)], table, split, torch.device("cpu"))
    return batch, build.distiller(wanted.stages[number], student, taught, counts, seed=0, balance=0.0).train()


def test_sizes_and_shapes_are_those_of_the_networks(lesions, teacher, facts):
    wanted = made(lesions, teacher)
    dataset = build.load_data(wanted)
    assert (facts.digest, facts.batch_size) == (wanted.digest, 32)
    assert facts.images == len(dataset.split.rows("train"))
    networks = {"tiny": build.student(wanted.model, 8, seed=0), "tiny_wide": build.trained(teacher)[0]}
    for told in (facts.student, facts.teacher):
        network = networks[told.name].eval()
        assert told.parameters == sum(value.numel() for value in network.parameters())
        answer = network(torch.rand(2, 3, 32, 32))
        shapes = {**answer.maps, "pooled": answer.pooled, "logits": answer.logits}
        assert told.shapes == {name: tuple(value.shape[1:]) for name, value in shapes.items()}


@pytest.mark.parametrize("number", [0, 1])
def test_values_and_gradients_are_the_distillers_own_on_the_first_batch(lesions, teacher, facts, number):
    told = facts.stages[number]
    norms = []
    for term in told.terms:
        batch, distiller = stage_anew(lesions, teacher, number)
        loss = distiller(batch)[term.name]
        loss.backward()
        assert term.value == pytest.approx(loss.item(), rel=1e-5)
        gradients = [value.grad.flatten() for value in distiller.student.parameters() if value.grad is not None]
        norms.append(torch.cat(gradients).norm().item())
        assert term.weight == distiller.weights[term.name]
        assert term.parameters == sum(value.numel() for value in distiller.terms[term.name].parameters())
    assert [term.gradient_share for term in told.terms] == pytest.approx([n / sum(norms) for n in norms], rel=1e-4)
    assert sum(term.gradient_share for term in told.terms) == pytest.approx(1)
    assert told.trained == facts.student.parameters + sum(term.parameters for term in told.terms)


def test_stages_are_told_in_order_and_only_the_first_has_layers_of_its_own(facts):
    assert [(stage.name, stage.epochs) for stage in facts.stages] == [("features", 1), ("logits", 2)]
    assert [[term.name for term in stage.terms] for stage in facts.stages] == [
        ["labels", "hierarchical_fusion", "mgd"], ["labels", "kd"]
    ]  # fmt: skip
    assert [[term.parameters > 0 for term in stage.terms] for stage in facts.stages] == [
        [False, True, True], [False, False]
    ]  # fmt: skip


def test_training_begins_with_these_very_values(lesions, teacher, tmp_path):
    """Without masks, which each call draws afresh, an epoch of one step has the values that were foretold."""
    unmasked = [{**term, "options": {**term["options"], "mask_ratio": 0.0}} for term in FEATURES[1:]]
    stage = {"name": "features", "epochs": 1, "lr": 1e-3, "terms": [FEATURES[0], *unmasked]}
    one_step = made(lesions, teacher, train={"batch_size": 1000}, stages=[stage])
    out = trained(one_step, tmp_path / "run")
    (line,) = (out / "metrics.jsonl").read_text().splitlines()
    losses = json.loads(line)["train"]
    told = {term.name: term.value for term in explain(one_step).stages[0].terms}
    assert {"total": sum(told.values()), **told} == pytest.approx(losses, rel=1e-4)


def test_nothing_is_trained_nothing_is_written_and_one_batch_is_decoded(lesions, teacher, facts, tmp_path, monkeypatch):
    students, decoded = [], []
    student, decode = build.student, loader.decode
    monkeypatch.setattr(build, "student", lambda *args, **kw: students.append(student(*args, **kw)) or students[-1])
    monkeypatch.setattr(loader, "decode", lambda path, **kw: decoded.append(path) or decode(path, **kw))
    monkeypatch.chdir(tmp_path)
    before = {path: path.read_bytes() for path in Path(teacher).rglob("*") if path.is_file()}
    assert explain(made(lesions, teacher)) == facts
    initial = student(schema.ModelConfig(name="tiny"), 8, seed=0)
    (used,) = students
    assert all(torch.equal(value, dict(initial.named_parameters())[name]) for name, value in used.named_parameters())
    assert len(decoded) == 32
    assert list(tmp_path.iterdir()) == []
    assert {path: path.read_bytes() for path in Path(teacher).rglob("*") if path.is_file()} == before


def test_a_recipe_without_a_teacher_has_a_student_alone(lesions):
    one = [{"name": "labels", "epochs": 1, "lr": 1e-3, "terms": [{"method": "labels"}]}]
    told = explain(made(lesions, stages=one))
    assert told.teacher is None
    (term,) = told.stages[0].terms
    assert term.gradient_share == pytest.approx(1)
    assert told.stages[0].trained == told.student.parameters


def test_what_training_would_refuse_is_refused(lesions, teacher, tmp_path):
    with pytest.raises(RecipeError, match="learns from a teacher"):
        explain(made(lesions))
    with pytest.raises(RunError, match="no finished run"):
        explain(made(lesions, tmp_path))
    with pytest.raises(DataError, match="no such file or folder"):
        explain(made(tmp_path / "nowhere", teacher))
    with pytest.raises(DataError, match=r"split\.file"):
        explain(made(lesions, teacher, split={"seed": 5}))


def test_a_term_that_trains_no_student_has_no_share_of_its_gradient(lesions, teacher):
    head = [{"method": "ssd_kd", "options": {"trains": "teacher_head"}}, {"method": "eml"}]
    both = [
        {"name": "head", "epochs": 1, "lr": 1e-3, "terms": head, "teacher_lr": 1e-4},
        {"name": "student", "epochs": 1, "lr": 1e-3, "terms": [{"method": "ssd_kd", "carry": True}]},
    ]
    first, second = explain(made(lesions, teacher, stages=both)).stages
    assert [term.gradient_share for term in first.terms] == [0, 1]
    assert [term.gradient_share for term in second.terms] == [1]
