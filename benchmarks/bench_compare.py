"""Speed-up of a grid of single-threaded runs by a second process.

    python benchmarks/bench_compare.py --runs 8 --epochs 12

Tiny networks on synthetic lesions. Both train the same runs into empty folders by `dspkd compare`, with images decoded
in advance; the start of Python is included. Processor time is given beside wall time, which on a busy machine means
little.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from dspkd.data.synthetic.dataset import synthesize

RECIPE = """
name = "student"
data = {{ path = "{data}" }}
model = {{ name = "tiny" }}
images = {{ size = 48 }}
train = {{ batch_size = 32 }}
machine = {{ threads = 1, cache = "{cache}" }}
stages = [{{ name = "labels", epochs = {epochs}, lr = 3e-3, terms = [{{ method = "labels" }}] }}]
"""


def seconds(grid, out, jobs):
    """Return the wall and the processor seconds of a comparison."""
    began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    arguments = [sys.executable, "-m", "dspkd", "compare", str(grid), "--out", str(out), "--jobs", str(jobs)]
    subprocess.run(arguments, check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.perf_counter() - began, processor


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=8, help="an even number: half are plain, half label smoothing")
    parser.add_argument("--epochs", type=int, default=12)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        synthesize(folder / "data", images=600, size=64, seed=0)
        recipe = RECIPE.format(data=folder / "data", cache=folder / "cache", epochs=arguments.epochs)
        (folder / "student.toml").write_text(recipe)
        warm = f"seeds = [0]\nmethods = ['{folder / 'student.toml'}']\nset = ['stages.0.epochs=1']\n"
        (folder / "warm.toml").write_text(warm)
        seconds(folder / "warm.toml", folder / "warm", 1)
        grid = f"seeds = {list(range(arguments.runs // 2))}\nmethods = ['{folder / 'student.toml'}']\n"
        (folder / "grid.toml").write_text(grid)
        load = os.getloadavg()[0]
        times = {jobs: seconds(folder / "grid.toml", folder / str(jobs), jobs) for jobs in (1, 2)}
    print(f"{arguments.runs} runs of {arguments.epochs} epochs; load before {load:.1f} on {os.cpu_count()} cores")
    for jobs, (wall, processor) in times.items():
        print(f"{jobs} at the same time: {wall:.1f} s wall, {processor:.1f} s processor")
    print(f"two processes take {times[2][0] / times[1][0]:.2f} of the wall time of one")


if __name__ == "__main__":
    main()
