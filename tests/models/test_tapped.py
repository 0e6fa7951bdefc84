import copy
from functools import cache

import pytest
import timm
import torch
import torchvision
from torch import nn
from torchvision.transforms.v2.functional import normalize

from dspkd.models import zoo
from dspkd.models.entries import ENTRIES

# Large networks have small sisters here, of the same class: their own shapes are checked on the meta device.
SISTERS = {
    "convnext_base": "convnext_atto",
    "efficientnet_b4": "efficientnet_b0",
    "efficientnet_lite2": "efficientnet_lite0",
    "res2net101": "res2net50_26w_4s",
    "resnet50": "resnet26",
}
NAMES = sorted({SISTERS.get(name, name) for name in zoo.names()})
LIBRARIES = [name for name in NAMES if name not in ENTRIES or ENTRIES[name].library != "dspkd"]
POOLED_PLAINLY = [name for name in NAMES if name != "convnext_atto"]
SMALL = ["shufflenet_v2_x1_0", "shufflenet_v1_x1_0", "mobilenetv2", "tiny"]
OTHERS = ["vit_tiny_patch16_224", "swin_tiny_patch4_window7_224", "mobilenetv3_small_050"]
STRIDES = {"stride4": 4, "stride8": 8, "stride16": 16, "stride32": 32, "last": 32}


@cache
def network_of(name):
    """The network in evaluation mode, with random normalisation statistics so that none is an identity."""
    torch.manual_seed(0)
    tapped = zoo.make(name, classes=8).eval()
    for module in tapped.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.1, 0.1)
            nn.init.uniform_(module.running_var, 0.8, 1.2)
    return tapped


def pixels(side=64, batch=1, seed=0):
    return torch.rand(batch, 3, side, side, generator=torch.Generator().manual_seed(seed))


@cache
def answer(name):
    with torch.no_grad():
        return network_of(name)(pixels(224 if name in OTHERS else 64))


@pytest.mark.parametrize("name", LIBRARIES + OTHERS)
def test_logits_are_the_librarys_own(name):
    tapped = network_of(name)
    mean, std = tapped.mean.flatten().tolist(), tapped.std.flatten().tolist()
    with torch.no_grad():
        want = tapped.network(normalize(pixels(224 if name in OTHERS else 64), mean, std))
    assert want.std() > 0
    torch.testing.assert_close(answer(name).logits, want, rtol=1e-5, atol=1e-6)  # (x - m) / s is rounded once more


