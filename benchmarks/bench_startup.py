"""Processor time of short commands, as a whole process with the start of Python.

    python benchmarks/bench_startup.py --rounds 7

User plus system time, median and range. The bundle for `dspkd predict` is made first, from a tiny network trained on
synthetic lesions.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from dspkd.data.synthetic.dataset import synthesize

SHORT = ("--set", "stages.0.epochs=2", "--set", "machine.cache='none'")
LIMITS = {"--help": 0.3, "recipes check demo/dsp_kd": 1.5, "methods": 1.0, "predict BUNDLE IMAGE": 1.0}
"""Seconds that each command may take."""


def run(*arguments):
    """Run a command and return its user plus system seconds."""
    before = os.times()
    subprocess.run([sys.executable, "-m", "dspkd", *map(str, arguments)], check=True, capture_output=True)
    after = os.times()
    return sum(getattr(after, kind) - getattr(before, kind) for kind in ("children_user", "children_system"))


def make_bundle(folder):
    """Return a bundle and an image."""
    synthesize(folder / "lesions", images=200, size=48, seed=0)
    run("train", "demo/plain", "--out", folder / "run", "--set", f"data.path={str(folder / 'lesions')!r}", *SHORT)
    run("export", folder / "run", "--out", folder / "model.dspkd")
    return folder / "model.dspkd", next((folder / "lesions").rglob("*.jpg"))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as temporary:
        bundle, image = make_bundle(Path(temporary))
        paths = {"BUNDLE": bundle, "IMAGE": image}
        commands = {name: [paths.get(word, word) for word in name.split()] for name in LIMITS}
        for words in commands.values():
            run(*words)  # compiles the bytecode and fills the disk cache
        seconds = {name: [] for name in LIMITS}
        for _ in range(rounds):
            for name, words in commands.items():
                seconds[name].append(run(*words))
    print(f"{'dspkd ...':<28}{'median s':>10}{'least':>8}{'most':>8}{'limit':>8}")
    for name, each in seconds.items():
        print(f"{name:<28}{statistics.median(each):>10.2f}{min(each):>8.2f}{max(each):>8.2f}{LIMITS[name]:>8.1f}")


if __name__ == "__main__":
    main()
