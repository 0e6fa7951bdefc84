import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from dspkd.cli.plan_tables import print_plan
from dspkd.cli.tables import print_facts
from dspkd.data import loader
from dspkd.errors import DataError, RecipeError, RunError
from dspkd.experiments.teacher_check.examine import examine
from dspkd.recipes import schema
from dspkd.recipes.teacher import TeacherConfig
from dspkd.runs import build
from dspkd.runs.explain import StageFacts, TermFacts, _rebuilt, _teacher_warnings, _unbalanced, explain
from dspkd.runs.plan import plan
from dspkd.runs.run_folder import Run
from dspkd.runtime.console import terminal
from tiny_runs import recipe, stage, trained

FEATURES = [
    {"method": "labels", "options": {"class_weights": "inverse"}},
    {"method": "hierarchical_fusion", "weight": 1e-2, "options": {"width": 8, "hidden": 8}},
    {"method": "mgd", "weight": 1e-3, "options": {"mask_ratio": 0.5}},
]
LOGITS = [{"method": "labels", "weight": 0.5}, {"method": "kd", "weight": 2.0}]


def recipe_for(lesions, teacher=None, **settings):
    two_stages = {
        "train": {"batch_size": 32},
        "stages": [stage("features", *FEATURES), stage("logits", *LOGITS, epochs=2)],
    }
    if teacher is not None:
        two_stages["teacher"] = str(teacher)
    return recipe(lesions, **{**two_stages, **settings})


@pytest.fixture(scope="module")
def teacher(lesions, tmp_path_factory):
    wide = recipe(lesions, model={"name": "tiny_wide"}, train={"batch_size": 32})
    return trained(wide, tmp_path_factory.mktemp("runs") / "teacher")


@pytest.fixture(scope="module")
def facts(lesions, teacher):
    return explain(recipe_for(lesions, teacher))


def first_step(lesions, teacher, number):
    """Return the first batch, and a stage's distiller as training builds it; its masks are the next random numbers."""
    recipe = recipe_for(lesions, teacher)
    dataset = build.load_data(recipe)
    table, split = dataset.table, dataset.split
    rows = split.rows("train")
    counts = tuple(int((table.labels[rows] == label).sum()) for label in range(len(table.classes)))
    batches = loader.TrainBatches(table, rows, build.augmentation(recipe.images), batch_size=32)
    batch = next(batches.epoch(0))
    student = build.student(recipe.model, 8, seed=0)
    frozen = build.teacher([str(teacher)], table, split, torch.device("cpu"))
    return batch, build.distiller(recipe.stages[number], student, frozen, counts, seed=0, balance=0.0).train()


def test_sizes_and_shapes_are_those_of_the_networks(lesions, teacher, facts):
    recipe = recipe_for(lesions, teacher)
    dataset = build.load_data(recipe)
    assert (facts.digest, facts.batch_size) == (recipe.digest, 32)
    assert facts.images == len(dataset.split.rows("train"))
    networks = {"tiny": build.student(recipe.model, 8, seed=0), "tiny_wide": Run(teacher).model}
    for described in (facts.student, facts.teacher):
        network = networks[described.name].eval()
        assert described.parameters == sum(value.numel() for value in network.parameters())
        output = network(torch.rand(2, 3, 32, 32))
        shapes = {**output.maps, "pooled": output.pooled, "logits": output.logits}
        assert described.shapes == {name: tuple(value.shape[1:]) for name, value in shapes.items()}


@pytest.mark.parametrize("number", [0, 1])
def test_values_and_gradient_shares_are_those_of_the_distiller_on_the_first_batch(lesions, teacher, facts, number):
    explained = facts.stages[number]
    norms = []
    for term in explained.terms:
        batch, distiller = first_step(lesions, teacher, number)
        loss = distiller(batch)[term.name]
        loss.backward()
        assert term.value == pytest.approx(loss.item(), rel=1e-5)
        gradients = [value.grad.flatten() for value in distiller.student.parameters() if value.grad is not None]
        norms.append(torch.cat(gradients).norm().item())
        assert term.weight == distiller.weights[term.name]
        assert term.parameters == sum(value.numel() for value in distiller.terms[term.name].parameters())
    assert [term.gradient_share for term in explained.terms] == pytest.approx([n / sum(norms) for n in norms], rel=1e-4)
    assert sum(term.gradient_share for term in explained.terms) == pytest.approx(1)
    assert explained.trained == facts.student.parameters + sum(term.parameters for term in explained.terms)


