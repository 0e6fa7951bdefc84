"""A results table as data: a row is a model on a data set, a figure keeps the digits that it was printed with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

METRICS = ("accuracy", "balanced_accuracy", "precision", "recall", "specificity", "f1")
"""Figures in percent; all but accuracy are means over classes."""

COSTS = ("parameters", "time")
"""Figures of the deployed network, in any unit."""

Role = Literal["teacher", "baseline", "student"]


@dataclass(frozen=True)
class Number:
    """A printed figure.

    Attributes
    ----------
    value
        As printed; metrics in percent.
    digits
        How many were printed after the point.
    place
        Where it stands, such as ``"table 2"``.
    """

    value: float
    digits: int
    place: str = ""

    @property
    def half(self) -> float:
        """Return by how much rounding may have moved it: half a unit of the last digit."""
        return 0.5 * 10.0**-self.digits

    def __str__(self) -> str:
        return f"{self.value:.{min(self.digits, 4)}f}"


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
        Where the row stands.
    network
        What is deployed. Rows of one network must have its size and speed.
    role
        A teacher; the baseline, which is the student without a teacher; or a student with one.
    teacher, baseline
        Models of the same data; found by their role where there is only one.
    runs
        Over how many seeds the figures are means.
    figures, spreads
        Of `METRICS` and `COSTS`; standard deviations over seeds.
    f1_of
        F1 of each class.
    delta, delta_from
        The printed gain of accuracy, and the model that it is counted from.
    images
        The number of test images, from and to.
    classes, classes_suppose
        Images of each class, and what has to be so for these to be those of the test images.
    supposes
        ``{table: what a reader has to believe for its figures to be this row's}``.
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
    classes_suppose: str = ""
    supposes: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Return what a reader finds the row by."""
        taught = f" of {self.teacher}" if self.teacher and self.role == "student" else ""
        return f"{self.model}{taught}" + (f" ({self.data})" if self.data else "")

    def supposing(self, *numbers: Number) -> tuple[str, ...]:
        """Return what has to be so for these figures to be this row's."""
        return tuple(dict.fromkeys(self.supposes[each.place] for each in numbers if each.place in self.supposes))


class ClaimTable:
    """All rows of a paper, with those of one model on one data set and one teacher put together.

    Parameters
    ----------
    rows
        As read.

    Attributes
    ----------
    rows
        As read, in order, with teachers and baselines filled in where a data set has one of each.
    joined
        One row for each (data, model, teacher), with the figures of all; of a figure that is printed twice, the first.
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
        """Return the joined row of a teacher, a baseline or any other model that stands alone."""
        found = [row for row in self.joined if (row.data, row.model) == (data, model)]
        return found[0] if len(found) == 1 else next((row for row in found if row.role != "student"), None)

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
                    classes_suppose=there.classes_suppose or row.classes_suppose,
                    supposes={**row.supposes, **there.supposes},
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
