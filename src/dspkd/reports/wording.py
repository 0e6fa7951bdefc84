"""Texts of a report: the verdict of a run or comparison, and formatted numbers."""

from __future__ import annotations

from collections.abc import Sequence

from dspkd.evaluation.intervals import Estimate
from dspkd.evaluation.metrics import Summary
from dspkd.evaluation.scoring import TITLES
from dspkd.evaluation.significance import POWER, Verdict
from dspkd.reports.comparison import ArmRuns
from dspkd.runs.run_folder import Run
from dspkd.runtime.rounding import score

DISCLAIMER = (
    "This is a research result, not a diagnosis. The model has not been assessed as a medical device; its "
    "predictions must not decide anyone's care. If a skin change worries you, see a doctor."
)

UNPUBLISHED = (
    "The paper that describes DSP-KD prints no training settings: image size, learning rates, epochs, masks, "
    "temperatures and weights in the recipe are inferred or chosen by its writer, and none is quoted from the paper."
)

ONE_RUN_EACH = "one run each cannot tell"
"""The result for a pair of methods with one run each, in a few words."""

ABOUT_INTERVALS = (
    "Each interval is for its pair alone: where it leaves out 0 and the difference is still *inconclusive after "
    "correction*, so many pairs would show such a difference by chance. Where both have a single run, its interval "
    "covers other images and not other seeds, so *one run each cannot tell*."
)
"""How a difference can be inconclusive though its interval is on one side of 0, in Markdown."""


def verdict(run: Run, test: Summary) -> str:
    """Summarise the result of a run in one or two sentences."""
    result = run.result
    present = [row for row in test.per_class if row.images]
    best = max(present, key=lambda row: row.recall)
    worst = min(present, key=lambda row: row.recall)
    of = of_lesions(test.groups)
    distilled = ", distilled from a teacher," if result.teacher else ""
    first = (
        f"{result.model} ({parameters(result.parameters)} parameters){distilled} reaches balanced accuracy "
        f"{score(test.balanced_accuracy)} on {counted(test.images, 'test image')}{of} "
        f"in {counted(len(present), 'class', 'classes')}; chance is {1 / len(present):.3f}."
    )
    if best.recall == worst.recall:
        return f"{first} Recall is the same for every class."
    return (
        f"{first} Recall is highest for {best.name} ({score(best.recall)}), lowest for {worst.name} "
        f"({score(worst.recall)})."
    )


def of_lesions(number: int) -> str:
    """Return of how many named lesions or patients images are, nothing where there are no ids.

    >>> of_lesions(2), of_lesions(0)
    (' of 2 lesions or patients', '')
    """
    return f" of {counted(number, 'lesion or patient', 'lesions or patients')}" if number else ""


def comparison(ranked: Sequence[ArmRuns], results: Sequence[Verdict]) -> str:
    """Return which method came first, and whether its lead over the second is significant."""
    first = ranked[0]
    lead = f"{first.name} has {TITLES[first.metric]} {_spread(first)}"
    if len(ranked) == 1:
        return f"{lead}."
    second = ranked[1]
    text = f"Of {len(ranked)} methods, {lead}, the best; {second.name} follows with {_spread(second)}."
    names = {first.name, second.name}
    pair = next(row for row in results if {row.one, row.other} == names and row.metric == first.metric)
    return f"{text} {significance(pair)}"


def result(verdict: Verdict) -> str:
    """Return a verdict in a few words, which its interval never contradicts.

    Two things can make a difference inconclusive though its interval is on one side of 0: one run each, whose interval
    does not cover other seeds; and the correction for several pairs, which the interval does not have.
    """
    if verdict.p is None:
        return ONE_RUN_EACH
    return f"{verdict.word} after correction" if _needs_reason(verdict) else verdict.word


def _needs_reason(verdict: Verdict) -> bool:
    """Return whether a verdict is inconclusive though its interval is on one side of 0."""
    difference = verdict.difference
    return verdict.word == "inconclusive" and difference.varied and difference.low * difference.high > 0


def significance(verdict: Verdict) -> str:
    """Return a verdict in a sentence or two."""
    difference = verdict.difference
    unit = unit_of(verdict.metric)
    value = amount(difference.value, verdict.metric)
    by = f"{value} {unit} (95 % interval {interval_of(difference, verdict.metric)})"
    if verdict.p is None:
        return (
            f"One run each cannot tell whether {verdict.one} is better than {verdict.other}: these two runs differ by "
            f"{by}, and runs with other seeds may differ by more, by less, or the other way round."
        )
    if verdict.word == "inconclusive":
        why = "; the interval is for this pair alone, without the correction for all pairs" * _needs_reason(verdict)
        least = verdict.minimum_detectable_difference
        size = "not known, as nothing varied" if least is None else f"{detectable(least, verdict.metric)} {unit}"
        return (
            f"Whether {verdict.one} differs from {verdict.other} is {result(verdict)}: {by}{why}. "
            f"The minimum detectable difference ({POWER:.0%} power) is {size}."
        )
    return (
        f"{verdict.one} is significantly {verdict.word} than {verdict.other}: {by}, p {p_value(verdict.p)} "
        "after correction."
    )


SHARED_TRAINING_IMAGES = (
    "The networks of two folds share most of their training images, so the variance over folds is enlarged (Nadeau and "
    "Bengio 2003): a difference has to hold for other training sets too."
)


