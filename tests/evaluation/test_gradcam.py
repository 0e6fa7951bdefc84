import pytest
import torch
from torch import nn

from dspkd.evaluation.gradcam import grad_cam
from dspkd.models import zoo
from dspkd.models.tiny import Tiny
from dspkd.types import Output

IMAGES = torch.rand(3, 3, 64, 96, generator=torch.Generator().manual_seed(0))
CLASSES = torch.tensor([0, 2, 2])


@pytest.fixture
def network():
    torch.manual_seed(0)
    tiny = Tiny(4).eval()
    with torch.no_grad():
        tiny(IMAGES)
    return tiny


def activation_maps(network):
    """The class activation map: the classifier's weights of the class times the map, over channels; greatest is 1."""
    with torch.no_grad():
        map_BCHW = network.eval()(IMAGES).maps["last"]
        cam = torch.einsum("bc,bchw->bhw", network.fc.weight[CLASSES], map_BCHW).clamp_min(0)
    return cam / cam.amax(dim=(1, 2), keepdim=True).clamp_min(1e-30)


def test_with_a_linear_head_on_the_mean_it_is_the_class_activation_map(network):
    got = grad_cam(network, IMAGES, CLASSES)
    assert got.shape == (3, 2, 3)
    assert got.amax() == 1
    torch.testing.assert_close(got, activation_maps(network), rtol=1e-4, atol=1e-6)


class Uneven(nn.Module):
    """A network whose map is the image, and whose one logit weighs each place of it differently."""

    def __init__(self):
        super().__init__()
        self.slopes_3HW = torch.randn(3, 64, 96, generator=torch.Generator().manual_seed(1))

    def forward(self, images):
        map_B3HW = images * 1.0
        return Output((map_B3HW * self.slopes_3HW).sum(dim=(1, 2, 3))[:, None], images.mean((2, 3)), {"last": map_B3HW})


def test_gradients_are_averaged_over_the_map():
    network = Uneven()
    want = (network.slopes_3HW.mean((1, 2))[None, :, None, None] * IMAGES).sum(1).clamp_min(0)
    want = want / want.amax(dim=(1, 2), keepdim=True)
    torch.testing.assert_close(grad_cam(network, IMAGES, torch.zeros(3, dtype=torch.int64)), want)


def test_another_class_has_another_map(network):
    assert not torch.allclose(grad_cam(network, IMAGES, CLASSES), grad_cam(network, IMAGES, CLASSES + 1), atol=0.05)


def test_images_do_not_depend_on_one_another(network):
    together = grad_cam(network, IMAGES, CLASSES)
    for row in range(3):
        alone = grad_cam(network, IMAGES[row : row + 1], CLASSES[row : row + 1])
        torch.testing.assert_close(alone[0], together[row], rtol=1e-4, atol=1e-5)


def test_the_map_is_zero_where_nothing_contributes_to_the_class(network):
    with torch.no_grad():
        network.fc.weight.copy_(-network.fc.weight.abs())  # maps are not negative, so every contribution is
    assert grad_cam(network, IMAGES, CLASSES).eq(0).all()


def test_a_frozen_network_is_explained_and_nothing_is_left_behind(network):
    frozen = network.requires_grad_(False).train()
    before = {name: value.clone() for name, value in frozen.state_dict().items()}
    with torch.no_grad():
        got = grad_cam(frozen, IMAGES, CLASSES)
    assert frozen.training
    assert not got.requires_grad
    for name, value in frozen.state_dict().items():
        assert torch.equal(value, before[name]), name
    torch.testing.assert_close(got, activation_maps(frozen), rtol=1e-4, atol=1e-6)
    assert IMAGES.requires_grad is False


@pytest.mark.parametrize(
    "name", ["tiny", "shufflenet_v2_x1_0", "shufflenet_v1_x1_0", "mobilenetv2_100", "resnet18", "convnext_atto"]
)
def test_the_logits_follow_from_the_last_map_of_every_family(name):
    torch.manual_seed(0)
    got = grad_cam(zoo.make(name, classes=4), IMAGES, CLASSES)
    assert got.shape[0] == 3
    assert got.isfinite().all()
    assert got.min() >= 0
    assert set(got.amax(dim=(1, 2)).tolist()) <= {0.0, 1.0}
    assert got.any()


@pytest.mark.parametrize("name", ["vit_tiny_patch16_224", "swin_tiny_patch4_window7_224"])
def test_transformers_are_explained_too(name):
    torch.manual_seed(0)
    side = 224 if "swin" in name else 64
    images = torch.rand(2, 3, side, side)
    got = grad_cam(zoo.make(name, classes=4), images, torch.tensor([0, 1]))
    assert got.shape == (2, side // (32 if "swin" in name else 16), side // (32 if "swin" in name else 16))
    assert got.amax(dim=(1, 2)).tolist() == [1.0, 1.0]
