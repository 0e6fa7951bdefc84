import pytest
import torch
from torch.nn import functional as F

from dspkd.models.shufflenet_v1 import ShuffleNetV1, Unit


def by_hand(unit, x, first_groups):
    """The unit, channel by channel and group by group, with no grouped convolution and no shuffle layer."""

    def grouped(x, weight, groups):
        parts = zip(x.chunk(groups, 1), weight.chunk(groups, 0), strict=True)
        return torch.cat([torch.einsum("bchw,oc->bohw", part, w[:, :, 0, 0]) for part, w in parts], 1)

    def norm(x, layer):
        scale = layer.weight / (layer.running_var + layer.eps).sqrt()
        return x * scale.view(1, -1, 1, 1) + (layer.bias - layer.running_mean * scale).view(1, -1, 1, 1)

    stride = 2 if unit.grows else 1
    y = norm(grouped(x, unit.squeeze.weight, first_groups), unit.squeeze_norm).clamp_min(0)
    each = [
        F.conv2d(y[:, c : c + 1], unit.depthwise.weight[c : c + 1], stride=stride, padding=1) for c in range(y.shape[1])
    ]
    y = norm(torch.cat(each, 1), unit.depthwise_norm)
    per_group = y.shape[1] // 3
    y = y[:, [group * per_group + place for place in range(per_group) for group in range(3)]]
    y = norm(grouped(y, unit.expand.weight, 3), unit.expand_norm)
    if unit.grows:
        return torch.cat([F.avg_pool2d(x, 3, 2, 1), y.clamp_min(0)], 1)
    return (x + y).clamp_min(0)


@pytest.mark.parametrize(("inputs", "outputs", "first_groups"), [(24, 240, 1), (48, 96, 3), (96, 96, 3)])
def test_a_unit_is_its_formula(inputs, outputs, first_groups):
    torch.manual_seed(0)
    unit = Unit(inputs, outputs, first_groups=first_groups).eval()
    for tensor in unit.state_dict().values():
        if tensor.ndim == 1:
            tensor.uniform_(0.5, 1.5)
    x = torch.randn(2, inputs, 8, 8)
    with torch.no_grad():
        torch.testing.assert_close(unit(x), by_hand(unit, x, first_groups), rtol=1e-4, atol=1e-5)


def test_only_the_very_first_squeeze_is_ungrouped():
    with torch.device("meta"):
        network = ShuffleNetV1(8)
    groups = [m.squeeze.groups for m in network.modules() if isinstance(m, Unit)]
    assert groups == [1] + [3] * 15


def test_every_input_channel_reaches_every_output_channel_of_two_units():
    torch.manual_seed(0)
    units = torch.nn.Sequential(Unit(48, 48), Unit(48, 48)).double().eval()
    x = torch.randn(1, 48, 3, 3, dtype=torch.double)
    for channel in range(0, 48, 5):
        moved = x.clone()
        moved[:, channel] += 100
        with torch.no_grad():
            changed = (units(moved) - units(x)).abs().amax((0, 2, 3)) > 0
        assert changed.float().mean() > 0.5  # ReLU hides some; without the shuffle at most a third could change
