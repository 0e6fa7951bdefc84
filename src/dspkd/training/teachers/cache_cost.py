"""The time that a cache of teacher outputs took to compute, recorded beside it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

_FILE = "spent.jsonl"


@dataclass(frozen=True)
class CacheCost:
    """The time that cached teacher outputs took to compute, in whichever run that was.

    Attributes
    ----------
    views
        Number of views.
    seconds, cpu_seconds
        Wall-clock time, and processor time of all threads of all ranks; None where it was not recorded.
    """

    views: int
    seconds: float | None
    cpu_seconds: float | None


def record(folder: Path, cost: CacheCost) -> None:
    """Add what one filling of the cache in `folder` took."""
    with (folder / _FILE).open("a", encoding="utf-8") as file:
        file.write(json.dumps(asdict(cost)) + "\n")


def of_views(folder: Path, views: int) -> CacheCost:
    """Return the time for so many views, at the mean of all that the cache in `folder` holds."""
    path = folder / _FILE
    costs = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []
    if not costs:  # another run is about to write it
        return CacheCost(views, None, None)
    share = views / sum(cost["views"] for cost in costs)
    seconds, cpu_seconds = (round(share * sum(cost[key] for cost in costs), 1) for key in ("seconds", "cpu_seconds"))
    return CacheCost(views, seconds, cpu_seconds)
