"""Confidence intervals of scores over lesions (bootstrap) and over seeds.

Two things vary by chance: the lesions of the test set, and the seeds of the runs. Images of
one lesion are not independent, so lesions (or patients) are resampled, never images; all runs are scored on the same
resamples, so that the difficulty of a resample cancels from a difference. Seeds are too few to resample: three drawn
with replacement have two thirds of the variance, and far too light tails. So lesions are bootstrapped, and the variance
over seeds is added in closed form, with Student's quantiles. ``benchmarks/verdict_errors.py`` measures the error rates
of this and of the alternatives.

Out-of-fold predictions of a cross-validation need no second seed: each fold has a network of its own, and its score
differs from that of the other folds by its lesions and by its network. The variance over folds is both.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from dspkd.evaluation import cross_validation, seed_variance
from dspkd.evaluation.cross_validation import Divisions
from dspkd.evaluation.predictions import Predictions
from dspkd.evaluation.scoring import LOWER_IS_BETTER, METRICS, counts, evidence, parts, scorers
from dspkd.evaluation.shares import CONFIDENCE, wilson

_WEIGHTS_AT_ONCE = 1 << 20
_VARIED = 1e-12


@dataclass(frozen=True, eq=False)
class Scores:
    """One metric of R runs on the same images.

    Attributes
    ----------
    observed
        ``[R]``, on the images as they are.
    drawn
        ``[R, S]``, on each of S resamples of the groups; column by column the same groups for every run.
    without
        ``[R, D, F]``, on the images without each of the F folds of each of D divisions, NaN for those that a run does
        not have; F is 0 where one network predicted all images.
    weights
        ``[G]``, of the groups in a share, see `evidence`; None for what is no share.
    """

    observed: NDArray[np.float64]
    drawn: NDArray[np.float64]
    without: NDArray[np.float64] = field(default_factory=lambda: np.empty((0, 0, 0)))
    weights: NDArray[np.float64] | None = None

    def of_all(self, value: float) -> tuple[float, float] | None:
        """Return Wilson's interval of a share of 0 or 1, which no resample varies; None for others."""
        if self.weights is None or value not in (0.0, 1.0):
            return None
        return wilson(value * float(self.weights.sum()), self.weights)

    @property
    def folds(self) -> int:
        """Return the number of folds; 0 where one network predicted all images."""
        return int(self.without.shape[2])


@dataclass(frozen=True)
class Estimate:
    """A mean score over runs, or the difference of two, with its interval.

    Attributes
    ----------
    value
        The mean or the difference.
    low, high
        Interval, of confidence `CONFIDENCE`.
    error
        Standard error.
    freedom
        Degrees of freedom of Student's distribution for ``value / error``; infinite for a normal one.
    seeds
        The part of `error` from seeds, as a standard error; None where no arm has a second run, so that the interval
        is for these runs and not for their recipes. Over folds, the part that lesions do not explain.
    others
        Further pairs of `error` and `freedom` that the data allow. Their intervals are no wider; at a level beyond
        `CONFIDENCE` one of them may decide.
    """

    value: float
    low: float
    high: float
    error: float
    freedom: float
    seeds: float | None
    others: tuple[tuple[float, float], ...] = ()

    @property
    def varied(self) -> bool:
        """Return whether anything varied but by rounding; otherwise the interval is a point, and says nothing."""
        return self.error > _VARIED

    def of_score(self, metric: str) -> Estimate:
        """Return it with an interval within the scale of a mean score: [0, 1], or from 0 for a log loss."""
        largest = np.inf if metric in LOWER_IS_BETTER else 1.0
        return replace(self, low=max(self.low, 0.0), high=min(self.high, largest))

    @property
    def ways(self) -> tuple[tuple[float, float], ...]:
        """Return each pair of standard error and degrees of freedom that the data allow."""
        return ((self.error, self.freedom), *self.others)