def test_stages_are_in_order_and_feature_terms_alone_have_layers(facts):
    assert [(stage.name, stage.epochs) for stage in facts.stages] == [("features", 1), ("logits", 2)]
    assert [[term.name for term in stage.terms] for stage in facts.stages] == [
        ["labels", "hierarchical_fusion", "mgd"], ["labels", "kd"]
    ]  # fmt: skip
    assert [[term.parameters > 0 for term in stage.terms] for stage in facts.stages] == [
        [False, True, True], [False, False]
    ]  # fmt: skip


def test_training_starts_with_the_explained_values(lesions, teacher, tmp_path):
    """Without random masks, an epoch of one step has exactly the explained values."""
    unmasked = [{**term, "options": {**term["options"], "mask_ratio": 0.0}} for term in FEATURES[1:]]
    features = stage("features", FEATURES[0], *unmasked)
    one_step = recipe_for(lesions, teacher, train={"batch_size": 1000}, stages=[features])
    out = trained(one_step, tmp_path / "run")
    (line,) = (out / "metrics.jsonl").read_text().splitlines()
    losses = json.loads(line)["train"]
    values = {term.name: term.value for term in explain(one_step).stages[0].terms}
    assert {"total": sum(values.values()), **values} == pytest.approx(losses, rel=1e-4)


def test_explaining_trains_and_writes_nothing_and_decodes_one_batch(lesions, teacher, facts, tmp_path, monkeypatch):
    students, decoded = [], []
    student, decode = build.student, loader.decode
    monkeypatch.setattr(build, "student", lambda *args, **kw: students.append(student(*args, **kw)) or students[-1])
    monkeypatch.setattr(loader, "decode", lambda path, **kw: decoded.append(path) or decode(path, **kw))
    monkeypatch.chdir(tmp_path)
    before = {path: path.read_bytes() for path in Path(teacher).rglob("*") if path.is_file()}
    assert explain(recipe_for(lesions, teacher)) == facts
    initial = student(schema.ModelConfig(name="tiny"), 8, seed=0)
    (used,) = students
    assert all(torch.equal(value, dict(initial.named_parameters())[name]) for name, value in used.named_parameters())
    assert len(decoded) == 32
    assert list(tmp_path.iterdir()) == []
    assert {path: path.read_bytes() for path in Path(teacher).rglob("*") if path.is_file()} == before


def test_a_recipe_without_a_teacher_is_explained(lesions):
    facts = explain(recipe(lesions))
    assert facts.teacher is None
    (term,) = facts.stages[0].terms
    assert term.gradient_share == pytest.approx(1)
    assert facts.stages[0].trained == facts.student.parameters


def test_mistakes_are_refused_as_in_training(lesions, teacher, tmp_path):
    with pytest.raises(RecipeError, match=r"stages\.0\..*teacher = "):
        explain(recipe_for(lesions))
    with pytest.raises(RunError, match=r"not a run folder.*dspkd train"):
        explain(recipe_for(lesions, tmp_path))
    with pytest.raises(DataError, match="nowhere"):
        explain(recipe_for(tmp_path / "nowhere", teacher))
    with pytest.raises(DataError, match=r"split\.file"):
        explain(recipe_for(lesions, teacher, split={"seed": 5}))


def test_a_term_that_does_not_train_the_student_has_no_gradient_share(lesions, teacher):
    head = [{"method": "ssd_kd", "options": {"trains": "teacher_head"}}, {"method": "eml"}]
    both = [stage("head", *head, teacher_lr=1e-4), stage("student", {"method": "ssd_kd", "carry": True})]
    first, second = explain(recipe_for(lesions, teacher, stages=both)).stages
    assert [term.gradient_share for term in first.terms] == [0, 1]
    assert [term.gradient_share for term in second.terms] == [1]


