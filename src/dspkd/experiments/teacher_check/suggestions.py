"""Settings of a recipe that its teacher suggests, to paste after `--set`, each with the reason.

All rules are inferred: no publication prescribes them, DSP-KD's neither.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dspkd.evaluation.softening import confidence, entropy, softened, temperature_for
from dspkd.methods import find
from dspkd.recipes.schema import Recipe
from dspkd.recipes.stage import TermConfig
from dspkd.runs.explain import StageFacts

SPREAD = {"normkd": "t_norm", "logit_standardisation": "temperature"}
"""Methods that divide logits by each image's own standard deviation, and the option that scales it."""

PLAIN = dict.fromkeys(("kd", "wsld", "dkd", "ssd_kd", "eml"), "temperature")
"""Methods that divide all logits by one temperature."""

SOFT = 0.6
"""Mean confidence below which softened outputs are too soft (inferred): that of a confident teacher of a hundred
classes at NormKD's published 2.0."""

NEAR = 0.05
"""How far from its bounds a confidence may be before another temperature is suggested (inferred)."""

DOMINANT = 9.0
"""Ratio of two gradients from which on the smaller one is negligible (inferred)."""


@dataclass(frozen=True)
class Suggestion:
    """A setting, as written after ``--set`` or in a grid's ``set``, and the reason for it."""

    line: str
    reason: str


@dataclass(frozen=True)
class Softening:
    """A teacher's outputs for training images as one term of a recipe softens them.

    Attributes
    ----------
    place
        Key of the term in the recipe, such as ``stages.1.terms.1``.
    option
        The option that softens.
    given, fitting
        Its value in the recipe, and the value at which confidence comes within its bounds: at most the teacher's
        accuracy on validation images, at least `SOFT`. None if it is within them already, or if no value reaches them.
    confidence, entropy
        With the recipe's value: mean largest probability; mean entropy divided by that of the uniform distribution.
    """

    place: str
    option: str
    given: float
    fitting: float | None
    confidence: float
    entropy: float


def softness(
    recipe: Recipe, logits_NK: NDArray[np.float32], right: float, prior: Sequence[float] = ()
) -> list[Softening]:
    """Return how each term of a recipe softens its teacher's outputs.

    Parameters
    ----------
    recipe
        Recipe of the student.
    logits_NK
        The teacher's logits ``[N, K]`` for training images, augmented as the recipe does.
    right
        Its accuracy on validation images.
    prior
        The class prior of its training, which an option ``prior`` of a term removes; empty where it is unknown.
    """
    softened_terms = []
    for s, stage in enumerate(recipe.stages):
        for t, term in enumerate(stage.terms):
            option = SPREAD.get(term.method) or PLAIN.get(term.method)
            if option is None:
                continue
            spread, given = term.method in SPREAD, _value(term, option)
            tau = {"uniform": 1.0}.get(term.options.get("prior", 0.0), term.options.get("prior", 0.0))
            seen_NK = logits_NK - tau * np.log(np.asarray(prior, np.float32)) if tau and prior else logits_NK
            p_NK = softened(seen_NK, given, spread=spread)
            mean = confidence(p_NK)
            target = min(max(mean, SOFT), right)
            fits = abs(mean - target) < NEAR
            fitting = None if fits else temperature_for(seen_NK, target, spread=spread)
            softened_terms.append(Softening(f"stages.{s}.terms.{t}", option, given, fitting, mean, entropy(p_NK)))
    return softened_terms


def temperatures(soft: Sequence[Softening], right: float) -> list[Suggestion]:
    """Return a setting for each term that leaves outputs more confident than the teacher is accurate, or too soft."""
    suggestions = []
    for each in soft:
        if each.fitting is None:
            continue
        problem = (
            f"above its accuracy on validation images ({right:.2f}); this value makes the two equal"
            if each.confidence > right
            else f"too soft to be informative; this value gives {min(SOFT, right):.2f}"
        )
        state = f"at {each.option} {each.given:g} its outputs for training images have confidence {each.confidence:.2f}"
        line = f"{each.place}.options.{each.option}={each.fitting:.3g}"
        suggestions.append(Suggestion(line, f"{state}, {problem} (inferred)"))
    return suggestions


def weights(recipe: Recipe, stages: Sequence[StageFacts]) -> list[Suggestion]:
    """Return a weight for each term that has one and whose first gradient is far from that of the labels.

    Far is a factor of `DOMINANT` either way. A term with a share needs no such advice.
    """
    suggestions = []
    for s, (stage, facts) in enumerate(zip(recipe.stages, stages, strict=True)):
        share = {name: term.gradient_share for name, term in zip(stage.part_names, facts.terms, strict=True)}
        labels = share.get("labels", 0.0)
        for t, (name, term) in enumerate(zip(stage.part_names, stage.terms, strict=True)):
            ratio = share[name] / labels if labels else 1.0
            if term.share or not find(term.method).needs_teacher or 1 / DOMINANT <= ratio <= DOMINANT or not ratio:
                continue
            suggestions.append(
                Suggestion(
                    f"stages.{s}.terms.{t}.weight={term.weight / ratio:.2g}",
                    f"at the first step {name} has {share[name]:.1%} of the gradient and the labels {labels:.1%}; this "
                    "weight makes the two equal, as MGD's authors advise for theirs (the rule for others is inferred)",
                )
            )
    return suggestions


def _value(term: TermConfig, option: str) -> float:
    default = find(term.method).__init__.__kwdefaults__ or {}
    return float(term.options.get(option, default[option]))
