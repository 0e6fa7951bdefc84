"""Subgroup performance of a run or of the arms of a comparison."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dspkd.data.metadata import ORDERED
from dspkd.errors import DataError, suggest
from dspkd.evaluation.classes import melanoma
from dspkd.evaluation.predictions import Predictions
from dspkd.evaluation.significance import LEVEL
from dspkd.evaluation.stratified import FEW
from dspkd.evaluation.subgroups import METRICS, AttributeSubgroups, Gap, Subgroup, subgroups
from dspkd.reports import teacher_predictions, wording
from dspkd.reports.comparison import ArmRuns, repetition
from dspkd.runs.run_folder import Run

_RESAMPLES = 4_000


@dataclass(frozen=True)
class SubgroupReport:
    """Subgroup performance on the test set.

    Attributes
    ----------
    sections
        Attribute by attribute; empty where no attribute has two values; None where the run has no attributes.
    focus
        The name of the class of sensitivity; None without one.
    has_teacher
        Whether gaps are compared with the teacher's.
    few
        Lesions below which no figure is reported.
    """

    sections: tuple[AttributeSubgroups, ...] | None
    focus: str | None
    has_teacher: bool
    few: int = FEW

    @property
    def significant(self) -> list[str]:
        """A sentence for each significant gap, and for each significant change of a gap."""
        sentences = []
        for section in self.sections or ():
            for group in section.groups:
                sentences += _significant(section, group, self.focus)
        return sentences

    @property
    def gaps(self) -> int:
        """How many gaps there are, of those with too few lesions too."""
        metrics = [metric for metric in METRICS if metric != "sensitivity" or self.focus]
        return sum(metric in group.gaps for group in self._groups for metric in metrics)

    @property
    def tested(self) -> int:
        """How many gaps have enough lesions to be tested."""
        return sum(gap is not None for group in self._groups for gap in group.gaps.values())

    @property
    def _groups(self) -> list[Subgroup]:
        return [group for section in self.sections or () for group in section.groups]


def of_run(run: Run) -> SubgroupReport:
    """Compute subgroup performance of a run."""
    teacher = teacher_predictions.load(run)
    return of_runs([run.predictions("test")], run.attributes, [teacher] if teacher else [])


def of_arm(arm: ArmRuns, attributes: Mapping[str, Sequence[str]] | None) -> SubgroupReport:
    """Compute subgroup performance of an arm, means over runs; each division into folds has a teacher of its own."""
    return of_runs([run.predictions("test") for run in arm.runs], attributes, _teachers(arm))


def _teachers(arm: ArmRuns) -> list[Predictions]:
    """Return the teacher's predictions, of each division into folds; empty where one is not known.

    Or where runs with other seeds have other teachers.
    """
    first: dict[int, Run] = {}
    for run in arm.runs:
        _, division = repetition(run)
        if first.setdefault(division, run).teachers != run.teachers:
            return []
    loaded = [teacher_predictions.load(run) for run in first.values()]
    known = [each for each in loaded if each]
    return known if len(known) == len(loaded) else []


def of_runs(
    runs: Sequence[Predictions],
    attributes: Mapping[str, Sequence[str]] | None,
    teachers: Sequence[Predictions] = (),
    focus: str | None = None,
) -> SubgroupReport:
    """Compute subgroup performance from predictions; `focus`: the class of sensitivity, by default melanoma."""
    classes = runs[0].classes
    if focus is not None and focus not in classes:
        raise DataError(f"there is no class {focus!r}; {suggest(focus, classes)}")
    number = melanoma(classes) if focus is None else classes.index(focus)
    if attributes is None:
        return SubgroupReport(None, None, False)
    sections = subgroups(runs, attributes, focus=number, teachers=teachers, ordered=ORDERED, resamples=_RESAMPLES)
    return SubgroupReport(sections, None if number is None else classes[number], bool(teachers))


def _significant(section: AttributeSubgroups, group: Subgroup, focus: str | None) -> list[str]:
    titles = {
        "balanced_accuracy": "balanced accuracy",
        "accuracy": "accuracy",
        "sensitivity": f"sensitivity to {focus}",
    }
    sentences = []
    for metric, gap in group.gaps.items():
        if gap is None:
            continue
        where = f"{section.attribute}: {group.name} against {section.reference}, {titles[metric]}"
        if gap.p < LEVEL:
            sentences.append(f"{where}: {wording.points(gap.own.value)} percentage points.")
        if gap.change is not None and gap.change_p is not None and gap.change_p < LEVEL:
            word = "lost" if gap.change.value < 0 else "gained"
            by = f"{abs(100 * gap.change.value):.1f} percentage points"
            sentences.append(f"{where}: from teacher to student, {word} {by} relative to the reference.")
    return sentences


GapRow = tuple[str, str, str, list[Gap | None]]
"""Attribute, reference, subgroup, and its gap in balanced accuracy for each arm."""


def rows(reports: Sequence[SubgroupReport]) -> list[GapRow]:
    """Return (attribute, reference, subgroup, gap in balanced accuracy of each arm) where some arm has a gap."""
    table = []
    for s, section in enumerate(reports[0].sections or () if reports else ()):
        for g, group in enumerate(section.groups):
            gaps = [(each.sections or ())[s].groups[g].gaps.get("balanced_accuracy") for each in reports]
            if any(gaps):
                table.append((section.attribute, section.reference, group.name, gaps))
    return table
