"""A table of trained methods: its caption, its rows, its notes."""

from __future__ import annotations

from dspkd.evaluation.intervals import CONFIDENCE
from dspkd.experiments.paper import table7_ablation, tables2_3_overall, tables4_5_per_class
from dspkd.experiments.paper.cells import TableSetup
from dspkd.experiments.paper.datasets import PaperImages
from dspkd.experiments.paper.scale import Choice
from dspkd.experiments.paper.side_by_side import SideBySide
from dspkd.reports.comparison_results import Results
from dspkd.reports.wording import counted

_SETS = {
    2: ("Accuracy of distillation methods on ISIC 2019", tables2_3_overall.lines),
    3: ("Accuracy of distillation methods on the second data set", tables2_3_overall.lines),
    4: ("F1 of each class on ISIC 2019", tables4_5_per_class.lines),
    5: ("F1 of each class on the second data set", tables4_5_per_class.lines),
    7: ("Ablation of DSP-KD on ISIC 2019, with controls", table7_ablation.lines),
}

_NOTES = (
    f"Ours is mean ± standard deviation over seeds (n - 1) and, in brackets, a {CONFIDENCE:.0%} interval over lesions "
    "and seeds: lesions are bootstrapped, never images, and the variance of the seeds is added. The interval of "
    "a single run, such as a teacher's or that of a table of one seed, is over lesions alone and speaks of that run.",
    "Verdicts are of balanced accuracy, with p corrected by Holm for the pairs of the table; inconclusive does "
    "not mean equal, and a true difference of the size called detectable is significant 80 % of the time.",
    "All arms have the same images, split, first weights, batches and number of epochs. The epoch is chosen on "
    "validation images.",
)


def build(table: int, choice: Choice, dataset: PaperImages, results: Results) -> SideBySide:
    """Return a table with what was trained for it.

    Parameters
    ----------
    table
        2, 3, 4, 5 or 7.
    choice
        The scale that was trained, and what it gave up.
    dataset
        On which.
    results
        What `dspkd.experiments.compare.compare` says of the table's grid.
    """
    setting = TableSetup(table, choice.scale, dataset, results)
    title, lines = _SETS[table]
    columns, made, notes = lines(setting)
    failed = tuple(f"no result of {folder}: {error}" for folder, error in results.failed.items())
    return SideBySide(
        number=table,
        title=title,
        caption=_caption(setting),
        columns=columns,
        lines=tuple(made),
        reasons=tuple(setting.reasons.told),
        notes=(*failed, *notes, *_NOTES),
        given_up=choice.given_up,
        synthetic=dataset.synthetic,
    )


def _caption(setting: TableSetup) -> str:
    scale, networks = setting.scale, setting.scale.networks
    tested = f"{counted(setting.results.images, 'test image')} of {counted(setting.results.groups, 'lesion')}"
    taught_by = ", ".join(networks.teachers[teacher] for teacher in setting.teachers)
    return (
        f"Ours: {setting.dataset.called}, split by lesion or patient; {tested}. Taught by {taught_by}, the student is "
        f"{networks.student}; {scale.size} px, {scale.epochs} epochs, {counted(scale.seeds, 'seed')}."
    )
