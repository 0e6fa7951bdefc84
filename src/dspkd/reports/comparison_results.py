"""The results of a comparison as data: metrics of each run and each arm, and the verdicts."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from dspkd.data.data_card import Attribute
from dspkd.data.table import named
from dspkd.evaluation.metrics import Summary, summarise
from dspkd.evaluation.scoring import METRICS
from dspkd.evaluation.significance import Verdict
from dspkd.reports import comparison, compute_cost, few_lesions, fidelity_by_arm, holdout, unlabelled
from dspkd.reports.comparison import ResampledArms
from dspkd.reports.compute_cost import ComputeCost
from dspkd.reports.fidelity_by_arm import ArmFidelity
from dspkd.runs.reading import opened
from dspkd.runs.run_folder import Run


@dataclass(frozen=True)
class Figure:
    """A metric of an arm: mean and standard deviation (n - 1) over runs, and the mean's 95 % interval.

    Of a single run with folds, `sd` is that over folds.
    """

    mean: float
    sd: float | None
    low: float
    high: float


@dataclass(frozen=True)
class RunFigures:
    """A run's metrics on the test set, its epochs and training seconds, and its number of test-set evaluations.

    `split_seed` is that of the division of the images; `f1s` are those of the classes; `early_test_evaluations` are
    those before training ended.
    """

    folder: str
    seed: int
    split_seed: int
    network: str
    parameters: int
    epochs: int
    teacher: str | None
    figures: dict[str, float | None]
    recalls: dict[str, float]
    f1s: dict[str, float]
    seconds: float
    test_evaluations: int
    early_test_evaluations: int


@dataclass(frozen=True)
class ArmFigures:
    """An arm's metrics over its runs; `seconds` are those of all its runs, `compute` adds teacher and cache.

    `fidelity` is None where the teacher's predictions of the test images are not available; see `fidelity_by_arm`.
    """

    name: str
    figures: dict[str, Figure]
    runs: list[RunFigures]
    seconds: float
    compute: ComputeCost
    fidelity: ArmFidelity | None


@dataclass(frozen=True)
class Results:
    """The results of a comparison of arms on the same images.

    Attributes
    ----------
    name
        Of the data and the student; empty where there is one of each.
    data
        Where the images are, and the digest of their split; of several divisions into folds, all digests.
    synthetic
        Whether the images are drawings.
    images, groups
        Of the test set; groups are the lesions or patients that the data set names, 0 without ids.
    classes
        Test images of each class; 0 of one that only training images have.
    controls
        Names of the arms that learn from labels alone: plain, label smoothing.
    decide_by
        The metric that decides, named before training.
    arms
        The best mean of `decide_by` first; those with a finished run.
    teachers
        The teachers that were trained for it.
    verdicts
        Of each arm against the controls, metric by metric.
    failed
        ``{run folder: what went wrong}``.
    unequal
        Why the training conditions of the arms differ, then the differences; empty where they are equal.
    folds
        Number of folds of a cross-validation, whose out-of-fold predictions are compared; 0 for a single split.
    repeats
        In how many ways the images are divided into folds; 1 without folds.
    holdout
        How often the test set was evaluated, in words.
    leaks
        Leaks of the splits, each once; empty where there are none.
    card
        The data card; empty where the runs have none.
    split_how
        How the split was made, in a line.
    warnings
        What a reader must know of the data, each once.
    unlabelled
        A sentence for each method that learnt from images without labels too.
    """

    name: str
    data: dict[str, str]
    synthetic: bool
    images: int
    groups: int
    classes: dict[str, int]
    controls: list[str]
    decide_by: str
    arms: list[ArmFigures]
    teachers: list[RunFigures]
    verdicts: list[Verdict]
    failed: dict[str, str]
    unequal: list[str]
    folds: int = 0
    repeats: int = 1
    holdout: str = ""
    leaks: list[str] = field(default_factory=list)
    card: dict[str, Attribute] = field(default_factory=dict)
    split_how: str = ""
    warnings: list[str] = field(default_factory=list)
    unlabelled: list[str] = field(default_factory=list)


def tabulate(
    name: str,
    students: Sequence[Path],
    teachers: Sequence[Path],
    *,
    controls: Sequence[str],
    failed: Mapping[str, str],
    unequal: Sequence[str],
    decide_by: str = METRICS[0],
) -> Results:
    """Collect the results of finished runs; see `Results` for the arguments.

    Each arm is compared with each control, and the p-values are corrected for these pairs together, which are
    chosen in advance.

    Raises
    ------
    RunError, DataError
        A run folder is broken, or runs were not tested on the same images.
    """
    runs = [opened(folder).require_finished() for folder in students]
    taught_by = [opened(folder).require_finished() for folder in teachers]
    teacher_runs = [_figures(run, summarise(run.predictions("test"))) for run in taught_by]
    if not runs:
        return Results(
            name, {}, False, 0, 0, {}, list(controls), decide_by, [], teacher_runs, [], dict(failed), list(unequal)
        )
    ranked = comparison.arms(runs, decide_by)
    fidelity = fidelity_by_arm.of_arms(ranked)
    arms = []
    resampled = ResampledArms.of(ranked)
    for arm, estimates in zip(ranked, resampled.intervals(), strict=True):
        spreads = {metric: spread for metric in METRICS if (spread := arm.spread(metric))}
        figures = {
            metric: Figure(spread.mean, spread.sd, estimates[metric].low, estimates[metric].high)
            for metric, spread in spreads.items()
        }
        own = [_figures(run, test) for run, test in zip(arm.runs, arm.tests, strict=True)]
        seconds = round(sum(run.seconds for run in own), 1)
        arms.append(ArmFigures(arm.name, figures, own, seconds, compute_cost.of(arm.runs), fidelity.get(arm.name)))
    present = [control for control in controls if control in {arm.name for arm in arms}]
    pairs = [
        (arm.name, control) for i, control in enumerate(present) for arm in arms if arm.name not in present[: i + 1]
    ]
    compared = resampled.verdicts(pairs) if pairs else []
    data, test = runs[0].data, ranked[0].tests[0]
    lesions = named(runs[0].predictions("test").groups)
    splits = ", ".join(dict.fromkeys(run.data.split_digest for run in runs))
    where = {"path": data.path, "layout": data.layout, "digest": data.digest, "split": splits}
    classes = {row.name: row.images for row in test.per_class}
    return Results(
        name, where, data.synthetic, test.images, lesions, classes, present, ranked[0].metric, arms, teacher_runs,
        compared, dict(failed), list(unequal), ranked[0].folds, ranked[0].repeats,
        " ".join([holdout.of_several(runs), *filter(None, map(holdout.warning, runs))]),
        leaks=list(dict.fromkeys(str(run.data.leak) for run in runs if run.data.leak)),
        card=next((run.data.card for run in runs if run.data.card), {}),
        split_how=data.split_how,
        warnings=[
            *dict.fromkeys(warning for run in runs for warning in run.data.warnings),
            *few_lesions.warnings(runs[0].predictions("test")),
        ],
        unlabelled=unlabelled.sentences(runs),
    )  # fmt: skip


def as_json(results: Sequence[Results]) -> str:
    """Return the results as JSON, a list item for each."""
    return json.dumps([_plain(each) for each in results], indent=2, ensure_ascii=False) + "\n"


def _figures(run: Run, test: Summary) -> RunFigures:
    figures = {metric: getattr(test, metric) for metric in (*METRICS, "precision_macro", "specificity_macro")}
    recalls = {row.name: row.recall for row in test.per_class if row.images}
    f1s = {row.name: row.f1 for row in test.per_class if row.images}
    result = run.result
    return RunFigures(
        str(run.folder), *comparison.repetition(run), result.model, result.parameters,
        sum(stage.epochs for stage in result.stages), result.teacher, figures, recalls, f1s, result.seconds,
        len(run.test_evaluations), len(run.early_evaluations),
    )  # fmt: skip


def _plain(results: Results) -> dict[str, Any]:
    """Return the results as plain values for JSON, which has no infinite degrees of freedom."""
    rows = [
        {
            "one": row.one,
            "other": row.other,
            "metric": row.metric,
            "verdict": row.word,
            "difference": row.difference.value,
            "low": row.difference.low if row.difference.varied else None,
            "high": row.difference.high if row.difference.varied else None,
            "p": row.p,
            "p_pooled": row.p_pooled,
            "p_pairwise": row.p_pairwise,
            "minimum_detectable_difference": row.minimum_detectable_difference,
        }
        for row in results.verdicts
    ]
    return {**asdict(results), "verdicts": rows}
