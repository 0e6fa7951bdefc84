"""Whether losses are finite, and what an epoch has trained, before it is saved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from dspkd.errors import TrainingError, first_few


def finite(weights: Mapping[str, Tensor]) -> list[str]:
    """Return the names of those that are finite; a mask of attention, for instance, is not, and is no fault."""
    return [name for name, value in weights.items() if value.isfinite().all()]


def require_finite_weights(weights: Mapping[str, Tensor], place: str) -> None:
    """Refuse weights and statistics that are not finite after the last step of an epoch, which no loss has shown.

    Raises
    ------
    TrainingError
        Names them.
    """
    if torch.stack([value.isfinite().all() for value in weights.values()]).all():
        return
    bad = [name for name, value in weights.items() if not value.isfinite().all()]
    raise TrainingError(
        f"{place}: weights not finite after its last step: {first_few(bad)}; lower the learning rate or the term's "
        "weight. Epochs before this one are saved"
    )


def require_finite_losses(unchecked: Sequence[Mapping[str, Tensor]], place: str, *, last: int) -> None:
    """Raise TrainingError if a loss of the steps up to `last` is not finite, naming the first such step."""
    if torch.stack([losses["total"] for losses in unchecked]).isfinite().all():
        return
    for step, losses in enumerate(unchecked, start=last + 1 - len(unchecked)):
        bad = [name for name, loss in losses.items() if not loss.isfinite()]
        if bad:
            raise TrainingError(
                f"{place}, step {step + 1}: loss not finite: {', '.join(bad)}; "
                "lower the learning rate or the term's weight. Epochs before this one are saved"
            )