def resample(
    runs: Sequence[Predictions], metrics: Sequence[str] = METRICS, *, resamples: int = 10_000, seed: int = 0
) -> dict[str, Scores]:
    r"""Score runs on the images as they are and on resamples of their groups, drawn with replacement.

    A resample has as many groups as there are, some of them several times. It is scored from the weights of its groups
    (times drawn ``[S, G]``); see `scorers`. A class missing from a resample is left out of its means, as in
    `summarise`; a resample of one class alone has the observed AUROC (inferred), and images of one class have NaN.

    Parameters
    ----------
    runs
        R predictions of the same images.
    metrics
        Of `METRICS`.
    resamples, seed
        S, and the random seed: the same seed gives the same resamples.

    Returns
    -------
    dict
        `Scores` for each of `metrics`.

    Raises
    ------
    DataError
        Where there is no run, or they are not about the same images, groups, labels and classes.

    Notes
    -----
    For a class with g groups, a bootstrap has (g - 1) / g of the variance: too little where g is below about ten.

    Source: Efron, Tibshirani, *An Introduction to the Bootstrap*, 1993; Field, Welsh, *Bootstrapping clustered data*,
    JRSS B 2007, for drawing whole groups.
    """
    groups, by_metric = scorers(runs, metrics)
    whole_1G = np.ones((1, groups), np.float32)
    observed = {metric: score(whole_1G) for metric, score in by_metric.items()}
    drawn: dict[str, list[NDArray[np.float64]]] = {metric: [] for metric in metrics}
    for times_SG in draws(groups, resamples, seed=seed):
        for metric, score in by_metric.items():
            drawn[metric].append(score(times_SG))
    divisions = Divisions.of(runs)
    folds = len(divisions.less) > 0
    without = {
        metric: score(divisions.less) if folds else np.empty((len(runs), 0)) for metric, score in by_metric.items()
    }
    return {
        metric: Scores(
            observed[metric][:, 0],
            _completed(np.concatenate(drawn[metric], axis=1), observed[metric]),
            divisions.own(_completed(without[metric], observed[metric])),
            evidence(runs[0], metric),
        )
        for metric in by_metric
    }


