"""Compiled networks train like uncompiled ones."""

import json
import shutil
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from dspkd.errors import RecipeError, RunError
from dspkd.models import zoo
from dspkd.models.compile import compiled
from dspkd.recipes import schema
from dspkd.runs import train as run
from dspkd.runs.hardware import compiles
from dspkd.runtime.distributed import World
from dspkd.training.compile import Compiled
from dspkd.training.progress import NullProgress
from dspkd.training.teachers.ensemble import EnsembleTeacher
from dspkd.training.teachers.frozen import FrozenTeacher
from dspkd.types import Batch, Output

pytestmark = pytest.mark.compile

LABELS = {"method": "labels"}
MGD = {"method": "mgd", "weight": 0.1, "options": {"hidden": 4}}
SGD = {"optimizer": "sgd", "lr": 1e-3}

needs_compiler = pytest.mark.skipif(
    not any(map(shutil.which, ("g++", "clang++", "c++"))), reason="needs a C++ compiler: apt-get install g++"
)


@pytest.fixture
def captured(monkeypatch):
    """torch.compile that captures networks and gradients as usual, and runs them without code generation.

    Returns the networks that were given to it.
    """
    whole, given = torch.compile, []
    monkeypatch.setattr(
        torch, "compile", lambda network, **_: given.append(network) or whole(network, backend="aot_eager")
    )
    torch.compiler.reset()
    return given


def settings(lesions, cache, **changes):
    default = {
        "name": "compiled",
        "data": {"path": str(lesions)},
        "model": {"name": "tiny"},
        "images": {"size": 32, "randaugment": {"num_ops": 0}},
        "train": {"batch_size": 64},
        "machine": {"threads": 1, "cache": str(cache)},
        "stages": [{"name": "labels", "epochs": 1, **SGD, "terms": [LABELS]}],
    }
    return schema.parse({**default, **changes})


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module", autouse=True)
def _no_pages():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run.artifacts, "keep", lambda *_: None)
        yield


