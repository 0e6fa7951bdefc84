"""Class priors of a run: the one that its logits reflect, and where a stage's terms oppose each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from dspkd.data.sampling import class_draws
from dspkd.methods.labels import Labels
from dspkd.runs.run_folder import Run
from dspkd.training.distiller import Distiller
from dspkd.types import NetworkSpec

FACTOR = 2.0
"""How many times as common as the rarest class labels may take the commonest beside a corrected teacher; inferred."""


def of_run(run: Run, spec: NetworkSpec) -> tuple[float, ...]:
    """Return the class shares that a finished run's logits reflect; empty where no stage of it has `labels`.

    They follow from its training images per class, its sampling (`train.balance`), and the class weights and logit
    adjustment of the last stage that has `labels`; empty where such terms of one stage differ in them. What its other
    terms do to them is not considered (inferred).
    """
    of_stages = [[term for term in stage.terms if term.method == "labels"] for stage in run.recipe.stages]
    terms = next((terms for terms in reversed(of_stages) if terms), [])
    counts = tuple(run.data.counts["train"][name][0] for name in run.classes)
    draws = class_draws(np.array(counts, dtype=np.int64), balance=run.recipe.train.balance)
    known = replace(spec, class_counts=counts, class_draws=tuple(draws.tolist()))
    priors = {Labels(known, None, **term.options).prior for term in terms}
    return priors.pop() if len(priors) == 1 else ()


def opposition(objective: Distiller, classes: Sequence[str]) -> str:
    """Return a warning where one term teaches equally common classes and labels favour some; empty where none does."""
    equal = [name for name, term in objective.terms.items() if term.corrects_prior]
    for name, term in objective.terms.items():
        if not (equal and isinstance(term, Labels)):
            continue
        shares = {share: c for share, c in zip(term.prior, classes, strict=False) if share > 0}
        if shares and (ratio := max(shares) / min(shares)) > FACTOR:
            return (
                f"{', '.join(equal)} teaches as if all classes were equally common, {name} as if "
                f"{shares[max(shares)]} were {ratio:.0f} times as common as {shares[min(shares)]}; give {name} "
                "logit_adjustment = 1, or set train.balance = 1"
            )
    return ""
