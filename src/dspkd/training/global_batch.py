"""Batch normalisation and dropout over a batch that is split among processes, for any network."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, distributed
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from dspkd.types import Batch


class GlobalBatchNorm(TorchFunctionMode):
    """Context in which batch normalisation and dropout work on the whole batch, of which this process has a share.

    `torch.nn.functional.batch_norm` in training takes mean and variance over the images of all ranks, and sends
    gradients through both; `torch.nn.functional.dropout` draws for all images and takes its rows. No layer is replaced,
    so networks of any library and their state stay as they are. `torch.nn.SyncBatchNorm` does not run on a CPU, and
    does not support timm's layers that join batch normalisation and activation.

    Parameters
    ----------
    batch
        This rank's share. A layer's input may have g times as many rows, in g groups: the batch and derived views.

    Notes
    -----
    Every rank must run the same layers in the same order. Other layers that draw random numbers, such as stochastic
    depth, draw on each rank by itself: training is as good, but then depends on the number of ranks.
    """

    def __init__(self, batch: Batch) -> None:
        super().__init__()
        self._batch = batch

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Compute batch normalisation and dropout over the whole batch, and all else unchanged."""
        if func is F.batch_norm:
            return _batch_norm(*args, **(kwargs or {}))
        if func is F.dropout:
            return self._dropout(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))

    def _dropout(self, x: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:  # noqa: ARG002
        if not training or p == 0:
            return x
        groups = len(x) // len(self._batch)

        def drawn(whole: int) -> Tensor:
            ones = x.new_ones(groups * whole, *x.shape[1:])
            return F.dropout(ones, p).view(groups, whole, *x.shape[1:]).transpose(0, 1)

        return x * self._batch.draw(drawn).transpose(0, 1).reshape(x.shape)


def _batch_norm(
    x: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    if not training:
        return F.batch_norm(x, running_mean, running_var, weight, bias, eps=eps)
    channels = x.shape[1]
    scale = x.new_ones(channels, dtype=_precision(x)) if weight is None else weight
    shift = x.new_zeros(channels, dtype=_precision(x)) if bias is None else bias
    y, mean, var, number = _Normalised.apply(x, scale, shift, eps)
    if running_mean is not None and running_var is not None:
        running_mean.lerp_(mean.to(running_mean.dtype), momentum)
        running_var.lerp_((var * number / (number - 1)).to(running_var.dtype), momentum)
    normalised: Tensor = y
    return normalised


def _precision(x: Tensor) -> torch.dtype:
    return torch.float64 if x.dtype == torch.float64 else torch.float32


class _Normalised(torch.autograd.Function):
    r"""``y = w (x - m) / sqrt(v + eps) + b`` with m and v over the images of all ranks, forwards and backwards.

    With :math:`\hat x` the normalised image, a bar for the mean over all N numbers of a channel on all ranks, and g
    the gradient that arrives, :math:`\partial x = \frac{w}{\sqrt{v + \epsilon}}
    \big(g - \bar g - \hat x\, \overline{g \hat x}\big)`.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        axes = [axis for axis in range(x.ndim) if axis != 1]
        own_var, own_mean = torch.var_mean(x.to(_precision(x)), axes, correction=0)
        number = own_mean.new_full((1,), x.numel() // x.shape[1])
        own = torch.cat([own_mean, own_var, number])
        gathered = [torch.empty_like(own) for _ in range(distributed.get_world_size())]
        distributed.all_gather(gathered, own)
        C = x.shape[1]
        gathered_RN = torch.stack(gathered)
        means_RC, vars_RC, numbers_R1 = gathered_RN[:, :C], gathered_RN[:, C : 2 * C], gathered_RN[:, 2 * C :]
        number = numbers_R1.sum()
        shares_R1 = numbers_R1 / number
        mean = (shares_R1 * means_RC).sum(dim=0)
        var = (shares_R1 * (vars_RC + (means_RC - mean).square())).sum(dim=0)
        y = F.batch_norm(x, mean, var, weight, bias, eps=eps)
        ctx.save_for_backward(x, weight, mean, var, number)
        ctx.eps = eps
        ctx.mark_non_differentiable(mean, var, number)
        return y, mean, var, number

    @staticmethod
    def backward(ctx: Any, grad: Tensor, *_: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        x, weight, mean, var, number = ctx.saved_tensors
        grad_x, grad_weight, grad_bias = torch.ops.aten.native_batch_norm_backward(
            grad, x, weight, mean, var, None, None, False, ctx.eps, [True, True, True]
        )
        sums = torch.cat([grad_weight, grad_bias])
        distributed.all_reduce(sums)
        along, level = (sums / number).chunk(2)
        spread = (var + ctx.eps).rsqrt()
        slope = weight * spread.square() * along
        offset = weight * spread * level - slope * mean
        shape = (1, -1, *[1] * (x.ndim - 2))
        return (
            (grad_x - torch.addcmul(offset.view(shape), x, slope.view(shape))).to(x.dtype),
            grad_weight,
            grad_bias,
            None,
        )
