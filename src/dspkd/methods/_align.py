"""Layers that bring a student's map to the shape of a teacher's."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from dspkd.methods._base import precise

LEVELS = {
    "last": ("last",),
    "last3": ("stride8", "stride16", "stride32"),
    "all": ("stride4", "stride8", "stride16", "stride32"),
}
"""The maps of each choice of levels, shallow to deep."""


def align(student_channels: int, teacher_channels: int) -> nn.Module:
    """Return a 1x1 convolution with bias from student to teacher channels, or the identity if they are equal."""
    if student_channels == teacher_channels:
        return nn.Identity()
    return nn.Conv2d(student_channels, teacher_channels, kernel_size=1)


def projection(channels: int, width: int, kernel_size: int = 1) -> nn.Sequential:
    """Return a convolution of odd `kernel_size` that keeps the grid, followed by batch normalisation."""
    conv = nn.Conv2d(channels, width, kernel_size, padding=kernel_size // 2, bias=False)
    return nn.Sequential(conv, BatchNorm(width))


def coarsened(teacher_BCHW: Tensor, like: Tensor) -> Tensor:
    """Return the teacher's map averaged to the grid of `like`, the student's, where that divides its own.

    A teacher that sees twice the pixels has four times the positions; a sum over them would weigh four times as much.
    Other grids stay as they are.
    """
    (rows, columns), grid = like.shape[2:], teacher_BCHW.shape[2:]
    if grid == like.shape[2:] or grid[0] % rows or grid[1] % columns:
        return teacher_BCHW
    return averaged(precise(teacher_BCHW), like)


def stretched(x_BCHW: Tensor, like: Tensor) -> Tensor:
    """Return the map on the grid of `like`: unchanged if it has that grid, else interpolated bilinearly."""
    grid = like.shape[2:]
    if x_BCHW.shape[2:] == grid:
        return x_BCHW
    return F.interpolate(x_BCHW, size=grid, mode="bilinear", align_corners=False)


def averaged(x_BCHW: Tensor, like: Tensor) -> Tensor:
    """Return the map on the grid of `like` by adaptive average pooling.

    Where the sizes divide, as they do in ordinary networks, this is plain average pooling, whose gradient on a GPU is
    deterministic; that of adaptive pooling is not.
    """
    H, W = x_BCHW.shape[2:]
    rows, columns = like.shape[2:]
    if H % rows == 0 and W % columns == 0:
        return F.avg_pool2d(x_BCHW, kernel_size=(H // rows, W // columns))
    return F.adaptive_avg_pool2d(x_BCHW, (rows, columns))


class BatchNorm(nn.BatchNorm2d):
    """Batch normalisation that accepts a batch of one image with a 1x1 map.

    One value per channel has no spread, and `torch.nn.BatchNorm2d` refuses to train on it; such a batch is normalised
    with the running statistics, which it does not change.
    """

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Return the map normalised per channel."""
        if self.training and x_BCHW.numel() == x_BCHW.shape[1]:
            return F.batch_norm(x_BCHW, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)
        return super().forward(x_BCHW)
