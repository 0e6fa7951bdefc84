"""A table of results as data: a row is a model on a data set; figures keep the digits that they were printed with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

METRICS = ("accuracy", "balanced_accuracy", "precision", "recall", "specificity", "f1")
"""Figures in percent; all but accuracy are means over classes."""

COSTS = ("parameters", "time")
"""Figures of the deployed network, in any unit."""

WORDS = ("model", "data", "table", "network", "role", "teacher", "baseline", "delta_from")
FIGURES = (*METRICS, *COSTS, "gmacs", "delta")
KEYS = (*WORDS, *FIGURES, "runs", "images", "classes", "classes_assume", "f1_of", "sd", "assumes")
"""Keys that a row may have as it is read."""

ALL_CLASSES = "the F1 of every class is printed"
"""What a rule supposes of a table with F1 scores that does not state its classes."""

NO_OTHER_CLASS = "no image is predicted as a class that has no test images"
"""What a rule supposes where its sum over the classes must be over all predictions."""

Role = Literal["teacher", "baseline", "student"]


@dataclass(frozen=True)
class Number:
    """A printed figure.

    Attributes
    ----------
    value
        As printed; metrics in percent.
    digits
        Printed decimals; negative where the last printed digit is of tens, hundreds and so on.
    place
        Where it is printed, such as ``"table 2"``.
    """

    value: float
    digits: int
    place: str = ""

    @property
    def half(self) -> float:
        """Return the largest rounding error: half a unit of the last digit."""
        return 0.5 * 10.0**-self.digits

    def __str__(self) -> str:
        return f"{self.value:.{max(0, min(self.digits, 4))}f}"


@dataclass(frozen=True, kw_only=True)
class ClaimRow:
    """A model on a data set.

    Attributes
    ----------
    model
        Its name, or that of the method that trained it.
    data
        The data set.
    table
        Where the row is printed.
    network
        The deployed network. Rows of one network must have its size and speed.
    role
        A teacher; the baseline, which is the student without a teacher; or a student with one.
    teacher, baseline
        Models with the same data; filled in by role if there is only one.
    runs
        Number of seeds that the figures are means of; 1 is also what a table that does not state it gets.
    figures, spreads
        Of `METRICS` and `COSTS`; standard deviations over seeds.
    f1_of
        F1 of each class.
    delta, delta_from
        The printed gain of accuracy, and the model that it refers to.
    images
        The least and the greatest number of test images.
    classes, classes_assume
        Images of each class that has any, and the assumption under which these are those of the test images.
    empty_classes
        Whether the models know classes without test images, as which images may be predicted.
    assumes
        ``{table: assumption under which its figures are this row's}``.
    """

    model: str
    data: str = ""
    table: str = ""
    network: str = ""
    role: Role | None = None
    teacher: str = ""
    baseline: str = ""
    runs: int = 1
    figures: Mapping[str, Number] = field(default_factory=dict)
    spreads: Mapping[str, Number] = field(default_factory=dict)
    f1_of: Mapping[str, Number] = field(default_factory=dict)
    delta: Number | None = None
    delta_from: str = ""
    images: tuple[int, int] | None = None
    classes: Mapping[str, int] = field(default_factory=dict)
    classes_assume: str = ""
    empty_classes: bool = False
    assumes: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Return model, teacher and data set, by which a reader finds the row."""
        taught = f" of {self.teacher}" if self.teacher and self.role == "student" else ""
        return f"{self.model}{taught}" + (f" ({self.data})" if self.data else "")

    @property
    def all_classes(self) -> bool | None:
        """Return whether `f1_of` has all classes of the data; None if these are not known."""
        return set(self.classes) <= set(self.f1_of) if self.classes else None

    def assumptions_for(self, *numbers: Number) -> tuple[str, ...]:
        """Return the assumptions under which these figures are this row's."""
        return tuple(dict.fromkeys(self.assumes[each.place] for each in numbers if each.place in self.assumes))


class ClaimTable:
    """All rows of a paper, with those of one model, data set and teacher merged.

    Parameters
    ----------
    rows
        As read.

    Attributes
    ----------
    rows
        As read, in order, with teachers and baselines filled in where a data set has one of each.
    joined
        One row for each (data, model, teacher), with the figures of all its rows; if printed twice, the first.
    """

    def __init__(self, rows: Iterable[ClaimRow]) -> None:
        read = list(rows)
        only = {role: _only(read, role) for role in ("teacher", "baseline")}
        self.rows = [
            replace(
                row,
                teacher=row.teacher or only["teacher"].get(row.data, ""),
                baseline=row.baseline or only["baseline"].get(row.data, ""),
            )
            if row.role == "student"
            else row
            for row in read
        ]
        self.joined: list[ClaimRow] = []
        for row in self.rows:
            self._join(row)

    def find(self, data: str, model: str) -> ClaimRow | None:
        """Return the joined row of a teacher, a baseline or any other model without a teacher."""
        rows = [row for row in self.joined if (row.data, row.model) == (data, model)]
        return rows[0] if len(rows) == 1 else next((row for row in rows if row.role != "student"), None)

    def teacher(self, row: ClaimRow) -> ClaimRow | None:
        """Return the joined row of a student's teacher."""
        return self.find(row.data, row.teacher) if row.role == "student" and row.teacher else None

    def baseline(self, row: ClaimRow) -> ClaimRow | None:
        """Return the joined row of the student without a teacher."""
        return self.find(row.data, row.baseline) if row.role == "student" and row.baseline else None

    def _join(self, row: ClaimRow) -> None:
        for place, there in enumerate(self.joined):
            if (there.data, there.model, there.teacher) == (row.data, row.model, row.teacher):
                self.joined[place] = replace(
                    there,
                    figures={**row.figures, **there.figures},
                    spreads={**row.spreads, **there.spreads},
                    f1_of={**row.f1_of, **there.f1_of},
                    classes=there.classes or row.classes,
                    empty_classes=there.empty_classes or row.empty_classes,
                    classes_assume=there.classes_assume or row.classes_assume,
                    assumes={**row.assumes, **there.assumes},
                    network=there.network or row.network,
                    images=there.images or row.images,
                )
                return
        self.joined.append(row)


def _only(rows: Iterable[ClaimRow], role: str) -> dict[str, str]:
    """Return the model of a role for each data set that has one such model."""
    models: dict[str, set[str]] = {}
    for row in rows:
        if row.role == role:
            models.setdefault(row.data, set()).add(row.model)
    return {data: next(iter(names)) for data, names in models.items() if len(names) == 1}
