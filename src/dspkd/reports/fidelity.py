"""Teacher-student agreement of a run: tables, forgotten images and a CSV of all differences."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dspkd.data import metadata
from dspkd.errors import DataError, RunError, suggest
from dspkd.evaluation.classes import melanoma
from dspkd.evaluation.fidelity import Agreement, Tally, agreement, by_class, by_value, listed, tally
from dspkd.evaluation.predictions import Predictions
from dspkd.evaluation.shares import wilson
from dspkd.evaluation.stratified import FEW
from dspkd.reports.outcomes import PARTS, load_predictions
from dspkd.runs.files import RunFiles
from dspkd.runs.run_folder import Run
from dspkd.runtime import csv_text
from dspkd.runtime.files import atomic_open
from dspkd.runtime.rounding import percent


@dataclass(frozen=True, eq=False)
class FidelityPart:
    """Agreement on one part of the split: all images, class by class, and the interval of each `Tally.forgets`."""

    agreement: Agreement
    total: Tally
    classes: list[Tally]
    intervals: dict[str, tuple[float, float] | None]


@dataclass(frozen=True)
class ImageOutcome:
    """An image in a list: ``predictions`` are ``{network: (class, probability of the true class)}``, teacher first."""

    part: str
    id: str
    group: str
    outcome: str
    truth: str
    predictions: dict[str, tuple[str, float]]
    kl: float
    about: str


@dataclass(frozen=True, eq=False)
class RunAgreement:
    """The teacher-student agreement of a run.

    Attributes
    ----------
    parts
        ``test`` and ``val``.
    versions
        ``{name: {against: tally}}`` of further predictions, such as those of an int8 student, on the test images:
        against the teacher, and against the student.
    subgroups
        ``{attribute: tallies}`` of the test images; those of fewer than `FEW` lesions among what the teacher has right
        are left out.
    entries
        Every image that was forgotten, copied, corrected or wrong otherwise, by the student or a further version.
    """

    parts: dict[str, FidelityPart]
    versions: dict[str, dict[str, Tally]]
    subgroups: dict[str, list[Tally]]
    entries: list[ImageOutcome]

    def forgotten(self, part: str) -> list[ImageOutcome]:
        """Return the forgotten images of a part, in the order of `entries`."""
        return [entry for entry in self.entries if entry.part == part and entry.outcome == "forgotten"]


def of_run(run: Run) -> RunAgreement | None:
    """Compare a run with its teacher; None where the teacher's predictions are not in its folder."""
    others = load_predictions(run.folder)
    if "teacher" not in others or not set(PARTS) <= set(others["teacher"]):
        return None
    return fidelity({part: run.predictions(part) for part in ("val", "test")}, others, run.files.attributes)


def fidelity(
    student: Mapping[str, Predictions],
    others: Mapping[str, Mapping[str, Predictions]],
    attributes: Path | None = None,
) -> RunAgreement:
    """Compare a student with its teacher, and with further versions of itself.

    Parameters
    ----------
    student
        ``{part: predictions}``.
    others
        ``{network: {part: predictions}}``: ``teacher``, and further versions of the student, if any.
    attributes
        The run's ``attributes.csv`` with sex, age and so on of each image; may be missing.

    Raises
    ------
    DataError
        Predictions are of other images or classes.
    """
    parts, versions, entries = {}, {}, []
    groups: dict[str, list[Tally]] = {}
    for part, mine in student.items():
        compared = agreement(mine, others["teacher"][part])
        converted = {name: agreement(mine, each[part]).teacher for name, each in _versions(others) if part in each}
        values_of = metadata.load(attributes, mine.ids) if attributes is not None and attributes.is_file() else {}
        parts[part] = _part(compared)
        entries += list(_entries(part, compared, converted, _about(values_of, len(mine))))
        if part == "test":
            groups = {name: rows for name, values in values_of.items() if len(rows := _large(compared, values)) > 1}
            versions = {
                name: {"teacher": tally(agreement(each, compared.teacher)), "student": tally(agreement(each, mine))}
                for name, each in converted.items()
            }
    return RunAgreement(parts, versions, groups, entries)


def of_folder(run: Path, part: str, *, teacher: Path | None = None, also: Sequence[Path] = ()) -> RunAgreement:
    """Compare one part of a run with its own teacher or with the run `teacher`.

    Parameters
    ----------
    run
        Folder of the student.
    part
        ``val`` or ``test``.
    teacher
        Folder of another run, evaluated on the same images.
    also
        Files of predictions of the student in another form, named by their files.

    Raises
    ------
    RunError
        There is no such run, or no teacher to compare with.
    DataError
        Predictions are broken, or of other images.
    """
    student = Run(run).predictions(part)
    others = {name: {part: each[part]} for name, each in load_predictions(run).items() if part in each}
    if teacher is not None:
        others["teacher"] = {part: Run(teacher).predictions(part)}
    elif "teacher" not in others:
        raise RunError(
            f"{run}: predictions/teacher-{part}.csv is missing: the run had no teacher or did not keep its "
            "predictions; name a run to compare with by --teacher RUN"
        )
    others |= {path.stem: {part: Predictions.load(path)} for path in also}
    return fidelity({part: student}, others, RunFiles(run).attributes)