def spread(folds: int, repeats: int = 1, *, named: bool = True, single: bool = False) -> str:
    """Return what the figures of methods are: mean, standard deviation and interval, over seeds or out of fold.

    `folds`, `repeats`: number of folds, 0 without, and in how many ways the images are divided into them;
    `named`: whether the data set names lesions or patients; `single`: whether a method has a single run.
    """
    units = "lesions or patients" if named else "images"
    if not folds:
        alone = f", of a single run over {units} alone" * single
        return f"Mean ± standard deviation over seeds (n - 1); the interval is over {units} and seeds{alone}."
    unseen = "lesion or patient" if named else "part of the images"
    divided = f", and the images divided into folds in {repeats} ways" * (repeats > 1)
    each = "each seed and each of these ways" if repeats > 1 else "each seed"
    over = "over these runs" if repeats > 1 else "over seeds, or over folds where there is one seed"
    return (
        f"{folds} folds{divided}, out-of-fold: each image is predicted once for {each}, by the network that was not "
        f"trained on its {unseen}. AUROC compares images of the same fold, whose scores are of one network; the other "
        f"metrics are of all images together. Mean ± standard deviation (n - 1) {over}; the interval is over {units} "
        f"and folds. {SHARED_TRAINING_IMAGES}"
    )


def points(share: float) -> str:
    """Return a difference of shares in percentage points, with its sign.

    >>> points(0.0164), points(-0.2), points(-0.0002)
    ('+1.6', '\N{MINUS SIGN}20.0', '+0.0')
    """
    return f"{round(100 * share, 1) + 0.0:+.1f}".replace("-", "\N{MINUS SIGN}")


def unit_of(metric: str) -> str:
    """Return the unit of a difference by a metric: percentage points of shares, nats of a log loss."""
    return "nats" if metric == "log_loss" else "percentage points"


def amount(difference: float, metric: str) -> str:
    """Return a difference by a metric with its sign, in `unit_of` it.

    >>> amount(0.0164, "accuracy"), amount(-0.2, "log_loss")
    ('+1.6', '\N{MINUS SIGN}0.200')
    """
    return f"{difference:+.3f}".replace("-", "\N{MINUS SIGN}") if metric == "log_loss" else points(difference)


def interval_of(difference: Estimate, metric: str) -> str:
    """Return the interval of a difference by a metric, a dash where nothing varied, so that there is none."""
    if not difference.varied:
        return "\N{EN DASH}"
    return f"{amount(difference.low, metric)} to {amount(difference.high, metric)}"


def detectable(difference: float | None, metric: str) -> str:
    """Return a minimum detectable difference in `unit_of` its metric, a dash where there is none.

    >>> detectable(0.0312, "accuracy"), detectable(0.0312, "log_loss"), detectable(None, "accuracy")
    ('3.1', '0.031', '\N{EN DASH}')
    """
    if difference is None:
        return "\N{EN DASH}"
    return f"{difference:.3f}" if metric == "log_loss" else f"{100 * difference:.1f}"


def p_value(p: float | None) -> str:
    """Return a p-value with three decimals at most, a dash where there is none.

    >>> p_value(0.0312), p_value(1e-9), p_value(None)
    ('0.031', '< 0.001', '\N{EN DASH}')
    """
    if p is None:
        return "\N{EN DASH}"
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def _spread(arm: ArmRuns) -> str:
    score = arm.score
    runs = counted(len(arm.runs), "run") + f" of {arm.folds} folds" * bool(arm.folds)
    return f"{score.mean:.3f} in {runs}" if score.sd is None else f"{score.mean:.3f} ± {score.sd:.3f} over {runs}"


def parameters(number: int) -> str:
    """Format a number of parameters.

    >>> parameters(1261804), parameters(950)
    ('1.26 M', '950')
    """
    return f"{number / 1e6:.2f} M" if number >= 10_000 else str(number)


def size(nbytes: float) -> str:
    """Format a number of bytes.

    >>> size(5_062_144), size(83_100), size(512)
    ('5.1 MB', '83 kB', '512 bytes')
    """
    if nbytes < 1000:
        return f"{nbytes:.0f} bytes"
    return f"{nbytes / 1e6:.1f} MB" if nbytes >= 1e6 else f"{nbytes / 1e3:.0f} kB"


def milliseconds(number: float) -> str:
    """Format milliseconds with three digits.

    >>> milliseconds(3.1416), milliseconds(34.26), milliseconds(1234.5)
    ('3.14 ms', '34.3 ms', '1,234 ms')
    """
    return f"{number:,.0f} ms" if number >= 100 else f"{number:.3g} ms"


def times(ratio: float, above: str, below: str) -> str:
    """Format how many times smaller or faster something is: `above` where it is, `below` where it is the reverse.

    >>> times(3.84, "smaller", "larger"), times(0.5, "faster", "slower"), times(1.0, "faster", "slower")
    ('3.8 times smaller', '2.0 times slower', 'the same')
    """
    if 0.95 < ratio < 1.05:
        return "the same"
    more, word = (ratio, above) if ratio > 1 else (1 / ratio, below)
    return f"{more:.1f} times {word}" if more < 100 else f"{more:,.0f} times {word}"


def duration(seconds: float) -> str:
    """Format a duration.

    >>> duration(42), duration(125), duration(7380)
    ('42 s', '2 min 5 s', '2 h 3 min')
    """
    minutes, rest = divmod(round(seconds), 60)
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def counted(number: int, one: str, many: str = "") -> str:
    """Format a number with its noun.

    >>> counted(1, "lesion"), counted(1640, "image"), counted(2, "class", "classes")
    ('1 lesion', '1,640 images', '2 classes')
    """
    return f"{number:,} {one if number == 1 else many or one + 's'}"
