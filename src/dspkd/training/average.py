"""The exponential moving average of a student's weights, which is validated, kept and saved in their place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from dspkd.models.state import load_tensors, tensors
from dspkd.training.finite import finite


class WeightAverage:
    r"""The exponential moving average e of a network's state w: parameters, and statistics of batch normalisation.

    After optimiser step t of a stage, counted from 0,

    .. math:: e \leftarrow e + (1 - d_t)(w - e), \qquad d_t = \min\Big(d, \frac{1 + t}{10 + t}\Big),

    and before step 0 e is w. The rule lets the average forget the start of the stage: its mean age is a tenth of the
    steps so far, until it reaches about :math:`1/(1 - d)` at step 10 d / (1 - d). Integers, such as the number of
    batches that batch normalisation has seen, are copied, and so are tensors that are not finite, such as a mask. The
    average is in float32 or the network's own larger type; training itself is unchanged to the bit.

    The network's statistics belong to the activations of w. To average them, rather than to compute them again with e
    on the training images, is inferred: timm does so, PyTorch's `AveragedModel` does either.

    Ranks have equal weights and statistics after each step, so each computes the same average without communication.

    Parameters
    ----------
    network
        The network; its weights may be replaced only in place.
    decay
        d, in [0, 1); with 0 nothing is averaged, and nothing stored.
    steps
        Optimiser steps of the stage so far.
    state
        e after these steps; by default the network's own state.

    Attributes
    ----------
    state
        e, by name as in the network's ``state_dict``; empty where nothing is averaged.
    decay
        d_t of the last step.

    Source: rule of TensorFlow's ``tf.train.ExponentialMovingAverage``, whose ``num_updates`` counts from 0 here.
    """

    def __init__(self, network: nn.Module, decay: float, *, steps: int = 0, state: Mapping[str, Tensor] | None = None):
        self._network, self._limit, self._steps = network, decay, steps
        self.decay = 0.0
        own = tensors(network) if decay else {}
        self.state = {name: _stored((state or own)[name].to(value.device)) for name, value in own.items()}
        self._averaged = [name for name in finite(self.state) if self.state[name].is_floating_point()]

    @torch.no_grad()
    def update(self) -> None:
        """Take the network's state after an optimiser step into the average."""
        if not self._limit:
            return
        self.decay = min(self._limit, (1 + self._steps) / (10 + self._steps))
        own = tensors(self._network)
        averages = {name: self.state[name] for name in self._averaged}
        values = [own[name].to(average.dtype) for name, average in averages.items()]
        torch._foreach_lerp_(list(averages.values()), values, 1 - self.decay)
        for name in self.state.keys() - averages.keys():
            self.state[name].copy_(own[name])
        self._steps += 1

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Let the network have the average as its state for a while; where nothing is averaged, its own."""
        if not self._limit:
            yield
            return
        own = {name: value.clone() for name, value in tensors(self._network).items()}
        load_tensors(self._network, self.state)
        try:
            yield
        finally:
            load_tensors(self._network, own)


def _stored(value: Tensor) -> Tensor:
    dtype = torch.promote_types(value.dtype, torch.float32) if value.is_floating_point() else value.dtype
    return value.to(dtype, copy=True)
