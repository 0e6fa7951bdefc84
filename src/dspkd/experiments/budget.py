"""Wall-clock budgets, as the command line takes them."""

from __future__ import annotations

import re

from dspkd.errors import RecipeError


def parse_budget(text: str) -> float:
    """Return the seconds of a budget such as ``45s``, ``30m``, ``2h`` or ``1h30m``.

    Raises
    ------
    RecipeError
        It is not of this form.
    """
    match = re.fullmatch(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s)?", text.strip())
    if not text.strip() or match is None or not any(map(float, (each or 0 for each in match.groups()))):
        raise RecipeError(f"--budget {text!r}: expected hours, minutes, seconds, such as 2h, 90m, 1h30m or 45s")
    return sum(float(each or 0) * unit for each, unit in zip(match.groups(), (3600, 60, 1), strict=True))


def budget_text(seconds: float) -> str:
    """Return a budget as `parse_budget` reads it.

    >>> budget_text(7200), budget_text(5), parse_budget(budget_text(100.5))
    ('120m', '5s', 100.5)
    """
    return f"{seconds / 60:.0f}m" if seconds % 60 == 0 else f"{seconds!r}s".replace(".0s", "s")
