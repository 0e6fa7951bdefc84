"""What a recipe should say, given what is known of its teacher: settings to paste after `--set`, each with its reason.

All of it is inferred: no publication prescribes these rules, and none is DSP-KD's.
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
"""Methods that soften by each image's own spread of logits, and the option that scales it."""

PLAIN = dict.fromkeys(("kd", "wsld", "dkd", "ssd_kd", "eml"), "temperature")
"""Methods that divide all logits by one temperature."""

SOFT = 0.6
"""Mean confidence below which softened answers are called too soft (inferred): that of a confident teacher of a
hundred classes at NormKD's published 2.0."""

NEAR = 0.05
"""How far from its bounds a confidence may be before another temperature is proposed (inferred)."""

UNLIKE = 9.0
"""How many times as large as another a gradient may be before the smaller one is taken to be of no account."""


@dataclass(frozen=True)
class Suggestion:
    """A setting, as it stands after ``--set`` or in a grid's ``set``, and why."""

    line: str
    reason: str


@dataclass(frozen=True)
class Softening:
    """A teacher's answers to training images as one term of a recipe softens them.

    Attributes
    ----------
    place
        Of the term in the recipe, such as ``stages.1.terms.1``.
    option
        The option that softens.
    given, fitting
        Its value in the recipe, and that at which confidence comes within its bounds: no more than the teacher's
        accuracy on validation, no less than `SOFT`. None where it is there already, or no value does it.
    confidence, entropy
        With the recipe's value: mean largest probability, mean entropy as a share of that of guessing.
    """

    place: str
    option: str
    given: float
    fitting: float | None
    confidence: float
    entropy: float


def softness(recipe: Recipe, logits_NK: NDArray[np.float32], right: float) -> list[Softening]:
    """Return how each term that softens a teacher's answers would do it.

    Parameters
    ----------
    recipe
        The student's.
    logits_NK
        The teacher's answers to training images, augmented as the recipe does.
    right
        Its accuracy on validation images.
    """
    found = []
    for s, stage in enumerate(recipe.stages):
        for t, term in enumerate(stage.terms):
            option = SPREAD.get(term.method) or PLAIN.get(term.method)
            if option is None:
                continue
            spread, given = term.method in SPREAD, _value(term, option)
            p_NK = softened(logits_NK, given, spread=spread)
            sure = confidence(p_NK)
            wanted = min(max(sure, SOFT), right)
            fits = abs(sure - wanted) < NEAR
            fitting = None if fits else temperature_for(logits_NK, wanted, spread=spread)
            found.append(Softening(f"stages.{s}.terms.{t}", option, given, fitting, sure, entropy(p_NK)))
    return found


def temperatures(soft: Sequence[Softening], right: float) -> list[Suggestion]:
    """Return a setting for each term that would make the answers surer than the teacher is right, or too soft."""
    found = []
    for each in soft:
        if each.fitting is None:
            continue
        too = (
            f"surer than it is right on validation images ({right:.2f}); this value makes the two equal"
            if each.confidence > right
            else f"so soft that they say little; this value gives {min(SOFT, right):.2f}"
        )
        said = f"at {each.option} {each.given:g} its answers to training images have confidence {each.confidence:.2f}"
        found.append(Suggestion(f"{each.place}.options.{each.option}={each.fitting:.3g}", f"{said}, {too} (inferred)"))
    return found


def weights(recipe: Recipe, stages: Sequence[StageFacts]) -> list[Suggestion]:
    """Return a setting for each term whose first gradient is `UNLIKE` that of the labels in its stage."""
    found = []
    for s, (stage, facts) in enumerate(zip(recipe.stages, stages, strict=True)):
        share = {name: term.gradient_share for name, term in zip(stage.part_names, facts.terms, strict=True)}
        labels = share.get("labels", 0.0)
        for t, (name, term) in enumerate(zip(stage.part_names, stage.terms, strict=True)):
            ratio = share[name] / labels if labels else 1.0
            if not find(term.method).needs_teacher or 1 / UNLIKE <= ratio <= UNLIKE or not ratio:
                continue
            found.append(
                Suggestion(
                    f"stages.{s}.terms.{t}.weight={term.weight / ratio:.2g}",
                    f"at the first step {name} has {share[name]:.1%} of the gradient and the labels {labels:.1%}; this "
                    "weight makes the two equal, as MGD's authors advise for theirs (the rule for others is inferred)",
                )
            )
    return found


def _value(term: TermConfig, option: str) -> float:
    default = find(term.method).__init__.__kwdefaults__ or {}
    return float(term.options.get(option, default[option]))
