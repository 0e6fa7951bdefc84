import pytest
import torch
from torch import nn

from dspkd.models import macs, zoo


def by_hand(tapped, side):
    """The same counts from the shapes that pass through each module, not from operations."""
    products, around = [], []

    def convolution(module, inputs, output):
        products.append(output.numel() * module.in_channels // module.groups * module.kernel_size[0] ** 2)

    def linear(module, inputs, output):
        products.append(output.numel() * module.in_features)

    def norm(module, inputs, output):
        around.append(output.numel() * (5 if isinstance(module, nn.LayerNorm) else 2))

    hooks = {nn.Conv2d: convolution, nn.Linear: linear, nn.BatchNorm2d: norm, nn.LayerNorm: norm}
    for module in tapped.modules():
        for kind, hook in hooks.items():
            if isinstance(module, kind):
                module.register_forward_hook(hook)
    with torch.no_grad():
        last = tapped.eval()(torch.empty(1, 3, side, side, device="meta")).maps["last"]
    return sum(products), sum(around) + last.numel()


@pytest.mark.parametrize(("name", "side"), [("shufflenet_v1_x1_0", 64), ("resnet18", 64), ("convnext_atto", 96)])
def test_operations_and_modules_are_counted_equally(name, side):
    with torch.device("meta"):
        tapped = zoo.make(name, classes=8)
    counted = macs.count(tapped, side=side)
    assert (counted.whole(8), counted.around) == by_hand(tapped, side)
    assert counted.backbone == counted.products + counted.around


def test_the_maps_that_squeeze_and_excite_averages_count_too():
    with torch.device("meta"):
        tapped = zoo.make("efficientnet_b0", classes=8)
    squeezed = []
    for block in tapped.modules():
        if type(block).__name__ == "SqueezeExcite":
            block.register_forward_hook(lambda module, inputs, output: squeezed.append(inputs[0].numel()))
    products, around = by_hand(tapped, 64)
    assert len(squeezed) == 16
    around += sum(squeezed)
    counted = macs.count(tapped, side=64)
    assert (counted.whole(8), counted.around) == (products, around)


def test_the_classifier_costs_its_inputs_for_each_class():
    with torch.device("meta"):
        two, nine = (macs.count(zoo.make("tiny", classes=classes), side=32) for classes in (2, 9))
    assert two == nine
    assert two.whole(9) - two.whole(2) == 7 * 96


def test_a_network_off_the_meta_device_is_refused():
    with pytest.raises(RuntimeError, match="meta"):
        macs.count(zoo.make("tiny", classes=2))
