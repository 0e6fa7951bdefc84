"""Tensors of a module's state, without what `get_extra_state` may add to it."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn


def tensors(module: nn.Module, prefix: str = "") -> dict[str, Tensor]:
    """Return the parameters and buffers of a module's state by name."""
    state = module.state_dict(prefix=prefix)
    return {name: value for name, value in state.items() if isinstance(value, Tensor)}


def load_tensors(module: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Give a module the tensors that `tensors` returned; what else its state holds stays as it is."""
    module.load_state_dict({**module.state_dict(), **state})
