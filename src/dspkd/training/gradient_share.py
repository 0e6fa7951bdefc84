"""Weights of terms that keep a share of the gradient, whatever the scale of their loss."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

EVERY = 10
"""Steps between two measurements (inferred): each costs a backward pass for each term."""

MEMORY = 0.9
"""What a running average keeps at a measurement (inferred): it looks back over some 100 steps."""

STEEPEST = 1.2
"""Factor by which a weight rises or falls at a measurement, at most (inferred)."""


class GradientShares(nn.Module):
    r"""Weights with which terms keep shares of the gradient that all terms send into the student.

    .. math:: w_m = \frac{s_m}{1 - \sum_k s_k} \, \frac{\sum_n \overline{\|w_n \nabla L_n\|}}{\overline{\|\nabla L_m\|}}

    with the :math:`s` given, k over the terms that have a share, n over those that have a weight (the labels), norms
    over the student's parameters, and bars for running averages over measurements.

    A generator that has learned nothing sends almost no gradient, so the first measurements would give weights a
    thousand times too large. A weight therefore starts where the term's *value* has its share of the values, those
    of terms with a ramp at its end, and approaches the formula by a factor of `STEEPEST` at each measurement: twofold
    in some 40 steps. All of this is inferred; the authors of MGD advise equal values, and no publication a share.

    Parameters
    ----------
    shares
        By name of the term, in (0, 1) and together below 1.

    Attributes
    ----------
    weights
        Present weights, by name; empty before the first step.
    norms
        Running averages by name: for a term with a share, of the unweighted loss's gradient norm.
    """

    def __init__(self, shares: Mapping[str, float]) -> None:
        super().__init__()
        self.shares = dict(shares)
        self.weights: dict[str, float] = {}
        self.norms: dict[str, float] = {}
        self.steps = 0

    def update(
        self, losses: Mapping[str, Tensor], parameters: Iterable[Tensor], unramped: Mapping[str, Tensor] | None = None
    ) -> None:
        """Set the weights before a step.

        Parameters
        ----------
        losses
            Of all terms, by name: without a weight for those that have a share, else weighted.
        parameters
            Of the student.
        unramped
            The losses with the weights that ramps rise to; None where there are no ramps.
        """
        if not self.weights:
            self.weights = self._balanced(
                {name: loss.item() for name, loss in (unramped or losses).items()}, dict.fromkeys(losses, 1.0)
            )
        if self.steps % EVERY == 0:
            values = list(parameters)
            for name, loss in losses.items():
                norm = gradient_norm(loss, values)
                self.norms[name] = norm + MEMORY * (self.norms.get(name, norm) - norm)
            for name, aim in self._balanced(self.norms, self.weights).items():
                now = self.weights[name]
                self.weights[name] = min(max(aim, now / STEEPEST), now * STEEPEST)
        self.steps += 1

    def _balanced(self, sizes: Mapping[str, float], otherwise: Mapping[str, float]) -> dict[str, float]:
        """Return the weights with which sizes have their shares; those of `otherwise` where a size is 0."""
        fixed = sum(size for name, size in sizes.items() if name not in self.shares)
        unit = fixed / (1 - sum(self.shares.values()))
        return {
            name: share * unit / sizes[name] if unit > 0 and sizes[name] > 0 else otherwise[name]
            for name, share in self.shares.items()
        }

    def measured(self) -> dict[str, float]:
        """Return the share of each term that has one, by the running averages and the present weights."""
        weighted = {name: self.weights.get(name, 1.0) * norm for name, norm in self.norms.items()}
        total = sum(weighted.values()) or 1.0
        return {name: weighted[name] / total for name in self.shares}

    def get_extra_state(self) -> dict[str, Any]:
        """Return what a checkpoint keeps."""
        return {"weights": self.weights, "norms": self.norms, "steps": self.steps}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Restore what `get_extra_state` returned."""
        self.weights, self.norms, self.steps = dict(state["weights"]), dict(state["norms"]), state["steps"]


def gradient_norm(loss: Tensor, parameters: Iterable[Tensor]) -> float:
    """Return the norm of the gradient of `loss` by all `parameters`; its graph is kept."""
    gradients = torch.autograd.grad(loss, list(parameters), retain_graph=True, allow_unused=True)
    return nn.utils.get_total_norm([gradient.float() for gradient in gradients if gradient is not None]).item()
