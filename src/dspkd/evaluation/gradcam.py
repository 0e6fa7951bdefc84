"""Grad-CAM on the feature map that the classifier pools."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dspkd.models.modes import evaluating
from dspkd.models.tapped import Explained, Tapped


def grad_cam(network: nn.Module, images_B3HW: Tensor, classes_B: Tensor) -> Tensor:
    r"""Compute the Grad-CAM map of a class for each image, from the `last` feature map.

    .. math:: \alpha_c = \frac1{HW} \sum_{ij} \frac{\partial z_k}{\partial A_{cij}}, \qquad
              L_{ij} = \mathrm{ReLU}\Big(\sum_c \alpha_c A_{cij}\Big)

    Parameters
    ----------
    network
        A `Tapped`; or a module called as ``network(images)`` that returns an `Output`. It runs in evaluation mode and
        its mode is restored; its parameters do not change and may be frozen.
    images_B3HW
        Float images in [0, 1], on the network's device.
    classes_B
        int64, the class :math:`k` to explain in each image.

    Returns
    -------
    Tensor
        ``[B, H, W]`` float32 on the CPU, H and W those of the map, each image divided by its greatest value, so in
        [0, 1]. All zeros where nothing contributes to the class.

    Notes
    -----
    A vision transformer is explained by the tokens before its last block, others by the map that is pooled. Where the
    classifier is linear in the mean of the map, :math:`\alpha_c` is its weight over HW, and this is the
    class activation map of Zhou et al. (2016) without its negative part. Its
    resolution is that of the feature map. A heat map shows which places raise the logit, not why they do, nor whether
    they should.

    Source: Selvaraju et al., *Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization*,
    ICCV 2017.
    """
    with evaluating(network), torch.enable_grad():
        explained = _explained(network, images_B3HW.detach().requires_grad_())  # frozen networks need gradients too
        chosen = explained.logits.float().gather(1, classes_B.to(explained.logits.device)[:, None]).sum()
        (slopes,) = torch.autograd.grad(chosen, explained.features)  # images do not mix in evaluation mode
    map_BCHW, slopes_BCHW = explained.as_map(explained.features), explained.as_map(slopes)
    weights_BC11 = slopes_BCHW.float().mean(dim=(2, 3), keepdim=True)
    heat_BHW = (weights_BC11 * map_BCHW.detach().float()).sum(dim=1).relu()
    greatest_B11 = heat_BHW.amax(dim=(1, 2), keepdim=True)
    return torch.where(greatest_B11 > 0, heat_BHW / greatest_B11.clamp_min(torch.finfo().tiny), 0.0).cpu()


def _explained(network: nn.Module, images_B3HW: Tensor) -> Explained:
    """Return the logits, and the features that explain them; of a network that is not ours, its map `last`."""
    if isinstance(network, Tapped):
        return network.explained(images_B3HW)
    output = network(images_B3HW)
    return Explained(output.logits, output.maps["last"], lambda features: features)
