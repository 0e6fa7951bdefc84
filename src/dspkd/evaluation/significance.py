"""Compare recipes pair by pair: better, worse or inconclusive, and the minimum detectable difference.

"Inconclusive" does not mean that two recipes are equal: a true difference as large as the minimum detectable one may
have been missed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np
from scipy import optimize, stats

from dspkd.evaluation.intervals import METRICS, Estimate, estimate, resample
from dspkd.evaluation.predictions import Predictions

LEVEL = 0.05
"""Family-wise error: the chance of any *better* or *worse* among the pairs of a comparison, were all recipes equal."""

POWER = 0.8
"""How often a true difference of the minimum detectable size comes out significant."""


@dataclass(frozen=True)
class Verdict:
    """The result for a pair of arms by one metric.

    Attributes
    ----------
    one, other
        Names of the arms.
    metric
        One of `METRICS`.
    difference
        Of `one` less `other`; its interval is for this pair alone, not corrected.
    p
        Two-sided p-value, corrected by Holm over the pairs. None where both arms have a single run: the spread over
        seeds is then not known.
    word
        ``"better"`` or ``"worse"`` of `one` where `p` is below `LEVEL` (significant); ``"inconclusive"`` otherwise.
    minimum_detectable_difference
        The true difference that comes out significant with power `POWER`, after the correction. None where `p` is.
    """

    one: str
    other: str
    metric: str
    difference: Estimate
    p: float | None
    word: Literal["better", "inconclusive", "worse"]
    minimum_detectable_difference: float | None


def verdicts(
    arms: Mapping[str, Sequence[Predictions]],
    pairs: Sequence[tuple[str, str]] | None = None,
    *,
    resamples: int = 10_000,
) -> list[Verdict]:
    """Compare arms by each of `METRICS`, pair by pair.

    Parameters
    ----------
    arms
        ``{name: runs}``: the predictions of each run of a recipe, one for each seed; all of the same images.
    pairs
        Which arms to compare; by default each with each, in the order of `arms`. Choose them before looking: the
        correction is for these pairs.
    resamples
        Number of bootstrap resamples of the lesions.

    Returns
    -------
    list
        Metric by metric, the pairs in order. P-values are corrected among the pairs of one metric: the first metric is
        the one to decide by, and the others are to be read as further descriptions.

    Raises
    ------
    DataError
        Where the runs are not about the same images; see `resample`.
    """
    chosen = list(combinations(arms, 2)) if pairs is None else list(pairs)
    scores = resample([run for runs in arms.values() for run in runs], resamples=resamples)
    ends = np.cumsum([len(runs) for runs in arms.values()])
    rows = {name: range(end - len(arms[name]), end) for name, end in zip(arms, ends, strict=True)}
    results = []
    for metric in METRICS:
        differences = [estimate(scores[metric], rows[one], rows[other]) for one, other in chosen]
        testable = [difference.seeds is not None for difference in differences]
        corrected = iter(holm([p_value(d) for d, has_p in zip(differences, testable, strict=True) if has_p]))
        for (one, other), difference, has_p in zip(chosen, differences, testable, strict=True):
            p = next(corrected) if has_p else None
            detectable = minimum_detectable_difference(difference, sum(testable)) if has_p else None
            results.append(Verdict(one, other, metric, difference, p, _word(difference.value, p), detectable))
    return results


def p_value(difference: Estimate) -> float:
    """Return the two-sided p-value of a difference, from Student's distribution of ``value / error``.

    1 where nothing varied, for then nothing is known.
    """
    if difference.error == 0:
        return 1.0
    return float(2 * stats.t.sf(abs(difference.value) / difference.error, difference.freedom))


def holm(p_values: Sequence[float]) -> list[float]:
    """Correct p-values for multiple comparisons by Holm, so that `LEVEL` bounds the chance of any false alarm.

    In rising order, the i-th of m is multiplied by m - i + 1; none becomes less than one before it, nor more than 1.

    Source: Holm, *A simple sequentially rejective multiple test procedure*, Scandinavian Journal of Statistics 1979.
    """
    p_M = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p_M, kind="stable")
    corrected_M = np.empty_like(p_M)
    corrected_M[order] = np.minimum(1, np.maximum.accumulate(p_M[order] * np.arange(len(p_M), 0, -1)))
    return [float(p) for p in corrected_M]


def minimum_detectable_difference(difference: Estimate, pairs: int = 1) -> float:
    r"""Return the true difference that this design detects with power `POWER`.

    It is :math:`\delta e` with the error e of `difference` and :math:`\delta` such that a noncentral t exceeds the
    quantile :math:`t_{1 - \alpha / 2m}` with that chance; :math:`\alpha / m` is the level of Holm's correction for the
    first of m pairs.

    Source: Bloom, *Minimum detectable effects*, Evaluation Review 1995, with the noncentral distribution in place of
    the sum of two quantiles, which is up to a fifth too small where there are few seeds.
    """
    freedom = min(difference.freedom, 1e6)  # beyond which nothing changes
    needed = float(stats.t.ppf(1 - LEVEL / (2 * pairs), freedom))
    about = needed + float(stats.t.ppf(POWER, freedom))
    delta = optimize.brentq(lambda delta: stats.nct.sf(needed, freedom, delta) - POWER, 0.9 * about, 2 * about)
    return float(delta) * difference.error


def _word(value: float, p: float | None) -> Literal["better", "inconclusive", "worse"]:
    if p is None or p >= LEVEL:
        return "inconclusive"
    return "better" if value > 0 else "worse"
