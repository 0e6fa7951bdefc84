"""Grad-CAM on the feature map that the classifier pools."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def grad_cam(network: nn.Module, images_B3HW: Tensor, classes_B: Tensor) -> Tensor:
    r"""Compute the Grad-CAM map of a class for each image, from the `last` feature map.

    .. math:: \alpha_c = \frac1{HW} \sum_{ij} \frac{\partial z_k}{\partial A_{cij}}, \qquad
              L_{ij} = \mathrm{ReLU}\Big(\sum_c \alpha_c A_{cij}\Big)

    Parameters
    ----------
    network
        Called as ``network(images)``, returns an `Output`. It runs in evaluation mode and its mode is restored; its
        parameters do not change and may be frozen.
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
    Where the classifier is linear in the mean of the map, :math:`\alpha_c` is its weight over HW, and this is the
    class activation map of Zhou et al. (2016) without its negative part. Its
    resolution is that of the feature map. A heat map shows which places raise the logit, not why they do, nor whether
    they should.

    Source: Selvaraju et al., *Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization*,
    ICCV 2017.
    """
    training = network.training
    network.eval()
    with torch.enable_grad():
        output = network(images_B3HW.detach().requires_grad_())  # so that frozen networks have gradients too
        map_BCHW = output.maps["last"]
        chosen = output.logits.float().gather(1, classes_B.to(output.logits.device)[:, None]).sum()
        (slopes_BCHW,) = torch.autograd.grad(chosen, map_BCHW)  # images do not mix in evaluation mode
    network.train(training)
    weights_BC11 = slopes_BCHW.float().mean(dim=(2, 3), keepdim=True)
    heat_BHW = (weights_BC11 * map_BCHW.detach().float()).sum(dim=1).relu()
    greatest_B11 = heat_BHW.amax(dim=(1, 2), keepdim=True)
    return torch.where(greatest_B11 > 0, heat_BHW / greatest_B11.clamp_min(torch.finfo().tiny), 0.0).cpu()
