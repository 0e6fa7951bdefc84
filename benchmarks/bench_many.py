"""Images a second and peak memory of `dspkd predict --many`, for few and for many images.

    python benchmarks/bench_many.py ../shared/data/dermoscopy-150 --images 1000 8000

Asks a ShuffleNetV2 of eight classes with random weights about as many images of the folder, again and again from the
start where there are not enough, named in a CSV; each count in a process of its own, of which the peak memory is told
together with that of its largest loader process.

Linux alone: peaks are VmHWM of /proc, which each loader writes down for itself. What getrusage says of children is no
measure of them: a process that was just started counts the memory of the one that started it, until it becomes its own.
"""

import argparse
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

from dspkd.data.decode import judged


def peak():
    """Return the largest memory that this process had so far, in MiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


class Loader:
    """Makes images, and writes down the peak of the process that does."""

    def __init__(self, folder, size):
        self._folder = folder
        self._judged = partial(judged, size=size, short_side=round(size * 8 / 7))

    def __call__(self, path):
        image = self._judged(path)
        (self._folder / f"{os.getpid()}.peak").write_text(str(peak()))
        return image


class Untrained:
    """The student that answers."""

    classes, key, batch_size, on_gpu = tuple("ABCDEFGH"), "untrained", 32, False

    def __init__(self, size, folder):
        import torch

        from dspkd.models import zoo

        torch.set_num_threads(1)
        self._network = zoo.make("shufflenet_v2_x1_0", classes=8).eval()
        self.preprocess = Loader(folder, size)

    def answer(self, pixels):
        import torch

        with torch.inference_mode():
            images = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
            return self._network(images).logits.softmax(1).numpy()


def once(table, workers, size):
    from dspkd.deploy.batch import engines
    from dspkd.deploy.batch import predict as many
    from dspkd.deploy.batch.listing import ImageList
    from dspkd.deploy.batch.output import ShardedOutput

    asked, source = Untrained(size, table.parent), ImageList(table)
    engine = partial(engines.run_inline, asked=asked, root=source.root, workers=workers)
    wall, cpu = time.perf_counter(), time.process_time()
    counted = many.predict(source, ShardedOutput(table.with_name("out.csv"), asked.classes, asked.key), engine)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    loader = max(float(path.read_text()) for path in table.parent.glob("*.peak"))
    print(json.dumps([counted.images, counted.unanswered, wall, cpu, peak(), loader]))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--images", type=int, nargs="+", default=[1000, 8000])
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--size", type=int, default=96, help="side of an image")
    parser.add_argument("--once", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.once:
        once(asked.once, asked.workers, asked.size)
        return
    images = sorted(path.resolve() for path in asked.folder.rglob("*.jpg"))
    print(f"{asked.size} px, {asked.workers} loader processes, one thread")
    print(
        "| images | images/s | s | CPU s of the network's process | peak MiB | of a loader |\n|---|---|---|---|---|---|"
    )
    for count in asked.images:
        with tempfile.TemporaryDirectory() as folder:
            table = Path(folder) / "images.csv"
            table.write_text(
                "path\n" + "".join(f"{path}\n" for path in itertools.islice(itertools.cycle(images), count))
            )
            again = [sys.executable, __file__, asked.folder, "--once", table, "--workers", asked.workers]
            made = subprocess.run([*map(str, again), "--size", str(asked.size)], capture_output=True, check=True)
            number, _, wall, cpu, own, loader = json.loads(made.stdout)
        print(f"| {number:,} | {number / wall:.0f} | {wall:.0f} | {cpu:.0f} | {own:.0f} | {loader:.0f} |", flush=True)


if __name__ == "__main__":
    main()
