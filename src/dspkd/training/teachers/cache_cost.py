"""The time that a cache of teacher outputs took to compute, recorded beside it."""

from __future__ import annotations

import json
import logging
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

_LOG = logging.getLogger(__name__)
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
    costs = _recorded(folder / _FILE)
    if not costs:  # another run is about to write it
        return CacheCost(views, None, None)
    share = views / sum(cost["views"] for cost in costs)
    seconds, cpu_seconds = (round(share * sum(cost[key] for cost in costs), 1) for key in ("seconds", "cpu_seconds"))
    return CacheCost(views, seconds, cpu_seconds)


def _recorded(path: Path) -> list[dict[str, float]]:
    """Return the lines of the file; one that a killed process left unfinished is set aside, and the log says so."""
    lines = path.read_bytes().splitlines() if path.exists() else []
    read = [(line, _cost(line)) for line in lines]
    if damaged := sum(cost is None for _, cost in read):
        _LOG.warning("%s: %d of %d lines are damaged and do not count", path, damaged, len(lines))
        with suppress(OSError):  # another user's
            path.replace(path.with_name(f"{path.name}.damaged"))
            path.write_bytes(b"".join(line + b"\n" for line, cost in read if cost is not None))
    return [cost for _, cost in read if cost is not None]


def _cost(line: bytes) -> dict[str, float] | None:
    try:
        cost = CacheCost(**json.loads(line))
        return {
            "views": int(cost.views),
            "seconds": float(cost.seconds or 0),
            "cpu_seconds": float(cost.cpu_seconds or 0),
        }
    except (ValueError, TypeError):
        return None
