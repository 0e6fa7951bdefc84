"""A table of the paper with our figures beside it, and why they are not comparable; as Markdown, CSV and LaTeX."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, field

from dspkd.runtime import csv_text

DASH = "\N{EN DASH}"


@dataclass(frozen=True)
class OurFigure:
    """A figure of ours, in the unit of the paper's.

    Attributes
    ----------
    mean
        Mean over seeds.
    sd
        Standard deviation over seeds (n - 1); None for one run.
    low, high
        Its 95 % interval, over lesions and seeds; None if there is none.
    runs
        Number of runs.
    digits
        Decimals to print.
    """

    mean: float
    sd: float | None = None
    low: float | None = None
    high: float | None = None
    runs: int = 1
    digits: int = 2

    def __str__(self) -> str:
        text = self._number(self.mean)
        if self.sd is not None:
            text += f" ± {self._number(self.sd)}"
        if self.low is not None and self.high is not None:
            text += f" [{self._number(self.low)}, {self._number(self.high)}]"
        return text

    def _number(self, value: float) -> str:
        return f"{value:,.{self.digits}f}"


@dataclass(frozen=True)
class TableCell:
    """The paper's figure as printed, and ours: a figure, a word, or None."""

    paper: str = ""
    ours: OurFigure | str | None = None


@dataclass(frozen=True)
class TableRow:
    """A row of the table; `because` has the numbers, from 1, of the reasons why its figures are not comparable."""

    name: str
    cells: tuple[TableCell, ...]
    because: tuple[int, ...] = ()

    @property
    def printed(self) -> bool:
        """Return whether the paper has this row."""
        return any(cell.paper for cell in self.cells)

    @property
    def measured(self) -> bool:
        """Return whether we have a figure for it."""
        return any(cell.ours is not None for cell in self.cells)


@dataclass(frozen=True)
class SideBySide:
    """A reproduced table of the paper.

    Attributes
    ----------
    number, title
        Number and title of the paper's table.
    caption
        What ours was measured on, in sentences.
    columns
        Headings of the cells.
    lines
        Rows.
    reasons
        Why figures are not comparable; rows refer to them by number.
    notes
        What the figures mean, and other notes.
    given_up
        Reductions for the budget.
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


SYNTHETIC = "Synthetic data: drawings, not photographs. No figure of ours here is evidence about skin."


def markdown(table: SideBySide) -> str:
    """Return the table as a Markdown page: for each row a line of the paper's figures and one of ours."""
    rows = [["", *table.columns, "not comparable because"]]
    for line in table.lines:
        if line.printed:
            rows.append([f"{line.name}, paper", *(cell.paper or DASH for cell in line.cells), ""])
        if line.measured:
            rows.append([f"**{line.name}, ours**", *map(_ours, line.cells), _numbered(line)])
    lines = [rows[0], ["---"] * len(rows[0]), *rows[1:]]
    body = "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in lines)
    parts = [f"# {table.heading}", *([f"**{SYNTHETIC}**"] if table.synthetic else []), table.caption, body]
    if table.reasons:
        parts.append(
            "Not comparable because:\n\n" + "\n".join(f"{n}. {r}" for n, r in enumerate(table.reasons, start=1))
        )
    for title, listed in (("Reduced for the budget:", table.given_up), ("Notes:", table.notes)):
        if listed:
            parts.append(f"{title}\n\n" + "\n".join(f"- {each}" for each in listed))
    return "\n\n".join(parts) + "\n"


def as_csv(table: SideBySide) -> str:
    """Return the table as CSV, a line for each row and column, with all digits of our figures."""
    text = io.StringIO()
    rows = csv_text.Writer(text)
    rows.writerow(["table", "row", "column", "paper", "ours", "sd", "low", "high", "runs", "not_comparable_because"])
    for line in table.lines:
        because = "; ".join(table.reasons[number - 1] for number in line.because)
        for column, cell in zip(table.columns, line.cells, strict=True):
            if not cell.paper and cell.ours is None:
                continue
            ours: Sequence[object] = ["", "", "", "", ""]
            if isinstance(cell.ours, OurFigure):
                values = (cell.ours.mean, cell.ours.sd, cell.ours.low, cell.ours.high)
                ours = [*("" if value is None else f"{value:.6g}" for value in values), cell.ours.runs]
            elif cell.ours is not None:
                ours = [cell.ours, "", "", "", ""]
            rows.writerow([table.number, line.name, column, cell.paper, *ours, because if cell.ours else ""])
    return text.getvalue()


def latex(table: SideBySide) -> str:
    """Return the table as LaTeX; needs the package booktabs."""
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
