"""Memory and time of what grows with the number of images: the cache's index, listings, the images of an epoch.

    python benchmarks/bench_scale.py --images 1000000 10000000
    python benchmarks/bench_scale.py --images 1000000 --parts folder

Each row is measured in a process of its own: processor seconds, and the rise of its memory. The index is that of a
store whose arrays are holes in a file; 100,000 of its keys are then looked up. A folder's entries are made up, all in
one folder, since 10 million files would take an hour to make; its names are read as `dspkd predict --many` reads them,
and so are those of a CSV. An epoch is the list of (row, view) that the loader draws. Linux only: memory is VmHWM.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

import numpy as np

from dspkd.runtime import array_store


def memory(name):
    """Return a memory figure of this process in MiB: VmRSS, now, or VmHWM, its peak."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:")) / 1024


def index(count, folder):
    """Open a store of `count` arrays; yields when it is ready, and then looks up keys."""
    rng = np.random.default_rng(0)
    array_store.Store(folder, "float16", {})
    with (folder / "index.bin").open("wb") as file:
        for first in range(0, count, 100_000):
            entries = np.zeros(min(100_000, count - first), array_store._ENTRY)
            entries["key"] = np.frombuffer(rng.bytes(16 * len(entries)), "V16")
            entries["offset"] = 16 * np.arange(first, first + len(entries))
            entries["shape"][:, 0] = 8
            file.write(entries.tobytes())
    with (folder / "arrays.bin").open("wb") as file:
        file.truncate(16 * count)
    keys = [key.tobytes() for key in entries["key"]]  # of the last ones
    yield
    store = array_store.Store(folder, "float16", {})
    yield
    assert all(key in store for key in keys)


def listed(names):
    """Read all names one by one."""
    yield
    assert sum(1 for _ in names()) > 0


def folder(count, root):
    from dspkd.deploy.batch.listing import ImageList

    entries = (SimpleNamespace(name=f"ISIC_{n:08d}.jpg", is_dir=lambda: False) for n in range(count))
    with patch.object(os, "scandir", lambda _: nullcontext(entries)):
        yield from listed(ImageList(root).names)


def csv(count, root):
    from dspkd.deploy.batch.listing import ImageList

    table = root / "images.csv"
    with table.open("w", encoding="utf-8") as file:
        file.write("path\n")
        file.writelines(f"images/ISIC_{n:08d}.jpg\n" for n in range(count))
    yield from listed(ImageList(table).names)


def epoch(count, root):
    from dspkd.data.sampling import epoch_order

    labels = np.random.default_rng(0).integers(0, 8, count)
    yield
    positions, views = epoch_order(labels, seed=0, epoch=0, balance=0.0, views=4)
    keys = list(zip(positions.tolist(), views.tolist(), strict=True))
    assert len(keys) == count


PARTS = {"index": index, "folder": folder, "csv": csv, "epoch": epoch}


def once(part, count, root):
    """Measure one part here, and print its processor seconds, those of lookups, and the peak in MiB."""
    steps = PARTS[part](count, root)
    next(steps)
    before = memory("VmRSS")
    laps = [time.process_time()]
    for _ in steps:
        laps.append(time.process_time())
    laps.append(time.process_time())
    seconds = [laps[1] - laps[0], laps[-1] - laps[1]]
    print(json.dumps([*seconds, memory("VmHWM") - before]))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, nargs="+", default=[1_000_000, 10_000_000])
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--once", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.once:
        once(options.parts[0], options.images[0], options.once)
        return
    print("| | images | CPU s | of 100,000 lookups | peak MiB |\n|---|---|---|---|---|")
    for part in options.parts:
        for count in options.images:
            with tempfile.TemporaryDirectory() as root:
                again = [sys.executable, __file__, "--parts", part, "--images", str(count), "--once", root]
                done = subprocess.run(again, check=True, capture_output=True, text=True)
            seconds, lookups, peak = json.loads(done.stdout)
            looked_up = f"{lookups:.2f}" if part == "index" else ""
            print(f"| {part} | {count:,} | {seconds:.1f} | {looked_up} | {peak:,.0f} |", flush=True)


if __name__ == "__main__":
    main()
