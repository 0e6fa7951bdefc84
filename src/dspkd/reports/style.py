"""Style and export of figures: colours for light and dark mode, SVG for the page, PNG files."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
from markupsafe import Markup, escape
from matplotlib.axes import Axes
from matplotlib.figure import Figure

LIGHT = {
    "page": "#fbfaf7",
    "card": "#ffffff",
    "ink": "#1d2327",
    "muted": "#646b70",
    "line": "#dedbd3",
    "accent": "#0f6b66",
    "on-series": "#fffffe",
    "cell": "#0f6b65",
    "warn": "#9a3f12",
    "warn-card": "#fdf1e7",
    "series-1": "#0f6b67",
    "series-2": "#b4530f",
    "series-3": "#5b57b0",
    "series-4": "#a8327a",
    "series-5": "#5a7d12",
    "series-6": "#8a6a1f",
}
"""Colours by role; all must differ, for figures are drawn with these and the page replaces them by value."""

DARK = {
    "page": "#14181a",
    "card": "#1b2124",
    "ink": "#e8e6e1",
    "muted": "#9ba3a6",
    "line": "#343c40",
    "accent": "#4fc3b4",
    "on-series": "#0c1413",
    "cell": "#1d8a80",
    "warn": "#f0a36f",
    "warn-card": "#2c2119",
    "series-1": "#4fc3b5",
    "series-2": "#f0955a",
    "series-3": "#a5a1f5",
    "series-4": "#ea86c0",
    "series-5": "#a9cf5c",
    "series-6": "#d9b765",
}
"""The same roles in dark mode."""

SERIES = [value for name, value in LIGHT.items() if name.startswith("series-")]

_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "dspkd",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9.0,
    "text.color": LIGHT["ink"],
    "text.parse_math": False,
    "axes.facecolor": "none",
    "axes.edgecolor": LIGHT["line"],
    "axes.labelcolor": LIGHT["muted"],
    "axes.titlecolor": LIGHT["ink"],
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titley": 1.0,  # no ticks are above a panel; looking for them takes a seventh of the time
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": LIGHT["line"],
    "grid.linewidth": 0.6,
    "xtick.color": LIGHT["muted"],
    "ytick.color": LIGHT["muted"],
    "xtick.labelsize": 8.0,
    "ytick.labelsize": 8.0,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "legend.frameon": False,
    "legend.fontsize": 8.0,
    "lines.linewidth": 1.8,
    "lines.solid_capstyle": "round",
}


@contextmanager
def style() -> Iterator[None]:
    """Use the style of the report inside this context; matplotlib's own settings are restored after it."""
    with mpl.rc_context(_STYLE), warnings.catch_warnings():
        # PNG lacks letters that its font lacks, such as Chinese class names; the page's SVG keeps them as text.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield


def sheet(columns: int = 1, rows: int = 1, *, width: float = 3.4, height: float = 2.5) -> tuple[Figure, list[Axes]]:
    """Return a figure of `rows` x `columns` panels, each `width` x `height` inches, and its panels in reading order."""
    figure = Figure(figsize=(width * columns, height * rows), layout="constrained", facecolor="none")
    return figure, list(figure.subplots(rows, columns, squeeze=False).flat)


def svg(figure: Figure, *, name: str, alt: str) -> Markup:
    """Export the figure as an ``<svg>`` for a page.

    Text stays text, escaped by matplotlib. Colours of `LIGHT` become the page's variables. Ids begin with `name`, so
    that several figures fit one page.

    Parameters
    ----------
    figure
        Drawn inside `style`.
    name
        Unique on the page, letters and digits.
    alt
        Text alternative of the figure.
    """
    written = io.StringIO()
    _lay_out(figure)
    figure.savefig(
        written, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")), transparent=True
    )
    text = written.getvalue()
    body = text[text.index(">", text.index("<svg")) + 1 :]
    size = re.search(r'viewBox="([^"]+)"', text)
    assert size, "matplotlib writes a viewBox"
    body = re.sub(r"<!--.*?-->|<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    used = set(re.findall(r'(?:url\(|href=")#([^")]+)', body))
    body = re.sub(r' id="([^"]+)"', lambda match: f' id="{name}-{match[1]}"' if match[1] in used else "", body)
    body = re.sub(r'(url\(|href=")#', rf"\1#{name}-", body)
    body = body.replace("'DejaVu Sans', sans-serif", "var(--sans)")
    for role, value in LIGHT.items():
        body = body.replace(value, f"var(--{role})")
    wide = size[1].split()[2]
    head = f'<svg viewBox="{size[1]}" style="--natural: {wide}px" role="img" aria-label="{escape(alt)}">'
    return Markup(head + re.sub(r"\n\s*", "\n", body).strip())


def png(figure: Figure, path: Path) -> None:
    """Write the figure as a PNG with the light background, making the folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    _lay_out(figure)
    figure.savefig(path, format="png", dpi=160, facecolor=LIGHT["page"])


def _lay_out(figure: Figure) -> None:
    """Place the panels of a figure once: otherwise matplotlib draws it twice for each file."""
    if engine := figure.get_layout_engine():
        engine.execute(figure)
        figure.set_layout_engine(None)
