"""The structure of the package in numbers: packages, levels, imports, cycles, and a recipe's trip through training.

A package is an entry at the top of dspkd. An import leads from a package to another. A package's level is the
longest chain of imports below it. The trip is every call, during a short training run, that receives the recipe: how
many packages it visits, how often it moves to another one, and how often that is on a higher level than the one before.
Another checkout is measured by PYTHONPATH, one of before 2026-11-29 with --old.

    python benchmarks/structure.py
    PYTHONPATH=../old/src python benchmarks/structure.py --old
"""

import argparse
import subprocess
import sys
import tempfile
from functools import cache
from itertools import pairwise
from pathlib import Path

import grimp

TRIP = """
from dspkd.experiments import single_run
from dspkd.recipes import schema
single_run.train(schema.parse(SETTINGS), OUT)
"""
OLD_TRIP = "from dspkd import recipe, run; run.train(recipe.parse(SETTINGS), OUT)"
"""Trains SETTINGS into OUT, in the names of now and of before 2026-11-29."""


def package_of(module):
    """Return the entry at the top of the package that a module belongs to."""
    return module.split(".")[1]


def structure():
    """Return packages, imports between them, and the cycles of packages and of files."""
    graph = grimp.build_graph("dspkd", cache_dir=None)
    modules = [name for name in graph.modules if name.count(".") > 0]
    imports = {
        (package_of(name), package_of(other))
        for name in modules
        for other in graph.find_modules_directly_imported_by(name)
        if other.count(".") > 0 and package_of(other) != package_of(name)
    }
    below = {name: {o for o in graph.find_modules_directly_imported_by(name) if o.count(".") > 0} for name in modules}
    return {package_of(name) for name in modules}, imports, below


def cycles(below):
    """Return how many groups of nodes can reach each other (strongly connected, more than one)."""
    reach = {node: set() for node in below}
    for node, seen in reach.items():
        todo = [node]
        while todo:
            for other in below.get(todo.pop(), ()):
                if other not in seen:
                    seen.add(other)
                    todo.append(other)
    return len({frozenset(o for o in seen if node in reach.get(o, ())) for node, seen in reach.items() if node in seen})


def levels(packages, imports):
    """Return each package's level, from 1; needs packages without cycles."""
    below = {package: {to for by, to in imports if by == package} for package in packages}

    @cache
    def level(package):
        return 1 + max((level(other) for other in below[package]), default=0)

    return {package: level(package) for package in packages}


FOLLOW = """
import sys
from pathlib import Path
from dspkd.data.{synthetic} import synthesize

OUT = Path({out!r}) / "run"
synthesize(Path({out!r}) / "data", images=120, size=48, seed=0)
SETTINGS = {{
    "name": "trip", "data": {{"path": str(Path({out!r}) / "data")}}, "model": {{"name": "tiny"}},
    {images!r}: {{"size": 32}}, "train": {{"batch_size": 32}}, "machine": {{"cache": "none", "threads": 1}},
    "stages": [{{"name": "labels", "epochs": 1, "lr": 1e-3, "terms": [{{"method": "labels"}}]}}],
}}
visits = []

def holds(value):
    return type(value).__name__ == "Recipe"

def watch(frame, event, _):
    code = frame.f_code
    if event == "call" and "dspkd/" in code.co_filename:
        given = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
        if any(holds(frame.f_locals.get(name)) for name in given):
            visits.append(frame.f_globals["__name__"].split(".")[1])

sys.setprofile(watch)
{trip}
sys.setprofile(None)
print("VISITS", *visits)
"""


def trip(*, old):
    """Return the packages of the calls that receive the recipe, in their order."""
    names = {"synthetic": "synthetic.dataset", "images": "images", "trip": TRIP}
    if old:
        names = {"synthetic": "synthetic", "images": "pictures", "trip": OLD_TRIP}
    with tempfile.TemporaryDirectory() as out:
        program = FOLLOW.format(out=out, **names)
        done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("VISITS")]
    return line.split()[1:]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--old", action="store_true", help="the checkout has the names of before 2026-11-29")
    options = parser.parse_args()
    packages, imports, below = structure()
    entries = packages - {"__main__"}
    of_packages = {package: {to for by, to in imports if by == package} for package in packages}
    print(f"entries at the top: {len(entries)}")
    print(f"imports between packages: {len(imports)}")
    print(f"cycles of packages / of files: {cycles(of_packages)} / {cycles(below)}")
    level = levels(packages, imports)
    print(f"levels (longest chain): {max(level.values())}")
    visits = trip(old=options.old)
    moves = [(before, after) for before, after in pairwise(visits) if before != after]
    climbs = sum(level[after] > level[before] for before, after in moves)
    print(f"a recipe's trip: {len(set(visits))} packages, {len(moves)} moves, {climbs} of them up; {len(visits)} calls")
    sizes = sorted(len(Path(file).read_text(encoding="utf-8").splitlines()) for file in _files())
    print(f"files: {len(sizes)}, {sum(sizes):,} lines, median {sizes[len(sizes) // 2]}, longest {sizes[-1]}")


def _files():
    import dspkd

    return Path(dspkd.__file__).parent.rglob("*.py")


if __name__ == "__main__":
    main()
