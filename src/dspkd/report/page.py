"""Templates become a page: escaped, complete in itself, written at once."""

from __future__ import annotations

from pathlib import Path

import jinja2

from dspkd.evaluate.metrics import DEFINITIONS
from dspkd.report import data_card, paper, prose


def render(template: str, out: Path, **values: object) -> Path:
    """Fill `template` with `values` and write it to `out`; a reader sees the whole page or the one before it."""
    page = _templates().get_template(template).render(**values)
    partial = out.with_name(out.name + ".partial")
    partial.write_text(page, encoding="utf-8")
    return partial.replace(out)


def _templates() -> jinja2.Environment:
    """Return the templates: everything is escaped, and a name that does not exist is an error."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("dspkd.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.globals.update(LIGHT=paper.LIGHT, DARK=paper.DARK, DEFINITIONS=DEFINITIONS, ABSENT=data_card.ABSENT)
    environment.filters.update(
        score=_score,
        duration=prose.duration,
        parameters=prose.parameters,
        counted=prose.counted,
        sections=lambda card, parts: data_card.sections(card, list(parts)),
    )
    return environment


def _score(value: float | None) -> str:
    """Return a share with three decimals, a dash where there is none."""
    return "\N{EN DASH}" if value is None else f"{value:.3f}"