@pytest.mark.parametrize("name", [*NAMES, *OTHERS])
def test_the_classifier_reads_the_pooled_vector(name):
    tapped = network_of(name)
    head, pooled = tapped.network.get_submodule(tapped.head), answer(name).pooled
    assert pooled.shape == (1, tapped.spec.pooled)
    assert head.out_features == tapped.spec.classes == 8
    torch.testing.assert_close(pooled @ head.weight.T + head.bias, answer(name).logits, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", POOLED_PLAINLY)
def test_the_last_map_is_what_is_pooled(name):
    got = answer(name)
    torch.testing.assert_close(got.maps["last"].mean((2, 3)), got.pooled, rtol=1e-5, atol=1e-6)


def test_convnexts_last_map_comes_before_its_final_norm():
    got, norm = answer("convnext_atto"), network_of("convnext_atto").network.head.norm
    pooled = nn.functional.layer_norm(
        got.maps["last"].mean((2, 3)), norm.normalized_shape, norm.weight, norm.bias, 1e-6
    )
    torch.testing.assert_close(pooled, got.pooled, rtol=1e-4, atol=1e-5)
    assert got.maps["last"] is got.maps["stride32"]


def test_a_transformers_last_map_is_its_normed_tokens_as_a_grid():
    tapped, got = network_of("vit_tiny_patch16_224"), answer("vit_tiny_patch16_224")
    with torch.no_grad():
        tokens = tapped.network.forward_features(normalize(pixels(224), [0.5] * 3, [0.5] * 3))
    torch.testing.assert_close(got.maps["last"][0, :, 3, 5], tokens[0, 1 + 3 * 14 + 5], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(got.pooled, tokens[:, 0], rtol=1e-4, atol=1e-5)
    with torch.no_grad():  # stride16 is the last block's map, so the final norm turns it into the last map
        normed = tapped.network.norm(got.maps["stride16"].movedim(1, 3)).movedim(3, 1)
    torch.testing.assert_close(normed, got.maps["last"], rtol=1e-4, atol=1e-5)


def test_a_map_with_channels_last_is_permuted():
    got = answer("swin_tiny_patch4_window7_224")
    assert got.maps["last"].shape == (1, 768, 7, 7)
    torch.testing.assert_close(got.maps["last"].mean((2, 3)), got.pooled, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_a_tap_has_the_stride_that_it_names(name):
    assert {tap: (64 // m.shape[2], 64 // m.shape[3]) for tap, m in answer(name).maps.items()} == {
        tap: (stride, stride) for tap, stride in STRIDES.items()
    }
    assert {tap: m.shape[1] for tap, m in answer(name).maps.items()} == network_of(name).spec.channels


@pytest.mark.parametrize("name", ["mobilenetv2", "efficientnet_b0", "resnet18", "res2net50_26w_4s", "convnext_atto"])
def test_no_map_is_overwritten_by_what_comes_after(name):
    network, got = network_of(name).network, answer(name).maps
    x = normalize(pixels(), network_of(name).mean.flatten().tolist(), network_of(name).std.flatten().tolist())
    for place, level in enumerate(network.feature_info):
        tap = f"stride{level['reduction']}"
        if tap != "stride2":
            with torch.no_grad():  # nothing runs after the level itself
                (want,) = network.forward_intermediates(x, [place], stop_early=True, intermediates_only=True)
            torch.testing.assert_close(got[tap], want, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", SMALL)
def test_gradients_reach_every_parameter(name):
    tapped = copy.deepcopy(network_of(name)).train()
    tapped(pixels(64, batch=2)).logits.square().sum().backward()
    assert [key for key, p in tapped.named_parameters() if p.grad is None] == []


@pytest.mark.parametrize("name", SMALL)
def test_a_gradient_through_any_map_reaches_the_first_layer(name):
    tapped = copy.deepcopy(network_of(name)).train()
    first = next(tapped.parameters())
    for m in tapped(pixels(64, batch=2)).maps.values():
        (grad,) = torch.autograd.grad(m.square().sum(), first, retain_graph=True)
        assert grad.any()


@pytest.mark.parametrize("name", SMALL)
def test_it_works_in_bfloat16_and_with_channels_last(name):
    full = answer(name)
    rotated = copy.deepcopy(network_of(name)).to(memory_format=torch.channels_last)
    with torch.no_grad():
        got = rotated(pixels().contiguous(memory_format=torch.channels_last))
        with torch.autocast("cpu", torch.bfloat16):
            low = network_of(name)(pixels())
    torch.testing.assert_close(got.logits, full.logits, rtol=1e-4, atol=1e-4)
    assert low.logits.dtype == torch.bfloat16
    scale = full.logits.abs().max()
    assert (low.logits - full.logits).abs().max() < 0.1 * scale  # 8 bits of mantissa through up to 60 layers


@pytest.mark.parametrize("name", LIBRARIES)
def test_weights_have_the_librarys_names(name):
    key = ENTRIES[name].key if name in ENTRIES else name
    with torch.device("meta"):
        make = torchvision.models.get_model if name.startswith("shufflenet") else timm.create_model
        bare = make(key, num_classes=8)
    bare.load_state_dict(network_of(name).library_state(), strict=True, assign=True)
    assert {key.removeprefix("network.") for key in network_of(name).state_dict()} == set(bare.state_dict())


def test_normalisation_is_no_part_of_the_saved_state():
    assert not [key for key in network_of("tiny").state_dict() if not key.startswith("network.")]


def test_it_can_be_exported_for_any_batch():
    class Logits(nn.Module):
        def __init__(self):
            super().__init__()
            self.tapped = network_of("shufflenet_v2_x1_0")

        def forward(self, images_B3HW):
            return self.tapped(images_B3HW).logits

    batch = torch.export.Dim("batch", min=1, max=64)
    program = torch.export.export(Logits(), (pixels(batch=2),), dynamic_shapes=({0: batch},))
    three = pixels(batch=3, seed=1)
    with torch.no_grad():
        torch.testing.assert_close(
            program.module()(three), network_of("shufflenet_v2_x1_0")(three).logits, rtol=1e-5, atol=1e-5
        )


def test_measuring_its_shape_leaves_no_trace():
    tapped = zoo.make("tiny", classes=3)
    assert all(module.training for module in tapped.modules())
    norm = tapped.network.stem[1]
    assert norm.num_batches_tracked == 0
    assert not norm.running_mean.any()


def test_a_deep_copy_has_the_same_output_and_shares_nothing():
    tapped = network_of("tiny")
    twin = copy.deepcopy(tapped)
    with torch.no_grad():
        assert torch.equal(twin(pixels()).logits, tapped(pixels()).logits)
        twin.network.fc.bias.add_(1)
        assert not torch.equal(twin(pixels()).logits, tapped(pixels()).logits)


@pytest.mark.parametrize("side", [32, 48, 64])
def test_the_tiny_networks_work_from_32_px(side):
    for name in ("tiny", "tiny_wide"):
        with torch.no_grad():
            maps = network_of(name)(pixels(side)).maps
        assert [m.shape[2] for m in maps.values()] == [-(-side // stride) for stride in STRIDES.values()]


def test_the_wide_tiny_network_is_twice_as_wide():
    narrow, wide = network_of("tiny").spec, network_of("tiny_wide").spec
    assert {tap: 2 * c for tap, c in narrow.channels.items()} == wide.channels
    assert sum(p.numel() for p in network_of("tiny").parameters()) == 58_772
