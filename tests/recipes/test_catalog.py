import json
import math
import tomllib
from dataclasses import replace

import pytest

from dspkd import methods
from dspkd.errors import RecipeError
from dspkd.recipes import catalog, schema
from dspkd.runs import train as run
from dspkd.runs import validate


@pytest.mark.parametrize("name", catalog.names())
def test_every_embedded_recipe_is_valid_and_has_a_headline(name):
    validate.check(schema.load(catalog.find(name)))
    assert catalog.headline(catalog.find(name))


STUDENTS = [name for name in catalog.names() if name.startswith("dermoscopy150/") and not name.endswith("/teacher")]
OF_METHOD = {"labels": "dermoscopy150/plain"} | {name.partition("/")[2]: name for name in STUDENTS}


def test_students_of_one_data_set_differ_only_in_their_stages():
    first, *others = (schema.load(catalog.find(name)) for name in STUDENTS)
    assert first.epochs == 15
    for other in others:
        assert (other.data, other.split, other.model, other.images, other.train, other.epochs) == (
            first.data, first.split, first.model, first.images, first.train, first.epochs
        ), other.name  # fmt: skip


@pytest.mark.parametrize("name", STUDENTS)
def test_a_recipe_has_the_name_of_its_file_and_states_what_is_inferred(name):
    recipe = schema.load(catalog.find(name))
    assert recipe.name == name.partition("/")[2]
    used = [methods.find(term.method) for stage in recipe.stages for term in stage.terms]
    header = catalog.find(name).read_text().split("\nname")[0]
    reconstructed = [method for method in used if method.inferred.startswith(("All", "Everything"))]
    assert not reconstructed or "inferred" in header


@pytest.mark.parametrize("name", STUDENTS)
def test_a_recipe_differs_from_plain_only_in_name_teacher_and_stages(name):
    plain, other = (tomllib.loads(catalog.find(each).read_text()) for each in ("dermoscopy150/plain", name))
    assert {key for key in plain if plain[key] != other[key]} <= {"name", "stages"}
    assert set(other) - set(plain) <= {"teacher"}


def test_the_controls_of_dsp_kd_have_its_weights():
    def weights(name):
        stages = schema.load(catalog.find(f"dermoscopy150/{name}")).stages
        return {term.method: term.weight for stage in stages for term in stage.terms if term.method != "labels"}

    whole = weights("dsp_kd")
    assert set(whole) == {"hierarchical_fusion", "normkd"}
    for control in ("dsp_kd_ensemble", "dsp_kd_no_mask", "dsp_kd_swapped", "dsp_kd_joint"):
        assert weights(control) == whole, control
    for part in whole:
        assert weights(part) == {part: whole[part]}


def test_ssd_kd_trains_the_teachers_head_first_and_then_an_initial_student():
    head, student = schema.load(catalog.find("dermoscopy150/ssd_kd")).stages
    (only,) = head.terms
    assert (only.method, only.options, head.keep) == ("ssd_kd", {"trains": "teacher_head"}, "last")
    labels, kd, whole = student.terms
    assert student.start == "initial"
    assert (labels.method, labels.options["class_weights"]) == ("labels", "sqrt_inverse")
    assert (kd.method, whole.method, whole.carry) == ("kd", "ssd_kd", True)


@pytest.fixture(scope="module")
def teacher(lesions, tmp_path_factory):
    return trained("dermoscopy150/teacher", lesions, tmp_path_factory.mktemp("runs") / "teacher", "tiny_wide")


def trained(name, lesions, out, model, *settings):
    """Train the recipe on synthetic lesions with tiny networks, each stage for an epoch; return the run folder."""
    recipe = schema.load(catalog.find(name), [f"data.path='{lesions}'", f"model.name='{model}'", *settings])
    terms = [
        [replace(term, ramp=term.ramp and replace(term.ramp, epochs=1)) for term in stage.terms]
        for stage in recipe.stages
    ]
    short = tuple(
        replace(stage, epochs=1, warmup=0.0, terms=tuple(parts))
        for stage, parts in zip(recipe.stages, terms, strict=True)
    )
    tiny = replace(recipe, stages=short, model=schema.ModelConfig(name=model), images=schema.ImagesConfig(size=32))
    run.train(tiny, out)
    return out


@pytest.mark.parametrize("method", methods.names())
def test_each_method_has_a_recipe_that_trains_on_synthetic_lesions(method, lesions, teacher, tmp_path):
    settings = [] if method == "labels" else [f"teacher='{teacher}'"]
    out = trained(OF_METHOD[method], lesions, tmp_path / "run", "tiny", *settings)
    records = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert any(method in record["train"] for record in records)
    assert all(math.isfinite(value) for record in records for value in record["train"].values())
    assert (out / "model.safetensors").exists()


def test_a_recipe_is_found_by_name_or_by_path(tmp_path):
    assert catalog.find("demo/dsp_kd") == catalog.find("demo/dsp_kd.toml")
    mine = tmp_path / "mine.toml"
    mine.write_text("")
    assert catalog.find(str(mine)) == mine


@pytest.mark.parametrize("name", ["demo/kd.yaml", "demo/kd.v2", ""])
def test_a_name_with_another_suffix_or_none_at_all_is_refused(name):
    with pytest.raises(RecipeError, match=r"^no recipe "):
        catalog.find(name)


def test_an_unknown_recipe_is_refused_with_the_nearest_name():
    with pytest.raises(RecipeError, match="did you mean 'demo/dsp_kd'"):
        catalog.find("demo/dsp_kdd")
    with pytest.raises(RecipeError, match=r"demo/teacher"):
        catalog.find("zzzzzzzz")
    with pytest.raises(RecipeError, match=r"^nowhere.toml: there is no such file; dspkd recipes ls [^\n]{,50}$"):
        catalog.find("nowhere.toml")
    with pytest.raises(RecipeError, match=r"no recipe 'demo/kdd.toml'.*did you mean 'demo/kd'"):
        catalog.find("demo/kdd.toml")
    with pytest.raises(RecipeError, match=r"no recipe 'xxx"):
        catalog.find("x" * 300)
