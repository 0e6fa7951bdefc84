"""A table of a paper with our figures beside it, and why the two do not compare; as Markdown, CSV and LaTeX."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, field

DASH = "\N{EN DASH}"


@dataclass(frozen=True)
class OurFigure:
    """A figure of ours, in the unit of the paper's.

    Attributes
    ----------
    mean
        Over seeds.
    sd
        Standard deviation over seeds (n - 1); None for one run.
    low, high
        Its 95 % interval, over lesions and seeds; None where it has none.
    runs
        How many there are.
    digits
        To be printed after the point.
    """

    mean: float
    sd: float | None = None
    low: float | None = None
    high: float | None = None
    runs: int = 1
    digits: int = 2

    def __str__(self) -> str:
        said = self._number(self.mean)
        if self.sd is not None:
            said += f" ± {self._number(self.sd)}"
        if self.low is not None and self.high is not None:
            said += f" [{self._number(self.low)}, {self._number(self.high)}]"
        return said

    def _number(self, value: float) -> str:
        return f"{value:,.{self.digits}f}"


@dataclass(frozen=True)
class TableCell:
    """What the paper prints, and what we have: a figure, a word, or nothing."""

    paper: str = ""
    ours: OurFigure | str | None = None


@dataclass(frozen=True)
class TableRow:
    """A row of the table; `because` numbers the reasons, from 1, why its two figures do not compare."""

    name: str
    cells: tuple[TableCell, ...]
    because: tuple[int, ...] = ()

    @property
    def printed(self) -> bool:
        """Return whether the paper has this row."""
        return any(cell.paper for cell in self.cells)

    @property
    def measured(self) -> bool:
        """Return whether we have anything in it."""
        return any(cell.ours is not None for cell in self.cells)


@dataclass(frozen=True)
class SideBySide:
    """A table of the paper, reproduced as far as it was.

    Attributes
    ----------
    number, title
        Of the paper's table.
    caption
        On what ours was measured; sentences.
    columns
        Headings of the cells.
    lines
        Rows.
    reasons
        Why figures do not compare; rows name them by number.
    notes
        What else a reader must know, and what the figures mean.
    given_up
        What a budget took away.
    synthetic
        Whether our images are drawings.
    """

    number: int
    title: str
    caption: str
    columns: tuple[str, ...]
    lines: tuple[TableRow, ...]
    reasons: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    given_up: tuple[str, ...] = field(default=())
    synthetic: bool = False

    @property
    def heading(self) -> str:
        """Return number and title."""
        return f"Table {self.number}: {self.title}"


SYNTHETIC = "Synthetic data: drawings, not photographs. No number of ours here says anything about skin."


def markdown(table: SideBySide) -> str:
    """Return the table as a Markdown page: for each row a line of the paper's figures and one of ours."""
    rows = [["", *table.columns, "not comparable because"]]
    for line in table.lines:
        if line.printed:
            rows.append([f"{line.name}, paper", *(cell.paper or DASH for cell in line.cells), ""])
        if line.measured:
            rows.append([f"**{line.name}, ours**", *map(_ours, line.cells), _numbered(line)])
    written = [rows[0], ["---"] * len(rows[0]), *rows[1:]]
    body = "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in row)} |" for row in written)
    parts = [f"# {table.heading}", *([f"**{SYNTHETIC}**"] if table.synthetic else []), table.caption, body]
    if table.reasons:
        parts.append(
            "Not comparable because:\n\n" + "\n".join(f"{n}. {r}" for n, r in enumerate(table.reasons, start=1))
        )
    for title, listed in (("Given up for the budget:", table.given_up), ("Notes:", table.notes)):
        if listed:
            parts.append(f"{title}\n\n" + "\n".join(f"- {each}" for each in listed))
    return "\n\n".join(parts) + "\n"


def as_csv(table: SideBySide) -> str:
    """Return the table as CSV, a line for each row and column; of our intervals and spreads all digits."""
    written = io.StringIO()
    rows = csv.writer(written, lineterminator="\n")
    rows.writerow(["table", "row", "column", "paper", "ours", "sd", "low", "high", "runs", "not_comparable_because"])
    for line in table.lines:
        because = "; ".join(table.reasons[number - 1] for number in line.because)
        for column, cell in zip(table.columns, line.cells, strict=True):
            if not cell.paper and cell.ours is None:
                continue
            ours: Sequence[object] = ["", "", "", "", ""]
            if isinstance(cell.ours, OurFigure):
                known = (cell.ours.mean, cell.ours.sd, cell.ours.low, cell.ours.high)
                ours = [*("" if value is None else f"{value:.6g}" for value in known), cell.ours.runs]
            elif cell.ours is not None:
                ours = [cell.ours, "", "", "", ""]
            rows.writerow([table.number, line.name, column, cell.paper, *ours, because if cell.ours else ""])
    return written.getvalue()


def latex(table: SideBySide) -> str:
    """Return the table as LaTeX, for the package booktabs."""
    lines = [
        r"\begin{table}",
        rf"\caption{{{_tex(table.heading)}. {_tex(SYNTHETIC + ' ') if table.synthetic else ''}{_tex(table.caption)}}}",
        rf"\begin{{tabular}}{{l{'r' * len(table.columns)}l}}",
        r"\toprule",
        " & ".join(["", *map(_tex, table.columns), "not comparable"]) + r" \\",
        r"\midrule",
    ]
    for line in table.lines:
        if line.printed:
            lines.append(_tex_row([f"{line.name}, paper", *(cell.paper or DASH for cell in line.cells), ""]))
        if line.measured:
            lines.append(_tex_row([f"{line.name}, ours", *map(_ours, line.cells), _numbered(line)]))
    lines += [r"\bottomrule", r"\end{tabular}", r"\par\smallskip\footnotesize"]
    lines += [rf"{number}.~{_tex(reason)}\par" for number, reason in enumerate(table.reasons, start=1)]
    lines += [rf"{_tex(note)}\par" for note in (*table.given_up, *table.notes)]
    return "\n".join([*lines, r"\end{table}"]) + "\n"


def _ours(cell: TableCell) -> str:
    return DASH if cell.ours is None else str(cell.ours)


def _numbered(line: TableRow) -> str:
    return ", ".join(map(str, line.because))


_TEX = {
    "\\": r"\textbackslash{}",
    "±": r"$\pm$",
    DASH: "--",
    "Δ": r"$\Delta$",
    "\N{MINUS SIGN}": "$-$",
}
_TEX |= {each: rf"\{each}" for each in "&%$#_{}"} | {"~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}


def _tex(text: str) -> str:
    return "".join(_TEX.get(each, each) for each in text)


def _tex_row(cells: Sequence[str]) -> str:
    return " & ".join(map(_tex, cells)) + r" \\"
