"""Modes and frozen weights of networks that belong to the caller."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """Put a network into evaluation mode for the block, then each module into its own mode again."""
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


@contextmanager
def as_before_on_error(*networks: nn.Module) -> Iterator[None]:
    """Where the block raises, give each parameter its `requires_grad` and each module its mode again.

    A call that is refused, or whose training fails, leaves networks that can be passed in once more.
    """
    weights = [(value, value.requires_grad) for network in networks for value in network.parameters()]
    modes = [(module, module.training) for network in networks for module in network.modules()]
    try:
        yield
    except BaseException:
        for value, trained in weights:
            value.requires_grad_(trained)
        for module, training in modes:
            module.training = training
        raise
