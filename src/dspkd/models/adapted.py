"""Any torch module as a network whose feature maps methods can read: found on one batch, read by hooks."""

from __future__ import annotations

from collections import Counter
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from dspkd.errors import RecipeError
from dspkd.models.modes import evaluating
from dspkd.types import TAPS, NetworkSpec, Output

_ROUNDING = 1e-3
"""How far the sum of probabilities may be from 1, with the rounding of float16."""

STRIDES = {4: "stride4", 8: "stride8", 16: "stride16", 32: "stride32"}


class Adapted(nn.Module):
    """A classifier of any library, with the maps and the pooled vector that `dspkd.types.Output` has.

    One forward pass of `sample` finds the taps: for each stride 4, 8, 16 and 32, the last module whose output is a map
    ``[B, C, H/stride, W/stride]``; ``last`` is the last map of any stride with more than one place. A map has the
    image's proportions: an output ``[B, H, W, C]`` is none. A module that is called more than once, such as one
    activation for all stages, is no tap: which map is whose is not known. The pooled vector is the input of the last
    linear layer, else the mean of ``last`` over its places. Maps before a sequence of tokens do not count: a vision
    transformer has logits and pooled vector alone.

    Parameters
    ----------
    network
        Called as ``network(images)``; returns logits ``[B, K]``, or an object with ``.logits``. It stays as it is, but
        for the hooks.
    sample
        Images ``[B, 3, H, W]`` as the network expects them, on its device.
    role
        What to call it in messages: ``student`` or ``teacher``.

    Raises
    ------
    RecipeError
        The network returns no logits ``[B, K]``, or such as are not finite, or probabilities; or a map has another size
        than when it was found.
    """

    def __init__(self, network: nn.Module, sample: Tensor, *, role: str) -> None:
        super().__init__()
        self.network, self._role = network, role
        self._taps, self._head = _find(network, sample)
        self._seen: dict[str, Tensor] = {}
        self._handles = self._hook()
        try:
            output = self._checked(sample)
        except BaseException:
            self.release()
            raise
        self.spec = NetworkSpec(
            classes=output.logits.shape[1],
            pooled=output.pooled.shape[1],
            channels={tap: map_BCHW.shape[1] for tap, map_BCHW in output.maps.items()},
        )

    def forward(self, images_B3HW: Tensor) -> Output:
        """Return logits, pooled vector and maps."""
        self._seen.clear()
        logits_BK = _logits(self.network(images_B3HW), self._role)
        maps = {tap: self._seen[tap] for tap in TAPS if tap in self._taps}
        pooled_BD = self._seen.pop("pooled", None)
        if pooled_BD is None:
            pooled_BD = maps["last"].mean(dim=(2, 3)) if maps else logits_BK
        self._seen.clear()
        return Output(logits_BK, pooled_BD, maps)

    def _checked(self, sample: Tensor) -> Output:
        """Return what a second call returns; RecipeError where its maps are not those of the first."""
        with evaluating(self.network), torch.no_grad():
            output: Output = self(sample)
        _require_logits(output.logits, self._role)
        for stride, tap in STRIDES.items():
            wanted = _grid(sample, stride)
            if tap in output.maps and (size := tuple(output.maps[tap].shape[2:])) != wanted:
                raise RecipeError(
                    f"{self._role}: the map {tap} of {self._taps[tap]} is {size} at one call and {wanted} at another; "
                    "its forward pass must call the same modules each time"
                )
        return output

    def release(self) -> None:
        """Remove the hooks from the network."""
        for handle in self._handles:
            handle.remove()

    def _hook(self) -> list[RemovableHandle]:
        modules = dict(self.network.named_modules())

        def keep_output(tap: str) -> Any:
            return lambda _module, _inputs, output: self._seen.__setitem__(tap, output)

        def keep_input(_module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            self._seen["pooled"] = inputs[0]

        handles = [modules[name].register_forward_hook(keep_output(tap)) for tap, name in self._taps.items()]
        return [*handles, modules[self._head].register_forward_pre_hook(keep_input)] if self._head else handles


def _logits(output: Any, role: str) -> Tensor:
    logits = getattr(output, "logits", output)
    if not isinstance(logits, Tensor) or logits.ndim != 2:
        came = f"{list(logits.shape)}" if isinstance(logits, Tensor) else type(output).__name__
        raise RecipeError(f"{role}: its forward pass returned {came}; want logits [B, K], or an object with .logits")
    return logits


def _require_logits(logits_BK: Tensor, role: str) -> None:
    """Refuse what is no logits: as a teacher, probabilities would be softened twice and teach next to nothing."""
    logits_BK = logits_BK.float()
    if not logits_BK.isfinite().all():
        raise RecipeError(
            f"{role}: its logits of the first batch are not finite; check the images of the loader and its weights"
        )
    sum_to_1 = (logits_BK.sum(dim=1) - 1).abs().max() < _ROUNDING
    if logits_BK.shape[1] > 1 and sum_to_1 and logits_BK.min() >= 0:
        raise RecipeError(
            f"{role}: its forward pass returned probabilities, whose rows sum to 1; want logits: remove the softmax at "
            "its end, or return their logarithm: output.clamp_min(1e-6).log()"
        )


def _find(network: nn.Module, sample: Tensor) -> tuple[dict[str, str], str]:
    """Return ``{tap: module}`` and the name of the last linear layer with input ``[B, D]``, "" where there is none."""
    called = shapes(network, sample)
    calls = Counter(name for name, _, _ in called)
    taps: dict[str, str] = {}
    head, larger = "", False
    for name, of_inputs, of_output in called:
        if len(of_inputs) == len(of_output) == 2:
            head = name if isinstance(network.get_submodule(name), nn.Linear) else head
        # A sequence of tokens: no earlier map is what the classifier reads. One row is attention over channels.
        if len(of_output) == 3 and of_output[1] > 1:
            taps.clear()
        pooled = tuple(of_output[2:]) == (1, 1) and larger
        larger = larger or (len(of_output) == 4 and tuple(of_output[2:]) != (1, 1))
        if len(of_output) != 4 or calls[name] > 1 or pooled:
            continue
        if not _is_map(of_output, sample):
            continue
        taps["last"] = name
        for stride, tap in STRIDES.items():
            if tuple(of_output[2:]) == _grid(sample, stride):
                taps[tap] = name
    return taps, head


def _is_map(of_output: torch.Size, sample: Tensor) -> bool:
    """Return whether an output has the image's proportions, within a place: one of ``[B, H, W, C]`` has not."""
    (height, width), (rows, columns) = sample.shape[-2:], of_output[2:]
    return abs(rows * width - columns * height) <= (max(height, width) if height != width else 0)


def _grid(sample: Tensor, stride: int) -> tuple[int, int]:
    """Return height and width of a map of this stride."""
    height, width = sample.shape[-2:]
    return -(-height // stride), -(-width // stride)


def shapes(network: nn.Module, sample: Tensor) -> list[tuple[str, torch.Size, torch.Size]]:
    """Return name, input and output shape of each module that a forward pass calls, in the order in which they end."""
    called: list[tuple[str, torch.Size, torch.Size]] = []

    def record(name: str) -> Any:
        def hook(_module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
            if inputs and isinstance(inputs[0], Tensor) and isinstance(output, Tensor):
                called.append((name, inputs[0].shape, output.shape))

        return hook

    handles = [module.register_forward_hook(record(name)) for name, module in network.named_modules() if name]
    try:
        with evaluating(network), torch.no_grad():
            network(sample)
    finally:
        for handle in handles:
            handle.remove()
    return called
