"""Damaged and hostile input of every kind: each must be read, or refused in our own words, within its time and memory.

    make fuzz                      # an hour; SECONDS=60 for a minute
    PYTHONPATH=tests python -m fuzz --seconds 60 --only networks
    PYTHONPATH=tests python -m fuzz --replay networks 1234:17

Each input follows from its kind, the seed and its number. One that fails is kept in build/fuzz, with its traceback.
"""

import argparse
import os
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from fuzz import cases
from fuzz.kinds import KINDS

KEPT = Path("build/fuzz")
MOST_KEPT = 20
"""Failing inputs that are kept of a kind in one call."""


def fuzz(kinds, seconds, seed, folder):
    """Draw inputs for so many seconds, as long for each kind; return ``{kind: Counter}``, print and keep failures."""
    ends = time.monotonic() + seconds
    spent, counts = dict.fromkeys(kinds, 0.0), {name: Counter() for name in kinds}
    while (started := time.monotonic()) < ends:
        name = min(kinds, key=spent.__getitem__)
        count = counts[name]
        numbers = range(count["inputs"], count["inputs"] + kinds[name].together)
        outcome = cases.run(kinds[name], [f"{name} {seed}:{number}" for number in numbers], folder)
        count["inputs"] += outcome.done
        count["refused"] += outcome.refused
        count["failed"] += bool(outcome.failure)
        count["milliseconds"] = max(count["milliseconds"], round(1000 * outcome.slowest))
        count["megabytes"] = max(count["megabytes"], round(outcome.megabytes))
        if outcome.failure:
            keep(name, f"{seed}:{count['inputs'] - 1}", outcome, folder, keep_it=count["failed"] <= MOST_KEPT)
        spent[name] += time.monotonic() - started
    return counts


def keep(name, number, outcome, folder, *, keep_it):
    """Print a failure, and keep its input."""
    place = KEPT / f"{name}-{number.replace(':', '-')}"
    if keep_it:
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(folder, place, symlinks=True)
        (place / "failure.txt").write_text(outcome.failure)
    print(f"FAILED {name} {number}, kept in {place}: {outcome.failure.strip().splitlines()[-1][:300]}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=3600)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--only", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--replay", nargs=2, metavar=("KIND", "SEED:NUMBER"))
    options = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as made:
        os.environ["XDG_CACHE_HOME"] = made
        places = {name: Path(made) / name for name in options.only}
        if options.replay:
            name, number = options.replay
            (Path(made) / name).mkdir()
            KEPT.mkdir(parents=True, exist_ok=True)
            outcome = cases.run(KINDS[name](Path(made) / name), [f"{name} {number}"], KEPT / "replayed")
            print(outcome.failure or outcome)
            sys.exit(bool(outcome.failure))
        print(f"seed {options.seed}", flush=True)
        for place in places.values():
            place.mkdir()
        kinds = {name: KINDS[name](place) for name, place in places.items()}
        counts = fuzz(kinds, options.seconds - (time.monotonic() - began), options.seed, Path(made) / "case")
    for name, count in counts.items():
        print(
            f"{name}: {count['inputs']:,} inputs, {count['refused']:,} refused, {count['failed']} failed; "
            f"at most {count['milliseconds'] / 1000:.1f} s of a processor for one, {count['megabytes']} MB for several"
        )
    if any(count["failed"] for count in counts.values()):
        sys.exit(1)


if __name__ == "__main__":
    main()
