"""Figures of pages are left out of tests that do not look at them: drawing takes most of the time of a short run."""

from contextlib import contextmanager

from markupsafe import Markup, escape

from dspkd.reports import style

_SVG, _PNG = style.svg, style.png


def leave_out():
    """Leave figures out: what is read out in their place stays."""
    style.svg, style.png = _no_svg, _no_png


@contextmanager
def drawn():
    """Draw them."""
    style.svg, style.png = _SVG, _PNG
    try:
        yield
    finally:
        leave_out()


def _no_svg(figure, *, name, alt):
    return Markup(f'<svg viewBox="0 0 1 1" role="img" aria-label="{escape(alt)}"></svg>')


def _no_png(figure, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"")
