"""Networks of other libraries: their maps and pooled vector, found on one batch."""

import pytest
import timm
import torch
import torchvision
from torch import nn

from dspkd.errors import RecipeError
from dspkd.models import zoo
from dspkd.models.adapted import Adapted

SAMPLE = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", ["shufflenet_v2_x1_0", "mobilenetv2_100"])
def test_taps_and_pooled_vector_are_those_of_the_same_network_of_ours(name):
    ours = zoo.make(name, classes=5).eval()
    theirs = Adapted(ours.network, (SAMPLE - ours.mean) / ours.std, role="student").eval()
    wanted, got = ours(SAMPLE), theirs((SAMPLE - ours.mean) / ours.std)
    assert torch.equal(got.logits, wanted.logits)
    torch.testing.assert_close(got.pooled, wanted.pooled)
    torch.testing.assert_close(got.maps["last"], wanted.maps["last"])
    assert got.maps.keys() == wanted.maps.keys()
    assert (theirs.spec.classes, theirs.spec.pooled) == (5, ours.spec.pooled)
    for tap, values in got.maps.items():
        assert theirs.spec.channels[tap] == values.shape[1]


@pytest.mark.parametrize(("stride", "rows"), [(4, 16), (8, 8), (16, 4), (32, 2)])
def test_a_map_has_the_size_of_its_stride_also_where_that_is_rounded_up(stride, rows):
    network = torchvision.models.resnet18(num_classes=3)
    assert Adapted(network, SAMPLE, role="student")(SAMPLE).maps[f"stride{stride}"].shape[2:] == (rows, rows)
    odd = torch.rand(2, 3, 65, 65)
    shape = Adapted(network, odd, role="student")(odd).maps[f"stride{stride}"].shape[2:]
    assert shape == (-(-65 // stride), -(-65 // stride))


def test_a_vision_transformer_has_no_maps():
    sample = torch.rand(2, 3, 224, 224)
    adapted = Adapted(timm.create_model("vit_tiny_patch16_224", num_classes=4), sample, role="teacher")
    assert adapted.spec.channels == {}
    assert adapted(sample).maps == {}
    assert adapted.spec.pooled == 192


def test_gradients_reach_the_network_through_every_field():
    network = torchvision.models.resnet18(num_classes=3)
    output = Adapted(network, SAMPLE, role="student")(SAMPLE)
    for value in (output.logits, output.pooled, output.maps["last"]):
        gradient = torch.autograd.grad(value.sum(), network.conv1.weight, retain_graph=True)
        assert gradient[0].abs().sum() > 0


def test_the_network_keeps_its_mode_statistics_and_loses_its_hooks():
    network = torchvision.models.resnet18(num_classes=3).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    adapted = Adapted(network, SAMPLE, role="student")
    assert network.training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    adapted.release()
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in network.modules())


class Wrapped(nn.Module):
    """Returns what a Hugging Face model does: an object with logits."""

    def __init__(self, network, field="logits"):
        super().__init__()
        self.network, self.field = network, field

    def forward(self, images):
        return type("ModelOutput", (), {self.field: self.network(images)})()


def test_an_object_with_logits_will_do_and_another_is_refused():
    network = torchvision.models.resnet18(num_classes=3)
    assert Adapted(Wrapped(network), SAMPLE, role="teacher")(SAMPLE).logits.shape == (2, 3)
    with pytest.raises(RecipeError, match=r"teacher: .*ModelOutput; want logits \[B, K\]"):
        Adapted(Wrapped(network, "scores"), SAMPLE, role="teacher")
    with pytest.raises(RecipeError, match=r"student: .*\[2, 512, 2, 2\]; want logits"):
        Adapted(nn.Sequential(*list(network.children())[:-2]), SAMPLE, role="student")


class OneActivation(nn.Module):
    """Calls one activation after each of five convolutions of stride 2."""

    def __init__(self):
        super().__init__()
        self.convolutions = nn.ModuleList(nn.Conv2d(3 if k == 0 else 8 * k, 8 * (k + 1), 3, 2, 1) for k in range(5))
        self.relu, self.head = nn.ReLU(), nn.Linear(40, 4)

    def forward(self, images):
        for convolution in self.convolutions:
            images = self.relu(convolution(images))
        return self.head(images.mean((2, 3)))


def test_a_module_that_is_called_for_every_stage_is_no_tap():
    adapted = Adapted(OneActivation(), SAMPLE, role="student")
    maps = adapted(SAMPLE).maps
    assert {tap: tuple(map_.shape[1:]) for tap, map_ in maps.items()} == {
        "stride4": (16, 16, 16), "stride8": (24, 8, 8), "stride16": (32, 4, 4), "stride32": (40, 2, 2),
        "last": (40, 2, 2),
    }  # fmt: skip
    assert adapted.spec.channels == {tap: map_.shape[1] for tap, map_ in maps.items()}


class OnlyReused(nn.Module):
    """Halves the image by one convolution, again and again."""

    def __init__(self):
        super().__init__()
        self.halve, self.head = nn.Conv2d(3, 3, 3, 2, 1), nn.Linear(3, 4)

    def forward(self, images):
        for _ in range(5):
            images = self.halve(images)
        return self.head(images.mean((2, 3)))


def test_a_network_of_which_no_map_can_be_told_apart_offers_none():
    adapted = Adapted(OnlyReused(), SAMPLE, role="student")
    assert adapted(SAMPLE).maps == adapted.spec.channels == {}
    assert adapted.spec.pooled == 3


def test_a_map_that_changes_its_size_from_call_to_call_is_refused():
    class Restless(nn.Module):
        def __init__(self):
            super().__init__()
            self.calls, self.block, self.head = 0, nn.Conv2d(3, 4, 3, 4, 1), nn.Linear(4, 2)

        def forward(self, images):
            self.calls += 1
            return self.head(self.block(images[..., ::2, ::2] if self.calls > 1 else images).mean((2, 3)))

    with pytest.raises(RecipeError, match=r"teacher: the map stride4 of block is \(8, 8\) .*\(16, 16\).*same modules"):
        Adapted(Restless(), SAMPLE, role="teacher")


def lenet():
    """Return a network without padding: 28, 14, 10 and 5 rows of 32, which is the map of no stride."""
    return nn.Sequential(
        nn.Conv2d(3, 6, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 4),
    )  # fmt: skip


def test_the_mean_over_a_map_of_no_stride_is_no_map_itself():
    sample = torch.rand(2, 3, 32, 32)
    adapted = Adapted(lenet(), sample, role="student")
    assert adapted.spec.channels == {"last": 16}
    assert adapted(sample).maps["last"].shape[2:] == (5, 5)
    assert adapted.spec.pooled == 16


class ChannelAttention(nn.Module):
    """Efficient channel attention: a convolution over the channels, as a sequence of one row."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(1, 1, 3, padding=1)

    def forward(self, x):
        return x * self.conv(x.mean((2, 3))[:, None])[:, 0, :, None, None].sigmoid()


def test_attention_over_channels_leaves_the_maps_before_it():
    halved = [nn.Sequential(nn.Conv2d(3 if k == 0 else 4, 4, 3, 2, 1), ChannelAttention()) for k in range(5)]
    adapted = Adapted(nn.Sequential(*halved, nn.Flatten(), nn.Linear(16, 3)), SAMPLE, role="student")
    assert [*adapted.spec.channels] == ["stride4", "stride8", "stride16", "stride32", "last"]


class Stem(nn.Module):
    """Maps of stride 2, 4, 8 and 64, channels last in between, and a classifier of the pooled last one."""

    def __init__(self):
        super().__init__()
        self.second, self.quarter = nn.Conv2d(3, 4, 3, 2, 1), nn.Conv2d(4, 5, 3, 2, 1)
        self.norm, self.eighth = nn.LayerNorm(5), nn.Conv2d(5, 6, 3, 2, 1)
        self.final, self.head = nn.Conv2d(6, 7, 8, 8), nn.Linear(7, 3)

    def forward(self, images):
        quarter = self.norm(self.quarter(self.second(images)).permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        return self.head(self.final(self.eighth(quarter)).mean(dim=(2, 3)))


@pytest.mark.parametrize("side", [(128, 128), (128, 192), (140, 200)])
def test_the_last_map_may_have_any_stride(side):
    network = Stem()
    adapted = Adapted(network, torch.rand(2, 3, *side), role="student")
    assert adapted.spec.channels == {"stride4": 5, "stride8": 6, "last": 7}
    images = torch.rand(2, 3, *side)
    assert torch.equal(adapted(images).maps["last"], network.final(adapted(images).maps["stride8"]))


def test_each_module_keeps_its_own_mode():
    network = torchvision.models.resnet18(num_classes=3).train()
    network.bn1.eval()
    Adapted(network, SAMPLE, role="student")
    assert network.training
    assert network.layer1.training
    assert not network.bn1.training


def test_a_network_that_is_refused_keeps_no_hooks():
    class Fickle(nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.calls = torchvision.models.resnet18(num_classes=3), 0

        def forward(self, images):
            self.calls += 1
            return self.body(images if self.calls == 1 else images[:, :, :32, :32])

    network = Fickle().train()
    with pytest.raises(RecipeError, match="the map stride4"):
        Adapted(network, SAMPLE, role="student")
    assert network.body.layer1.training
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in network.modules())