def test_a_coarse_target_is_warned_of_with_the_nearest_finer_map(lesions, teacher):
    """At 32 pixels the last map and stride 32 have 1 position, stride 16 has 2 x 2, stride 8 has 4 x 4."""
    features = stage("features", *FEATURES)
    first, second = explain(recipe_for(lesions, teacher, stages=[features])).warnings[:2]
    for name, warning in (("hierarchical_fusion", first), ("mgd", second)):
        assert f"stage features: the map that {name} rebuilds has 1 x 1 positions, fewer than 4 x 4" in warning
        assert warning.endswith('options.target = "stride8"')
    finer = [FEATURES[0], *({**term, "options": {"target": "stride8"}} for term in FEATURES[1:])]
    facts = explain(recipe_for(lesions, teacher, stages=[stage("features", *finer)]))
    assert not [warning for warning in facts.warnings if "positions" in warning]
    larger = {"size": 128, "randaugment": {"num_ops": 0}}
    assert not [
        w for w in explain(recipe_for(lesions, teacher, stages=[features], images=larger)).warnings if "pos" in w
    ]


def test_the_map_of_a_teacher_that_sees_more_pixels_is_rebuilt_on_the_students_grid():
    students, teachers = {"last": (7, 2, 3), "pooled": (7,)}, {"last": (9, 4, 6), "pooled": (9,)}
    assert _rebuilt(students, teachers) == {"last": (2, 3)}
    assert _rebuilt({"last": (7, 3, 3)}, {"last": (9, 4, 6)}) == {"last": (4, 6)}


@pytest.mark.parametrize(
    ("shares", "named"),
    [
        ({"labels": 0.95, "kd": 0.05}, ["labels"]),
        ({"labels": 0.09, "kd": 0.91}, ["kd"]),
        ({"labels": 0.89, "kd": 0.11}, []),
        ({"labels": 0.5, "kd": 0.45, "mgd": 0.05}, ["mgd"]),
        ({"labels": 1.0}, []),
        ({"labels": 0.5, "kd": 0.5, "head": 0.0}, []),
        ({"labels": 0.5, "kd": 0.4, "mgd": (0.1, 0.05)}, ["mgd"]),
        ({"labels": 0.1, "kd": 0.8, "mgd": (0.1, 0.4)}, ["labels"]),
    ],
)
def test_a_term_with_nearly_all_or_nearly_none_of_the_gradient_is_warned_of(shares, named):
    def of(share):
        measured, kept = share if isinstance(share, tuple) else (share, None)
        return measured, 0, kept

    terms = tuple(TermFacts(name, 1.0, 1.0, *of(share)) for name, share in shares.items())
    warnings = _unbalanced(StageFacts("s", 1, 1, terms))
    assert [warning.split()[0] for warning in warnings] == named
    assert all("share = 0.4" in warning for warning in warnings)


def test_a_term_with_a_share_is_warned_of_by_that_and_has_the_weight_of_the_first_step(lesions, teacher):
    shared = {"method": "mgd", "share": 0.4, "options": {"target": "stride8"}}
    facts = explain(recipe_for(lesions, teacher, stages=[stage("features", FEATURES[0], shared)]))
    labels, mgd = facts.stages[0].terms
    assert (mgd.share, labels.share) == (0.4, None)
    assert mgd.value == pytest.approx(2 / 3 * labels.value, rel=0.21)  # by value, then one step of a fifth at most
    assert facts.warnings == ()
    low = explain(recipe_for(lesions, teacher, stages=[stage("features", FEATURES[0], {**shared, "share": 0.05})]))
    assert "labels has 95.0% of the gradient" in low.warnings[0]


