"""Weights inside the checkpoint of a training, behind prefixes, or in a folder of the Hugging Face hub."""

from contextlib import suppress

import pytest
import torch
from safetensors.torch import save_file

from dspkd.errors import PartialWeightsError, WeightsError
from dspkd.models import weights, zoo


@pytest.fixture
def tiny():
    torch.manual_seed(0)
    return zoo.make("tiny", classes=3)


def saved(state, path):
    save_file(state, path) if path.suffix == ".safetensors" else torch.save(state, path)
    return path


@pytest.mark.parametrize(
    ("wrap", "inside"),
    [
        (lambda s: {f"module.{key}": t for key, t in s.items()}, ""),
        (lambda s: {f"module._orig_mod.model.{key}": t for key, t in s.items()}, ""),
        (lambda s: {f"module.{key}": t for key, t in s.items()} | {"n_averaged": torch.tensor(7)}, ""),
        (lambda s: {key: t.half() if t.is_floating_point() else t for key, t in s.items()}, ""),
        (lambda s: {"epoch": 3, "state_dict": {f"model.{key}": t for key, t in s.items()}}, "state_dict"),
        (lambda s: {"model": {key: torch.zeros_like(t) for key, t in s.items()}, "model_ema": s}, "model_ema"),
        (lambda s: {"state_dict": {"fc.weight": torch.zeros(1)}, "state_dict_ema": s, "arch": "x"}, "state_dict_ema"),
    ],
)
@pytest.mark.parametrize("suffix", [".pth", ".ckpt", ".bin"])
def test_a_checkpoint_is_unwrapped_and_its_average_taken(tiny, tmp_path, wrap, inside, suffix):
    path = saved(wrap(tiny.library_state()), tmp_path / f"model{suffix}")
    torch.manual_seed(1)
    back = zoo.make("tiny", classes=3, weights=path)
    assert (back.loaded.count, back.loaded.fresh) == (32, ())
    assert (back.loaded.source, back.loaded.inside) == (str(path), inside)
    assert str(back.loaded).endswith(f"{path} ({inside})" if inside else str(path))
    for name, tensor in tiny.library_state().items():
        torch.testing.assert_close(back.library_state()[name].double(), tensor.double(), rtol=1e-3, atol=1e-6)


def named(state, prefix, scale=1):
    return {f"{prefix}{key}": scale * tensor for key, tensor in state.items()}


@pytest.mark.parametrize(
    ("beside", "prefix"),
    [
        (lambda s: {**named(s, "model."), "criterion.weight": torch.ones(3)}, "model"),
        (lambda s: {**named(s, "model.", 0), **named(s, "model_ema.module.")}, "model_ema.module"),
        (lambda s: {**named(s, "", 0), **named(s, "ema.")}, "ema"),
    ],
)
def test_of_several_parts_the_network_is_taken_and_its_average_first(tiny, tmp_path, beside, prefix):
    path = saved({"state_dict": beside(tiny.library_state())}, tmp_path / "model.ckpt")
    torch.manual_seed(1)
    back = zoo.make("tiny", classes=3, weights=path)
    assert (back.loaded.source, back.loaded.inside) == (str(path), f"state_dict, {prefix}")
    assert all(torch.equal(back.library_state()[name], tensor) for name, tensor in tiny.library_state().items())


def test_two_networks_of_the_same_kind_are_refused(tiny, tmp_path):
    both = {**named(tiny.library_state(), "student."), **named(tiny.library_state(), "teacher.")}
    with pytest.raises(WeightsError, match=r"several networks of this kind, under student\., teacher\."):
        weights.load(tiny, saved(both, tmp_path / "model.pth"))


def test_a_prefix_that_only_contains_the_letters_of_an_average_is_none(tiny, tmp_path):
    both = {**named(tiny.library_state(), "schema."), **named(tiny.library_state(), "teacher.")}
    with pytest.raises(WeightsError, match=r"several networks of this kind, under schema\., teacher\."):
        weights.load(tiny, saved(both, tmp_path / "model.pth"))


def test_quantised_weights_are_refused(tiny, tmp_path):
    state = {
        name: tensor.to(torch.int8) if tensor.ndim > 1 else tensor for name, tensor in tiny.library_state().items()
    }
    with pytest.raises(WeightsError, match=r"is int8, of a quantised network; use its weights from before"):
        weights.load(tiny, saved(state, tmp_path / "model.pth"))


def test_a_classifier_of_another_width_is_left_out_and_reported(tiny, tmp_path):
    path = saved(tiny.library_state(), tmp_path / "model.pth")
    back = zoo.make("tiny", classes=5, weights=path)
    assert back.loaded.other_classes == 3
    assert "its classifier is for 3 classes" in str(back.loaded)


def test_a_folder_of_the_hub_is_read_and_an_empty_one_refused(tiny, tmp_path):
    with pytest.raises(WeightsError, match=r"a folder without model\.safetensors or pytorch_model\.bin"):
        weights.load(tiny, tmp_path)
    saved({key: torch.zeros_like(t) for key, t in tiny.library_state().items()}, tmp_path / "pytorch_model.bin")
    saved(tiny.library_state(), tmp_path / "model.safetensors")
    torch.manual_seed(1)
    back = zoo.make("tiny", classes=3, weights=tmp_path)
    assert all(torch.equal(back.library_state()[name], tensor) for name, tensor in tiny.library_state().items())


ONE = "neck.1.bias"


@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
@pytest.mark.parametrize("keep", [lambda s: {ONE: s[ONE]}, lambda s: {k: t for k, t in s.items() if k != ONE}])
def test_a_file_that_lacks_tensors_of_the_backbone_is_refused_unless_accepted(tiny, tmp_path, suffix, keep):
    state = {key: t for key, t in tiny.library_state().items() if not key.endswith("num_batches_tracked")}
    path, held = tmp_path / f"model{suffix}", keep(state)
    saved(held, path)
    before = {key: t.clone() for key, t in tiny.library_state().items()}
    with pytest.raises(PartialWeightsError, match=rf"has {len(held)} of 32 tensors.*model\.partial_weights = true"):
        weights.load(tiny, path)
    assert all(torch.equal(before[key], t) for key, t in tiny.library_state().items())
    assert weights.load(tiny, path, partial=True).count == len(held)


def test_an_empty_file_is_refused_also_where_tensors_may_be_lacking(tiny, tmp_path):
    saved({}, tmp_path / "model.safetensors")
    with pytest.raises(WeightsError, match="nothing fits"):
        weights.load(tiny, tmp_path / "model.safetensors", partial=True)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_named_as_such(tiny, tmp_path, value):
    state = {key: t.clone() for key, t in tiny.library_state().items()}
    state["stem.0.weight"][0, 0, 0, 0] = value
    with pytest.raises(WeightsError, match=r"stem\.0\.weight has values that are NaN or infinite"):
        weights.load(tiny, saved(state, tmp_path / "model.safetensors"))


def test_a_damaged_file_of_any_kind_is_one_line(tiny, tmp_path):
    path = saved(tiny.library_state(), tmp_path / "model.pt")
    content = path.read_bytes()
    for start in range(0, len(content), len(content) // 8):
        path.write_bytes(content[:start] + bytes(200) + content[start + 200 :])
        with suppress(WeightsError):  # the tensors' own bytes may hold any numbers
            weights.read(path)
