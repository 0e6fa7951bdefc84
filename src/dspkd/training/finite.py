"""Whether what an epoch has trained is finite, before it is saved."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from dspkd.errors import TrainingError, first_few


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
