"""A table of trained methods: its caption, its rows, its notes."""

from __future__ import annotations

from dspkd.evaluation.shares import CONFIDENCE
from dspkd.experiments.paper import table7_ablation, tables2_3_overall, tables4_5_per_class
from dspkd.experiments.paper.cells import TableSetup
from dspkd.experiments.paper.datasets import PaperImages
from dspkd.experiments.paper.scale import Choice
from dspkd.experiments.paper.side_by_side import SideBySide
from dspkd.reports.comparison_results import Results
from dspkd.reports.wording import counted, of_lesions

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
    "a single run, such as a teacher's or that of a table of one seed, is over lesions alone and holds for that run.",
    "Results are for balanced accuracy, with p corrected by Holm for the pairs of the table. Inconclusive does not "
    "mean equal; detectable is the minimum detectable difference in percentage points, with 80 % power.",
    "All methods have the same images, split, initial weights, batches and number of epochs. The epoch is chosen on "
    "the validation set.",
)


def build(table: int, choice: Choice, dataset: PaperImages, results: Results) -> SideBySide:
    """Return a table with the results of its training.

    Parameters
    ----------
    table
        2, 3, 4, 5 or 7.
    choice
        The scale that was trained, and its reductions.
    dataset
        The images that it was trained on.
    results
        Results of the table's grid, from `dspkd.experiments.compare.compare`.
    """
    setup = TableSetup(table, choice.scale, dataset, results)
    title, lines = _SETS[table]
    columns, rows, notes = lines(setup)
    failed = tuple(f"no result of {folder}: {error}" for folder, error in results.failed.items())
    return SideBySide(
        number=table,
        title=title,
        caption=_caption(setup),
        columns=columns,
        lines=tuple(rows),
        reasons=tuple(setup.reasons.listed),
        notes=(*failed, *notes, *_NOTES),
        given_up=choice.given_up,
        synthetic=dataset.synthetic,
    )


def _caption(setup: TableSetup) -> str:
    scale, networks = setup.scale, setup.scale.networks
    tested = f"{counted(setup.results.images, 'test image')}{of_lesions(setup.results.groups)}"
    taught_by = ", ".join(networks.teachers[teacher] for teacher in setup.teachers)
    return (
        f"Ours: {setup.dataset.called}, split {setup.dataset.split}; {tested}. Teacher {taught_by}, student "
        f"{networks.student}; {scale.size} px, {scale.epochs} epochs, {counted(scale.seeds, 'seed')}."
    )
