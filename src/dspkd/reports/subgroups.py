"""The part of a page that says whether a network, or each of several, serves all subgroups alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dspkd.data.metadata import ORDERED
from dspkd.errors import DataError, suggest
from dspkd.evaluation.classes import melanoma
from dspkd.evaluation.predictions import Predictions
from dspkd.evaluation.significance import LEVEL
from dspkd.evaluation.stratified import FEW
from dspkd.evaluation.subgroups import AttributeSubgroups, Gap, Subgroup, subgroups
from dspkd.reports import teacher_predictions, wording
from dspkd.reports.comparison import ArmRuns
from dspkd.runs.run_folder import Run

_RESAMPLES = 4_000


@dataclass(frozen=True)
class SubgroupReport:
    """What is told of subgroups.

    Attributes
    ----------
    sections
        Attribute by attribute; empty where of each there is at most one value; None where the run tells nothing.
    focus
        The name of the class whose sensitivity is told; None without one.
    taught
        Whether the change from the teacher is told.
    few
        Lesions below which nothing is said.
    """

    sections: tuple[AttributeSubgroups, ...] | None
    focus: str | None
    taught: bool
    few: int = FEW

    @property
    def shown(self) -> list[str]:
        """Say in a sentence each gap, and each change of a gap, that is shown to be one."""
        said = []
        for section in self.sections or ():
            for group in section.groups:
                said += _shown(section, group, self.focus)
        return said


def of_run(run: Run) -> SubgroupReport:
    """Return what is told of a run's test images."""
    return of_runs([run.test], run.attributes, teacher_predictions.answers(run))


def of_contender(contender: ArmRuns, attributes: Mapping[str, Sequence[str]] | None) -> SubgroupReport:
    """Return what is told of the runs of one recipe, means over seeds; by the teacher of the first of them."""
    taught = {run.teachers for run in contender.runs}
    teacher = teacher_predictions.answers(contender.runs[0]) if len(taught) == 1 else None
    return of_runs([run.test for run in contender.runs], attributes, teacher)


def of_runs(
    runs: Sequence[Predictions],
    attributes: Mapping[str, Sequence[str]] | None,
    teacher: Predictions | None = None,
    focus: str | None = None,
) -> SubgroupReport:
    """Return what is told of predictions of the same images; `focus` names the class of sensitivity, else melanoma."""
    classes = runs[0].classes
    if focus is not None and focus not in classes:
        raise DataError(f"there is no class {focus!r}; {suggest(focus, classes)}")
    number = melanoma(classes) if focus is None else classes.index(focus)
    if attributes is None:
        return SubgroupReport(None, None, False)
    found = subgroups(runs, attributes, focus=number, teacher=teacher, ordered=ORDERED, resamples=_RESAMPLES)
    return SubgroupReport(found, None if number is None else classes[number], teacher is not None)


def _shown(section: AttributeSubgroups, group: Subgroup, focus: str | None) -> list[str]:
    titles = {
        "balanced_accuracy": "balanced accuracy",
        "accuracy": "accuracy",
        "sensitivity": f"sensitivity to {focus}",
    }
    said = []
    for metric, gap in group.gaps.items():
        if gap is None:
            continue
        where = f"{section.attribute}: {group.name} against {section.reference}, {titles[metric]}"
        if gap.p is not None and gap.p < LEVEL:
            said.append(f"{where}: {wording.points(gap.own.value)} points.")
        if gap.change is not None and gap.change_p is not None and gap.change_p < LEVEL:
            word = "lost" if gap.change.value < 0 else "gained"
            said.append(
                f"{where}: from teacher to student, {word} {abs(100 * gap.change.value):.1f} points against it."
            )
    return said


def rows(ranked: Sequence[ArmRuns], told: Sequence[SubgroupReport]) -> list[tuple[str, str, str, list[Gap | None]]]:
    """Return (attribute, reference, subgroup, gap in balanced accuracy of each arm), for all that some arm can say."""
    found = []
    for s, section in enumerate(told[0].sections or () if ranked else ()):
        for g, group in enumerate(section.groups):
            gaps = [(each.sections or ())[s].groups[g].gaps.get("balanced_accuracy") for each in told]
            if any(gaps):
                found.append((section.attribute, section.reference, group.name, gaps))
    return found