def _completed(scores_RS: NDArray[np.float64], observed_R1: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(np.isnan(scores_RS), observed_R1, scores_RS)


def draws(groups: int, resamples: int, *, seed: int = 0) -> Iterator[NDArray[np.float32]]:
    """Yield how often each of G groups is drawn in each resample, in chunks ``[S', G]`` that add up to S resamples."""
    generator = np.random.default_rng(seed)
    chunk = max(1, _WEIGHTS_AT_ONCE // groups)
    for first in range(0, resamples, chunk):
        rows = min(chunk, resamples - first)
        picked_SG = generator.integers(groups, size=(rows, groups)) + groups * np.arange(rows)[:, None]
        times_SG = np.bincount(picked_SG.ravel(), minlength=rows * groups).reshape(rows, groups)
        yield times_SG.astype(np.float32)


def resample_f1(runs: Sequence[Predictions], *, resamples: int = 10_000, seed: int = 0) -> dict[str, Scores]:
    """Return ``{class: scores}`` of the F1 of each class that has images, on the resamples of `resample`.

    A resample without an image of a class, true or predicted, gives it 0: its interval then begins there. That of an F1
    of 0 or 1 is Wilson's of a recall of the class, as resamples may not vary it.
    """
    counts_GX = counts(runs)
    names = runs[0].classes
    drawn = [parts(times_SG @ counts_GX, len(names))[2] for times_SG in draws(len(counts_GX), resamples, seed=seed)]
    observed_1RK = parts(counts_GX.sum(axis=0, keepdims=True), len(names))[2]
    drawn_SRK = np.concatenate(drawn)
    present = np.flatnonzero(counts_GX[:, : len(names)].sum(axis=0))
    return {
        names[k]: Scores(observed_1RK[0, :, k], drawn_SRK[:, :, k].T, weights=counts_GX[:, k].astype(np.float64))
        for k in present
    }


def percentiles(scores: Scores, run: int = 0) -> tuple[float, float]:
    """Return the percentile interval of one run over lesions, of confidence `CONFIDENCE`; of 0 or 1 Wilson's."""
    if interval := scores.of_all(float(scores.observed[run])):
        return interval
    low, high = np.quantile(scores.drawn[run], [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)


def estimate(
    scores: Scores,
    one: Sequence[int],
    other: Sequence[int] = (),
    *,
    lend: bool = True,
    pool: Sequence[Sequence[int]] = (),
    least: float = 0.0,
) -> Estimate:
    r"""Return the mean score of an arm's runs, less that of another arm's, with its interval.

    .. math:: e^2 = v - \sum_a \frac{u_a^2}{n_a} + \sum_a \frac{s_a^2}{n_a}, \qquad
              \nu = \frac{e^4}{\sum_a (s_a^2 / n_a)^2 / (n_a - 1)}

    v is the variance of the difference over resamples; :math:`s_a` the standard deviation of arm a's :math:`n_a` runs
    on the images as they are; :math:`u_a` the part of it that v has already, namely what each run has of its own on
    each resample. The interval is never narrower than lesions alone make it: :math:`\pm z \sqrt v`.

    Over folds, :math:`e^2` and :math:`\nu` are those of `dspkd.evaluation.cross_validation.variance` instead.

    Parameters
    ----------
    scores
        From `resample`.
    one, other
        Rows of the runs of each arm; without `other`, the mean of `one` alone.
    lend
        Let an arm with a single run borrow the other's variance over seeds. False where the interval is for that very
        run, such as a teacher, and not for its recipe.
    pool
        Rows of the runs of all arms whose variance over seeds is taken as one:
        :math:`s^2 = \sum_a (n_a - 1) s_a^2 / f` with :math:`f = \sum_a (n_a - 1)` degrees of freedom, in place of each
        :math:`s_a^2`.
    least
        The least standard error over lesions, where it is known in another way: resamples do not differ if a network
        has all lesions of a small group right.

    Notes
    -----
    With `pool` it is the analysis of Obuchowski and Rockette with Hillis' freedom, seeds as readers nested in methods,
    but for the lesions' part, which is this pair's own and not the mean over all pairs (inferred).

    Seeds of two arms are taken as independent, which is conservative where equal seeds rise and fall together.
    Inferred: an arm with a single run borrows the variance of the other arm's seeds; and the lesions' part v is taken
    as known exactly, since its degrees of freedom are those of hundreds of lesions.

    Source: Obuchowski, Rockette, Communications in Statistics 1995; Hillis, Statistics in Medicine 2007, for `pool`;
    Satterthwaite, *An approximate distribution of estimates of variance components*, Biometrics 1946; Welch,
    Biometrika 1947.
    """
    arms = [np.asarray(rows) for rows in (one, other) if len(rows)]
    signed = list(zip((1, -1), arms, strict=False))
    value = sum(sign * float(scores.observed[rows].mean()) for sign, rows in signed)
    if len(arms) == 1 and (interval := scores.of_all(value)):
        return Estimate(value, *interval, 0.0, np.inf, 0.0 if len(arms[0]) > 1 else None)
    lesions = float(np.var(sum(sign * scores.drawn[rows].mean(axis=0) for sign, rows in signed), ddof=1))
    lesions = max(lesions, least**2)
    if scores.folds > 1:
        variance, freedom = cross_validation.variance(scores.observed, scores.without, arms, pool)
        return _wider(value, [(lesions**0.5, np.inf), (variance**0.5, freedom)], max(0.0, variance - lesions) ** 0.5)
    parts = seed_variance.parts(scores.observed, scores.drawn, arms, lend)
    counted = sum(part.counted for part in parts)
    if pool and parts:
        parts = [seed_variance.pooled(scores.observed, arms, pool)]
    seeds = sum(part.variance for part in parts)
    both = max(0.0, lesions - counted) + seeds
    doubt = sum(part.variance**2 / part.freedom for part in parts)
    ways = [(lesions**0.5, np.inf), (both**0.5, both**2 / doubt if doubt else np.inf)]
    return _wider(value, ways, seeds**0.5 if parts else None)


def _wider(value: float, ways: Sequence[tuple[float, float]], seeds: float | None) -> Estimate:
    """Return the estimate with the widest interval, of several pairs of standard error and degrees of freedom."""

    def reach(way: tuple[float, float]) -> float:
        return way[0] * float(stats.t.ppf((1 + CONFIDENCE) / 2, way[1]))

    widest, *others = sorted(ways, key=reach, reverse=True)
    return Estimate(value, value - reach(widest), value + reach(widest), *widest, seeds, tuple(others))