@pytest.fixture(scope="module")
def teacher(lesions, cache, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "teacher"
    run.train(settings(lesions, cache, model={"name": "tiny_wide"}), out)
    return str(out)


@pytest.mark.parametrize("views", ["fresh", 2])
def test_a_compiled_run_has_the_results_of_an_uncompiled_one(views, lesions, cache, teacher, tmp_path, captured):
    """Maps, rotated images, a live and a cached teacher, an average of weights, a last batch that is not full."""
    stages = [
        {"name": "features", "epochs": 1, **SGD, "terms": [LABELS, MGD]},
        {"name": "logits", "epochs": 2, **SGD, "terms": [LABELS, {"method": "eml"}, {"method": "kd"}]},
    ]
    images = {"size": 32, "randaugment": {"num_ops": 0}, "views": views}
    train = {"batch_size": 64, "ema": 0.9}
    plain = settings(lesions, cache, teacher=teacher, stages=stages, images=images, train=train)
    quick = replace(plain, machine=replace(plain.machine, compile=True))
    assert quick.digest == plain.digest
    run.train(plain, tmp_path / "plain")
    caches = set(cache.glob("teacher-*"))
    assert not captured
    run.train(quick, tmp_path / "quick")
    assert {network.name for network in captured} == {"tiny", "tiny_wide"}
    assert set(cache.glob("teacher-*")) == caches
    records, expected = (
        [json.loads(line) for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines()]
        for name in ("quick", "plain")
    )
    assert [record["train"] for record in records] == [pytest.approx(w["train"], abs=1e-5, rel=1e-5) for w in expected]
    assert [record["val"] for record in records] == [pytest.approx(w["val"]) for w in expected]
    weights = load_file(tmp_path / "plain" / "model.safetensors")
    assert load_file(tmp_path / "quick" / "model.safetensors").keys() == weights.keys()
    kept = [
        torch.load(tmp_path / name / "stages/0-features/last.pt")["distiller"].keys() for name in ("quick", "plain")
    ]
    assert kept[0] == kept[1]
    assert json.loads((tmp_path / "quick" / "environment.json").read_text())["compiled"] is True


def test_a_run_may_be_resumed_compiled(lesions, cache, teacher, tmp_path, captured):
    """The first of two stages uncompiled, the second compiled."""
    stages = [{"name": name, "epochs": 1, **SGD, "terms": [LABELS, {"method": "kd"}]} for name in ("one", "two")]
    plain = settings(lesions, cache, teacher=teacher, stages=stages)
    run.train(plain, tmp_path / "whole")

    class Stopped(NullProgress):
        def epoch(self, record):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run.train(plain, tmp_path / "run", Stopped())
    run.train(replace(plain, machine=replace(plain.machine, compile=True)), tmp_path / "run")
    expected = load_file(tmp_path / "whole" / "model.safetensors")
    for name, value in load_file(tmp_path / "run" / "model.safetensors").items():
        torch.testing.assert_close(value, expected[name], rtol=1e-4, atol=1e-5, msg=name)


def test_a_network_is_not_changed_and_is_compiled_once(captured):
    network = zoo.make("tiny", classes=4)
    names, step = list(network.state_dict()), Compiled()
    images = torch.rand(5, 3, 32, 32)
    batch = Batch(images, *[torch.zeros(5, dtype=torch.int64)] * 3)
    network.eval()
    first = step.answer(network, images, batch)
    assert isinstance(first, Output)
    assert list(first.maps) == list(network(images).maps)
    assert step._compiled.keys() == {network}
    before = step._compiled[network]
    step.answer(network, images[:3], batch)
    assert step._compiled[network] is before
    assert list(network.state_dict()) == names


def test_a_compiled_teacher_is_the_same_teacher(captured):
    networks = [zoo.make("tiny", classes=4) for _ in range(2)]
    live = [FrozenTeacher(network, network.spec) for network in networks]
    batch = Batch(torch.rand(5, 3, 32, 32), *[torch.zeros(5, dtype=torch.int64)] * 3)
    for teacher in (live[0], EnsembleTeacher(live)):
        quick = teacher.compiled()
        torch.testing.assert_close(quick.answer(batch).logits, teacher.answer(batch).logits)
        assert not quick.answer(batch).logits.requires_grad
        assert quick.digest() == teacher.digest()
    assert live[0].compiled().trainable_copy().state_dict().keys() == networks[0].state_dict().keys()
    assert live[0].compiled()._compute is not live[0].network
    assert live[0]._compute is live[0].network


def test_compiling_is_off_by_default_and_refused_for_several_ranks(lesions):
    two = World(0, 2, 0, 2)
    on, off = (settings(lesions, "none", machine={"compile": choice}) for choice in (True, False))
    assert not compiles(settings(lesions, "none"), 10**9)
    assert not compiles(off, 10**9, two)
    assert compiles(on, 1)
    with pytest.raises(RecipeError, match=r"^machine\.compile = true: .*2 processes"):
        compiles(on, 1, two)


class Small(nn.Module):
    """Batch normalisation, dropout and a classifier: little to compile."""

    def __init__(self):
        super().__init__()
        self.norm, self.fc = nn.BatchNorm2d(3), nn.Linear(3, 4)

    def forward(self, images):
        map_BCHW = self.norm(images).relu()
        pooled = nn.functional.dropout(map_BCHW.mean(dim=(2, 3)), 0.5, self.training)
        return Output(self.fc(pooled), pooled, {"last": map_BCHW})


@needs_compiler
def test_real_compilation_gives_the_same_outputs_and_gradients(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr("torch._inductor.config.compile_threads", 1)
    monkeypatch.setattr("torch._inductor.config.cpp_cache_precompile_headers", False)
    # Otherwise it compiles a test for each instruction set.
    monkeypatch.setattr("torch._inductor.config.cpp.vec_isa_ok", False)
    torch.compiler.reset()
    torch.manual_seed(0)
    network = Small()
    start = {name: value.clone() for name, value in network.state_dict().items()}
    images = torch.rand(6, 3, 8, 8)
    results = []
    for answer in (network, compiled(network)):
        network.load_state_dict(start)
        network.zero_grad()
        torch.manual_seed(3)
        output = answer(images)
        (output.logits.square().mean() + output.maps["last"].mean()).backward()
        grads = {name: value.grad.clone() for name, value in network.named_parameters()}
        results.append((output.logits.detach(), output.maps["last"].detach(), grads, dict(network.state_dict())))
        results[-1][3].update({name: value.clone() for name, value in results[-1][3].items()})
    for plain, quick in zip(*results, strict=True):
        torch.testing.assert_close(quick, plain, rtol=1e-5, atol=1e-5)
    assert list(tmp_path.rglob("*.so")), "nothing was compiled"


def test_a_missing_compiler_is_a_one_line_error(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr("torch._inductor.config.cpp.cxx", ("nowhere-g++",))
    torch.compiler.reset()
    with pytest.raises(
        RunError, match=r"^machine\.compile = true: torch\.compile failed: .*; set it to false\. It needs"
    ):
        compiled(Small())(torch.rand(6, 3, 8, 9))