def of_class(compared: RunAgreement, part: str, name: str | None) -> list[ImageOutcome]:
    """Return the forgotten images of a part, of the class called `name` alone if it is not None.

    Raises
    ------
    DataError
        There is no such class.
    """
    classes = compared.parts[part].agreement.student.classes
    if name is not None and name not in classes:
        raise DataError(f"no class is called {name!r}; {suggest(name, classes)}")
    return [entry for entry in compared.forgotten(part) if name in (None, entry.truth)]


def write_csv(compared: RunAgreement, path: Path) -> None:
    """Write every entry as CSV; the file is replaced as a whole."""
    networks = list(dict.fromkeys(name for entry in compared.entries for name in entry.predictions))
    with atomic_open(path) as file:
        rows = csv_text.Writer(file)
        of_each = [column for name in networks for column in (name, f"{name}_p_of_class")]
        rows.writerow(["part", "outcome", "class", "id", "group", *of_each, "kl", "about"])
        for entry in compared.entries:
            cells = [cell for name in networks for cell in _cells(entry.predictions.get(name))]
            rows.writerow(
                [entry.part, entry.outcome, entry.truth, entry.id, entry.group, *cells, f"{entry.kl:.4f}", entry.about]
            )


def verdict(compared: RunAgreement) -> str:
    """Summarise the agreement on the test set in a few sentences."""
    part = compared.parts["test"]
    total = part.total
    text = (
        f"Of the {total.teacher_right:,} test images that the teacher has right, the student has {total.forgotten:,} "
        f"wrong ({percent(total.forgets)})."
    )
    first = part.classes[0]
    if melanoma(part.agreement.student.classes) is not None and first.teacher_right:
        text += (
            f" Among them are {first.forgotten:,} of the {first.teacher_right:,} {first.name} that the teacher finds."
        )
    if total.teacher_wrong:
        text += (
            f" Of the teacher's {total.teacher_wrong:,} errors it corrects {total.corrected:,} "
            f"({percent(total.corrects)}) and repeats {total.copied:,} with the same wrong class "
            f"({percent(total.copies)})."
        )
    return text


def versions(compared: RunAgreement) -> list[Tally]:
    """Return the tallies of further versions of the student, named by what each is compared with."""
    return [
        replace(row, name=f"{name} against the {against}")
        for name, both in compared.versions.items()
        for against, row in both.items()
    ]


def _versions(others: Mapping[str, Mapping[str, Predictions]]) -> list[tuple[str, Mapping[str, Predictions]]]:
    return [(name, each) for name, each in others.items() if name != "teacher"]


def _part(compared: Agreement) -> FidelityPart:
    rows = by_class(compared)
    number = {name: k for k, name in enumerate(compared.student.classes)}
    intervals = {row.name: _interval(compared, compared.student.labels == number[row.name]) for row in rows}
    return FidelityPart(
        compared, tally(compared), rows, intervals | {"all": _interval(compared, np.ones(len(compared), dtype=bool))}
    )


def _interval(compared: Agreement, among: NDArray[np.bool_]) -> tuple[float, float] | None:
    """Return the interval of the forgotten share, with the images of a lesion correlated."""
    right = among & np.isin(compared.outcomes, ("forgotten", "kept"))
    _, sizes = np.unique(np.array(compared.student.groups)[right], return_counts=True)
    return wilson(int(np.sum(compared.outcomes[right] == "forgotten")), sizes) if len(sizes) else None


def _large(compared: Agreement, values: Sequence[str]) -> list[Tally]:
    """Return the tallies of subgroups with `FEW` lesions or more among the images that the teacher has right."""
    right = np.isin(compared.outcomes, ("forgotten", "kept"))
    groups, values_N = np.array(compared.student.groups), np.array(values)
    return [
        row
        for row in by_value(compared, values)
        if row.name != metadata.UNKNOWN and len(np.unique(groups[right & (values_N == row.name)])) >= FEW
    ]


def _about(values_of: Mapping[str, Sequence[str]], images: int) -> list[str]:
    """Return the attributes of each image as text, such as "female, 40 to 59"."""
    return [", ".join(values[row] for values in values_of.values() if values[row]) for row in range(images)]


def _entries(
    part: str, compared: Agreement, converted: Mapping[str, Predictions], about: Sequence[str]
) -> Iterator[ImageOutcome]:
    """Yield the images that are not kept by all networks, outcome by outcome."""
    student = compared.student
    networks = {"teacher": compared.teacher, "student": student, **converted}
    probabilities = {name: each.probabilities for name, each in networks.items()}
    predicted = {name: each.predicted for name, each in networks.items()}
    lost = np.zeros(len(compared), dtype=bool)
    for name in converted:
        lost |= predicted[name] != student.labels
    for outcome in ("forgotten", "copied", "wrong otherwise", "corrected", "kept"):
        for row in listed(compared, outcome, about):
            if outcome == "kept" and not lost[row]:
                continue
            truth = int(student.labels[row])
            yield ImageOutcome(
                part=part,
                id=student.ids[row],
                group=student.groups[row],
                outcome=outcome if outcome != "kept" else "forgotten later",
                truth=student.classes[truth],
                predictions={
                    name: (student.classes[predicted[name][row]], float(probabilities[name][row, truth]))
                    for name in networks
                },
                kl=float(compared.kl[row]),
                about=about[row],
            )


def _cells(prediction: tuple[str, float] | None) -> tuple[str, str]:
    return ("", "") if prediction is None else (prediction[0], f"{prediction[1]:.4f}")