def test_warnings_are_printed_by_explain_and_plan_and_are_notes_of_the_doctor(lesions, teacher, capsys):
    coarse = recipe_for(lesions, teacher, stages=[stage("features", *FEATURES)])
    print_facts(terminal(), explain(coarse))
    assert "warning: stage features: the map that mgd rebuilds" in " ".join(capsys.readouterr().out.split())
    print_plan(terminal(), plan(coarse, steps=1))
    assert "warning: stage features: the map that mgd rebuilds" in " ".join(capsys.readouterr().out.split())
    notes = [finding for finding in examine(coarse).findings if finding.about == "what the terms can do"]
    assert [note.severity for note in notes] == ["note"] * len(notes)
    assert "the map that mgd rebuilds" in notes[1].message
    shared = {"method": "mgd", "share": 0.4}
    print_facts(terminal(), explain(recipe_for(lesions, teacher, stages=[stage("features", FEATURES[0], shared)])))
    assert "share 0.4" in capsys.readouterr().out


def teaching(lesions, teacher, **settings):
    two_stages = recipe_for(lesions, teacher)
    return replace(two_stages, teacher=TeacherConfig(run=(str(teacher),), **settings))


@pytest.mark.parametrize(
    ("settings", "passes", "lines"),
    [
        ({}, 1, []),
        ({"views": 8}, 8, [r"in training: .*teacher, mean of 8 views; 8 forward passes an image"]),
        ({"size": 40}, 1, [r"in training: .*teacher, on 40 px; 1 forward pass an image"]),
        (
            {"cross_fit": 2, "views": 2},
            4,  # the terms of the first stage read maps
            [
                r"in training: .*teacher, cross-fit in 2 folds, mean of 2 views; 4 forward passes an image",
                r"0 of 2 trained, in .*teacher-cross-fit/2-\w{8}$",
                r"maps and pooled vectors: of .*teacher, which was trained on these images",
            ],
        ),
    ],
)
def test_who_answers_in_training_and_how_often_is_explained(lesions, teacher, settings, passes, lines, capsys):
    facts = explain(teaching(lesions, teacher, **settings))
    assert facts.passes == passes
    assert len(facts.teaching) == len(lines)
    print_facts(terminal(), facts)
    printed = capsys.readouterr().out
    for line, expected in zip(facts.teaching, lines, strict=True):
        assert re.search(expected, line)
        assert line in printed
    side = 40 if "size" in settings else 32
    assert facts.teacher.shapes["stride4"][1] == side // 4
    assert not facts.teacher_warnings


def test_settings_of_the_logits_are_questioned_where_no_term_reads_any(lesions, teacher):
    asking = teaching(lesions, teacher, views=2, cross_fit=2)
    (warning,) = explain(replace(asking, stages=asking.stages[:1])).teacher_warnings
    assert warning.startswith("teacher.views and teacher.cross_fit: no term reads the teacher's logits")


@pytest.mark.parametrize("fields", [{"pooled"}, {"maps"}, {"logits"}, {"logits", "maps"}])
@pytest.mark.parametrize("settings", [{"cross_fit": 2}, {"weights": "agreement"}, {"weights": "label"}, {"views": 2}])
def test_settings_that_change_no_output_that_terms_read_are_questioned(fields, settings):
    (key,) = settings
    runs = ("a",) if "weights" not in settings else ("a", "b", "c")
    warnings = _teacher_warnings(TeacherConfig(run=runs, **settings), frozenset(fields), None, None)
    read = {"logits", "pooled"} if key == "views" else {"logits"}
    about = [f"teacher.{key}"] + ["teacher.run"] * (key == "weights")
    assert [warning.partition(":")[0] for warning in warnings] == ([] if fields & read else about)


def test_a_teacher_size_beyond_the_image_files_is_questioned(lesions, teacher):
    """The lesions have 48 pixels."""
    (warning,) = explain(teaching(lesions, teacher, size=64)).teacher_warnings
    assert re.search(r"teacher\.size = 64: 100% .* smaller .*: 48 px\).* enlarged", warning)
    assert not explain(teaching(lesions, teacher, size=48)).teacher_warnings
