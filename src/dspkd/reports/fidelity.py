"""What a page says of a student's faithfulness to its teacher: the ledger of a run."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dspkd.data import metadata
from dspkd.errors import DataError, RunError, suggest
from dspkd.evaluation.classes import melanoma
from dspkd.evaluation.fidelity import Agreement, Tally, agreement, by_class, by_value, listed, tally
from dspkd.evaluation.intervals import wilson
from dspkd.evaluation.predictions import Predictions
from dspkd.evaluation.stratified import FEW
from dspkd.reports.outcomes import PARTS, answers
from dspkd.runs.run_folder import Run
from dspkd.runtime.files import atomic_open


@dataclass(frozen=True, eq=False)
class FidelityPart:
    """The ledger of one part of the split: all images, class by class, and the interval of each `Tally.forgets`."""

    ledger: Agreement
    total: Tally
    classes: list[Tally]
    intervals: dict[str, tuple[float, float] | None]


@dataclass(frozen=True)
class ImageOutcome:
    """An image in a list: ``answers`` are ``{who: (class, probability of the true class)}``, the teacher's first."""

    part: str
    id: str
    group: str
    fate: str
    truth: str
    answers: dict[str, tuple[str, float]]
    kl: float
    about: str


@dataclass(frozen=True, eq=False)
class RunAgreement:
    """What became of the teacher's answers in a run.

    Attributes
    ----------
    parts
        ``test`` and ``val``.
    versions
        ``{name: {against: tally}}`` of further predictions, such as those of an int8 student, on the test images:
        against the teacher, and against the student.
    subgroups
        ``{attribute: tallies}`` of the test images; those of fewer than `FEW` lesions among what the teacher has right
        are not among them.
    entries
        Every image that was forgotten, copied, corrected or wrong otherwise, by the student or a further version.
    """

    parts: dict[str, FidelityPart]
    versions: dict[str, dict[str, Tally]]
    subgroups: dict[str, list[Tally]]
    entries: list[ImageOutcome]

    def forgotten(self, part: str) -> list[ImageOutcome]:
        """Return the forgotten images of a part, in the ledger's order."""
        return [entry for entry in self.entries if entry.part == part and entry.fate == "forgotten"]


def of_run(run: Run) -> RunAgreement | None:
    """Return the ledger of a run; None where the teacher's answers to its images are not in its folder."""
    said = answers(run.folder)
    if "teacher" not in said or not set(PARTS) <= set(said["teacher"]):
        return None
    return fidelity({"val": run.val, "test": run.test}, said, run.folder / metadata.FILE)


def fidelity(
    student: Mapping[str, Predictions], said: Mapping[str, Mapping[str, Predictions]], told: Path | None = None
) -> RunAgreement:
    """Return the ledger of a student.

    Parameters
    ----------
    student
        Its answers, ``{part: predictions}``.
    said
        Those of others, ``{who: {part: predictions}}``: ``teacher``, and further versions of the student, if any.
    told
        The run's ``attributes.csv``, which says whom each image shows; it need not be there.

    Raises
    ------
    DataError
        Some are of other images or classes.
    """
    parts, versions, entries = {}, {}, []
    groups: dict[str, list[Tally]] = {}
    for part, mine in student.items():
        found = agreement(mine, said["teacher"][part])
        others = {name: agreement(each[part], mine).student for name, each in _versions(said) if part in each}
        known = metadata.load(told, mine.ids) if told is not None and told.is_file() else {}
        parts[part] = _part(found)
        entries += list(_entries(part, found, others, _about(known, len(mine))))
        if part == "test":
            groups = {name: rows for name, values in known.items() if len(rows := _large(found, values)) > 1}
            versions = {
                name: {"teacher": tally(agreement(each, found.teacher)), "student": tally(agreement(each, mine))}
                for name, each in others.items()
            }
    return RunAgreement(parts, versions, groups, entries)


def of_folder(run: Path, part: str, *, teacher: Path | None = None, also: Sequence[Path] = ()) -> RunAgreement:
    """Return the ledger of one part of a run, against its own teacher or the run `teacher`.

    Parameters
    ----------
    run
        Folder of the student.
    part
        ``val`` or ``test``.
    teacher
        Folder of another run, judged on the same images.
    also
        Files of predictions of the student in another form; each is called by its file's name.

    Raises
    ------
    RunError
        There is no such run, or nothing to hold it against.
    DataError
        Predictions are broken, or of other images.
    """
    if not (run / "predictions" / f"{part}.csv").is_file():
        raise RunError(f"{run}: no finished run (no predictions/{part}.csv)")
    said = {who: {part: each[part]} for who, each in answers(run).items() if part in each}
    if teacher is not None:
        if not (teacher / "predictions" / f"{part}.csv").is_file():
            raise RunError(f"{teacher}: no finished run (no predictions/{part}.csv)")
        said["teacher"] = {part: Predictions.load(teacher / "predictions" / f"{part}.csv")}
    elif "teacher" not in said:
        raise RunError(
            f"{run}: predictions/teacher-{part}.csv is missing: the run had no teacher, or was made before its answers "
            "were kept; name a run to hold it against with --teacher RUN"
        )
    said |= {path.stem: {part: Predictions.load(path)} for path in also}
    return fidelity({part: Predictions.load(run / "predictions" / f"{part}.csv")}, said, run / metadata.FILE)


