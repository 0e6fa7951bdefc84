"""Render templates to self-contained HTML files, with everything escaped."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import jinja2

from dspkd.evaluation import calibration, metrics, ranking
from dspkd.reports import data_card, style, wording
from dspkd.runtime import rounding
from dspkd.runtime.files import write_text

_DEFINITIONS = metrics.DEFINITIONS | ranking.DEFINITIONS


def render(template: str, out: Path, **values: object) -> Path:
    """Fill `template` with `values` and write it to `out`; the file is replaced as a whole."""
    write_text(out, _templates().get_template(template).render(**values))
    return out


@cache
def _templates() -> jinja2.Environment:
    """Return the template environment: everything is escaped, and an undefined name is an error."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("dspkd.reports"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.globals.update(
        LIGHT=style.LIGHT,
        DARK=style.DARK,
        DEFINITIONS=_DEFINITIONS,
        CALIBRATION=calibration.DEFINITIONS,
        FEWEST_ERRORS=calibration.FEWEST_ERRORS,
        ABSENT=data_card.ABSENT,
    )
    environment.filters.update(
        score=rounding.score,
        interval=rounding.scores,
        percent=rounding.percent,
        percents=rounding.percents,
        points=wording.points,
        amount=wording.amount,
        interval_of=wording.interval_of,
        capitalize_first=lambda text: text[:1].upper() + text[1:],
        p_value=wording.p_value,
        detectable=wording.detectable,
        duration=wording.duration,
        result=wording.result,
        size=wording.size,
        times=wording.times,
        milliseconds=wording.milliseconds,
        parameters=wording.parameters,
        counted=wording.counted,
        sections=lambda card, parts: data_card.sections(card, list(parts)),
    )
    return environment
