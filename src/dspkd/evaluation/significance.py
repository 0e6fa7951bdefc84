"""Compare recipes pair by pair: better, worse or inconclusive, and the minimum detectable difference.

A difference is significant where two tests find it so. The *pooled* one takes the variance over seeds as that of all
arms together and is corrected for all pairs; the *pairwise* one knows the pair's own seeds alone and is not corrected.
Pooling is powerful, since three seeds of each of many arms make one good estimate; the pairwise test guards against an
arm whose seeds differ more than those of the others. ``benchmarks/verdict_errors.py`` compares this rule with others.

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
from scipy.special import gammaln

from dspkd.evaluation.cross_validation import require_equal_divisions
from dspkd.evaluation.intervals import Estimate, Scores, estimate, resample
from dspkd.evaluation.predictions import Predictions
from dspkd.evaluation.scoring import LOWER_IS_BETTER, METRICS

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
        Of `one` less `other`; its interval, the wider of the two tests', is for this pair alone, not corrected.
    p
        The larger of `p_pooled` and `p_pairwise`. None where both arms have a single run: the spread over seeds is
        then not known.
    p_pooled
        Two-sided, with the variance over seeds of all arms, corrected by Holm over the pairs.
    p_pairwise
        Two-sided, with the variance over seeds of these two arms, not corrected.
    word
        ``"better"`` or ``"worse"`` of `one` where `p` is below `LEVEL` (significant); ``"inconclusive"`` otherwise. Of
        a log loss, less is better.
    minimum_detectable_difference
        The true difference that comes out significant with power `POWER`, after the correction. None where `p` is, and
        where nothing varied in one of the tests, which then finds no difference of any size.
    """

    one: str
    other: str
    metric: str
    difference: Estimate
    p: float | None
    p_pooled: float | None
    p_pairwise: float | None
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
        ``{name: runs}``: the predictions of each run of a recipe, one for each seed; all of the same images. Out of
        fold, each recipe has as many runs of each division into folds.
    pairs
        Which arms to compare; by default each with each, in the order of `arms`. Choose them before looking: the
        correction is for these pairs.
    resamples
        Number of bootstrap resamples of the lesions.

    Returns
    -------
    list
        Metric by metric, the pairs in order. P-values are corrected among the pairs of one metric: one metric, named
        in advance, decides, and the others are to be read as further descriptions. A metric that these images do not
        define, such as AUROC where all have one class, is left out.

    Raises
    ------
    DataError
        Where the runs are not about the same images, see `resample`, or have other divisions into folds.
    """
    require_equal_divisions(arms)
    chosen = list(combinations(arms, 2)) if pairs is None else list(pairs)
    scores = resample([run for runs in arms.values() for run in runs], resamples=resamples)
    return of_all_scores(scores, rows_of(arms), chosen)


def rows_of(arms: Mapping[str, Sequence[object]]) -> dict[str, range]:
    """Return the rows of each arm's runs in the scores of all runs, arm by arm."""
    ends = np.cumsum([len(runs) for runs in arms.values()]).tolist()
    return {name: range(end - len(arms[name]), end) for name, end in zip(arms, ends, strict=True)}


def of_all_scores(
    scores: Mapping[str, Scores], rows: Mapping[str, Sequence[int]], pairs: Sequence[tuple[str, str]]
) -> list[Verdict]:
    """Return the verdicts by each metric that the images define, from the scores of all runs; see `of_scores`."""
    defined = [metric for metric in METRICS if not np.isnan(scores[metric].observed).any()]
    return [verdict for metric in defined for verdict in of_scores(metric, scores[metric], rows, pairs)]


def of_scores(
    metric: str, scores: Scores, rows: Mapping[str, Sequence[int]], pairs: Sequence[tuple[str, str]]
) -> list[Verdict]:
    """Return the verdict of each pair of arms by one metric; `rows` are those of each arm's runs in `scores`."""
    pairwise = [estimate(scores, rows[one], rows[other]) for one, other in pairs]
    pooled = [estimate(scores, rows[one], rows[other], pool=list(rows.values())) for one, other in pairs]
    testable = [own.seeds is not None for own in pairwise]
    corrected = iter(holm([p_value(d) for d, has_p in zip(pooled, testable, strict=True) if has_p]))
    results = []
    for (one, other), own, all_, has_p in zip(pairs, pairwise, pooled, testable, strict=True):
        wider = max(own, all_, key=lambda each: each.high - each.low)
        if not has_p:
            results.append(Verdict(one, other, metric, wider, None, None, None, "inconclusive", None))
            continue
        p_pooled, p_pairwise = next(corrected), p_value(own)
        p = max(p_pooled, p_pairwise)
        of_all, of_own = minimum_detectable_difference(all_, sum(testable)), minimum_detectable_difference(own)
        detectable = None if of_all is None or of_own is None else max(of_all, of_own)
        word = _word(-wider.value if metric in LOWER_IS_BETTER else wider.value, p)
        results.append(Verdict(one, other, metric, wider, p, p_pooled, p_pairwise, word, detectable))
    return results


def p_value(difference: Estimate) -> float:
    """Return the two-sided p-value of a difference, from Student's distribution of ``value / error``.

    It is the largest of those of `Estimate.ways`; 1 where nothing varied, for then nothing is known.
    """
    if not difference.varied:
        return 1.0
    size = abs(difference.value)
    return max(float(2 * stats.t.sf(size / error, freedom)) for error, freedom in difference.ways if error > 0)


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


def minimum_detectable_difference(difference: Estimate, pairs: int = 1) -> float | None:
    r"""Return the true difference that this design detects with power `POWER`; None where nothing varied.

    It is :math:`\delta e / c` with the error e of `difference` and :math:`\delta` such that a noncentral t with the
    verdict's own degrees of freedom :math:`\nu` exceeds the quantile :math:`t_{1 - \alpha / 2m}` with that chance;
    :math:`\alpha / m` is the level of Holm's correction for the first of m pairs. :math:`c = \sqrt{2 / \nu}
    \, \Gamma((\nu + 1) / 2) / \Gamma(\nu / 2)` is what share of the true error e has in the mean: without it, the
    power is .73 where :math:`\nu = 4`. Of several ways (`Estimate.ways`), it is the largest.

    Source: Bloom, *Minimum detectable effects*, Evaluation Review 1995, with the noncentral distribution in place of
    the sum of two quantiles, which is up to a fifth too small where there are few seeds.
    """
    if not difference.varied:
        return None
    return max(_detectable(error, min(freedom, 1e6), pairs) for error, freedom in difference.ways)  # 1e6 is endless


def _detectable(error: float, freedom: float, pairs: int) -> float:
    needed = float(stats.t.ppf(1 - LEVEL / (2 * pairs), freedom))
    about = needed + float(stats.t.ppf(POWER, freedom))
    delta = optimize.brentq(lambda delta: stats.nct.sf(needed, freedom, delta) - POWER, 0.9 * about, 2 * about)
    share = float(np.sqrt(2 / freedom) * np.exp(gammaln((freedom + 1) / 2) - gammaln(freedom / 2)))
    return float(delta) * error / share


def _word(value: float, p: float) -> Literal["better", "inconclusive", "worse"]:
    if p >= LEVEL:
        return "inconclusive"
    return "better" if value > 0 else "worse"
