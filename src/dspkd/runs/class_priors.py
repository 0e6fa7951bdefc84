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

IMITATING = (
    "bkd", "dist", "dkd", "eml", "kd", "logit_standardisation", "ltkd", "mlld", "normkd", "ssd_kd", "wsld",
)  # fmt: skip
"""Methods that make the student's logits those of its teacher, and with them its class prior unless they correct it."""

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
    """Return a warning where labels and a term that imitates logits teach other class priors; empty where none does.

    One of the two teaches equally common classes, and the other favours some.
    """
    equal = [name for name, term in objective.terms.items() if term.corrects_prior]
    biased = {name: term for name, term in objective.terms.items() if term.name in IMITATING and name not in equal}
    of_teacher = _favoured(objective.teacher.spec.class_prior if objective.teacher else (), classes)
    for name, term in objective.terms.items():
        if not isinstance(term, Labels) or not any(term.prior):
            continue
        of_labels = _favoured(term.prior, classes)
        if equal and of_labels:
            return (
                f"{', '.join(equal)} teaches as if all classes were equally common, {name} as if {of_labels}; give "
                f"{name} logit_adjustment = 1, or set train.balance = 1"
            )
        if biased and of_teacher and not of_labels:
            able = [each for each, of_each in biased.items() if hasattr(of_each, "adjustment")]
            remedy = f"set the option prior = 1 of {', '.join(able)}" if able else "use kd with prior = 1 instead"
            return (
                f"{name} teaches as if all classes were equally common, {', '.join(biased)} as if {of_teacher}, as "
                f"its teacher learned; {remedy}"
            )
    return ""


def _favoured(prior: Sequence[float], classes: Sequence[str]) -> str:
    """Return which class a prior takes for how common; empty where it is unknown, or all are about as common."""
    shares = {share: c for share, c in zip(prior, classes, strict=False) if share > 0}
    if not shares or (ratio := max(shares) / min(shares)) <= FACTOR:
        return ""
    return f"{shares[max(shares)]} were {ratio:.0f} times as common as {shares[min(shares)]}"