def of_class(found: RunAgreement, part: str, name: str | None) -> list[ImageOutcome]:
    """Return the forgotten images of a part, of the class called `name` alone if it is not None.

    Raises
    ------
    DataError
        No class is called so.
    """
    classes = found.parts[part].ledger.student.classes
    if name is not None and name not in classes:
        raise DataError(f"no class is called {name!r}; {suggest(name, classes)}")
    return [entry for entry in found.forgotten(part) if name in (None, entry.truth)]


def write_csv(found: RunAgreement, path: Path) -> None:
    """Write every entry as CSV, whole or not at all."""
    who = list(dict.fromkeys(name for entry in found.entries for name in entry.answers))
    with atomic_open(path) as file:
        rows = csv.writer(file, lineterminator="\n")
        of_each = [column for name in who for column in (name, f"{name}_p_of_class")]
        rows.writerow(["part", "fate", "class", "id", "group", *of_each, "kl", "about"])
        for entry in found.entries:
            cells = [cell for name in who for cell in _cells(entry.answers.get(name))]
            rows.writerow(
                [entry.part, entry.fate, entry.truth, entry.id, entry.group, *cells, f"{entry.kl:.4f}", entry.about]
            )


def verdict(found: RunAgreement) -> str:
    """Return what the ledger of the test images comes to, in a few sentences."""
    part = found.parts["test"]
    total = part.total
    said = (
        f"Of the {total.known:,} test images that the teacher has right, the student has {total.forgotten:,} wrong "
        f"({_share(total.forgets)})."
    )
    first = part.classes[0]
    if melanoma(part.ledger.student.classes) is not None and first.known:
        said += f" Among them are {first.forgotten:,} of the {first.known:,} {first.name} that the teacher finds."
    if total.missed:
        said += (
            f" Of the teacher's {total.missed:,} errors it corrects {total.corrected:,} ({_share(total.corrects)}) and "
            f"repeats {total.copied:,} with the same wrong class ({_share(total.copies)})."
        )
    return said


def versions(found: RunAgreement) -> list[Tally]:
    """Return the tallies of further versions of the student, each named by what it is held against."""
    return [
        replace(row, name=f"{name} against the {against}")
        for name, both in found.versions.items()
        for against, row in both.items()
    ]


def _versions(said: Mapping[str, Mapping[str, Predictions]]) -> list[tuple[str, Mapping[str, Predictions]]]:
    return [(name, each) for name, each in said.items() if name != "teacher"]


def _part(found: Agreement) -> FidelityPart:
    rows = by_class(found)
    number = {name: k for k, name in enumerate(found.student.classes)}
    intervals = {row.name: _interval(found, found.student.labels == number[row.name]) for row in rows}
    return FidelityPart(
        found, tally(found), rows, intervals | {"all": _interval(found, np.ones(len(found), dtype=bool))}
    )


def _interval(found: Agreement, among: NDArray[np.bool_]) -> tuple[float, float] | None:
    """Return the interval of the forgotten share, images of one lesion taken together."""
    known = among & np.isin(found.fates, ("forgotten", "kept"))
    _, sizes = np.unique(np.array(found.student.groups)[known], return_counts=True)
    return wilson(int(np.sum(found.fates[known] == "forgotten")), sizes) if len(sizes) else None


def _large(found: Agreement, values: Sequence[str]) -> list[Tally]:
    """Return the tallies of subgroups with `FEW` lesions or more among the images that the teacher has right."""
    known = np.isin(found.fates, ("forgotten", "kept"))
    groups, values_N = np.array(found.student.groups), np.array(values)
    return [
        row
        for row in by_value(found, values)
        if row.name != metadata.UNKNOWN and len(np.unique(groups[known & (values_N == row.name)])) >= FEW
    ]


def _about(known: Mapping[str, Sequence[str]], images: int) -> list[str]:
    """Return, for each image, whom it shows, in the order of the attributes."""
    return [", ".join(values[row] for values in known.values() if values[row]) for row in range(images)]


def _entries(
    part: str, found: Agreement, others: Mapping[str, Predictions], about: Sequence[str]
) -> Iterator[ImageOutcome]:
    """Yield the images that are not kept by all, fate by fate, each in the ledger's order."""
    student, said = found.student, {"teacher": found.teacher, "student": found.student, **others}
    probabilities = {name: each.probabilities for name, each in said.items()}
    predicted = {name: each.predicted for name, each in said.items()}
    lost = np.zeros(len(found), dtype=bool)
    for name in others:
        lost |= predicted[name] != student.labels
    for fate in ("forgotten", "copied", "wrong otherwise", "corrected", "kept"):
        for row in listed(found, fate, about):
            if fate == "kept" and not lost[row]:
                continue
            truth = int(student.labels[row])
            yield ImageOutcome(
                part=part,
                id=student.ids[row],
                group=student.groups[row],
                fate=fate if fate != "kept" else "forgotten later",
                truth=student.classes[truth],
                answers={
                    name: (student.classes[predicted[name][row]], float(probabilities[name][row, truth]))
                    for name in said
                },
                kl=float(found.kl[row]),
                about=about[row],
            )


def _cells(answer: tuple[str, float] | None) -> tuple[str, str]:
    return ("", "") if answer is None else (answer[0], f"{answer[1]:.4f}")


def _share(share: float | None) -> str:
    return "\N{EN DASH}" if share is None else f"{100 * share:.1f} %"
