"""Write a table of the paper with ours beside it as Markdown, CSV, LaTeX and HTML."""

from __future__ import annotations

from pathlib import Path

from dspkd.experiments.paper import side_by_side
from dspkd.experiments.paper.side_by_side import OurFigure, SideBySide
from dspkd.reports import wording
from dspkd.reports.html import render
from dspkd.runtime.files import write_text


def write(table: SideBySide, folder: Path) -> list[Path]:
    """Write ``tableN.md``, ``.csv``, ``.tex`` and ``.html`` into a folder; return their paths, the page last.

    The page needs no network, no script and no other file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    stem = folder / f"table{table.number}"
    forms = {".md": side_by_side.markdown, ".csv": side_by_side.as_csv, ".tex": side_by_side.latex}
    paths = []
    for suffix, form in forms.items():
        path = stem.with_suffix(suffix)
        write_text(path, form(table))
        paths.append(path)
    page = render(
        "reproduction.html",
        stem.with_suffix(".html"),
        table=table,
        synthetic=side_by_side.SYNTHETIC,
        disclaimer=wording.DISCLAIMER,
        figure=lambda ours: isinstance(ours, OurFigure),
    )
    return [*paths, page]
