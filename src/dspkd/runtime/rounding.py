"""Shares as text: what reads 0 or 1, 0 % or 100 % is exactly that, since no interval and no network is certain."""

from __future__ import annotations

NONE = "\N{EN DASH}"
"""In place of a number that there is not."""


def score(value: float | None) -> str:
    """Return a score with three decimals, a dash where there is none.

    >>> [score(value) for value in (1.0, 0.9996, 0.9994, 0.0004, 0.0, 1.25)]
    ['1.000', 'above 0.999', '0.999', 'below 0.001', '0.000', '1.250']
    """
    if value is None:
        return NONE
    rounded = f"{value:.3f}"
    if 0 < value < 1 and float(rounded) in (0, 1):
        return "below 0.001" if value < 0.5 else "above 0.999"
    return rounded


def percent(share: float | None) -> str:
    """Return a share in per cent with one decimal, a dash where there is none.

    >>> [percent(share) for share in (1.0, 0.9997, 0.5, 0.0004, 0.0)]
    ['100.0 %', 'more than 99.9 %', '50.0 %', 'less than 0.1 %', '0.0 %']
    """
    if share is None:
        return NONE
    rounded = f"{100 * share:.1f}"
    if 0 < share < 1 and float(rounded) in (0, 100):
        return "less than 0.1 %" if share < 0.5 else "more than 99.9 %"
    return f"{rounded} %"


def scores(ends: tuple[float, float] | None) -> str:
    """Return the ends of an interval of scores, a dash where there is none."""
    return NONE if ends is None else f"{score(ends[0])} to {score(ends[1])}"


def percents(ends: tuple[float, float] | None) -> str:
    """Return the ends of an interval of shares in per cent, a dash where there is none.

    >>> percents((0.0004, 0.0035)), percents((0.021, 0.24))
    ('less than 0.1 to 0.4 %', '2.1 to 24.0 %')
    """
    return NONE if ends is None else f"{percent(ends[0]).removesuffix(' %')} to {percent(ends[1])}"
