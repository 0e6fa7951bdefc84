"""Images per second and peak memory of `dspkd predict --many`, for few and for many images.

    python benchmarks/bench_many.py ../shared/data/dermoscopy-150 --images 1000 8000

A ShuffleNetV2 of eight classes with random weights predicts that many images of the folder, repeated if there are not
enough, named in a CSV. Each count runs in its own process; its peak memory is printed with that of its largest loader
process.

Linux only: peaks are VmHWM of /proc, which each loader writes to a file. getrusage does not measure children correctly:
a new process counts the memory of its parent at first.
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

from dspkd.data.decode import evaluation_crop


def peak():
    """Return the peak memory of this process so far, in MiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


class Loader:
    """Decodes images, and writes the peak memory of its process to a file."""

    def __init__(self, folder, size):
        self._folder = folder
        self._decode = partial(evaluation_crop, size=size, short_side=round(size * 8 / 7))

    def __call__(self, path):
        image = self._decode(path)
        (self._folder / f"{os.getpid()}.peak").write_text(str(peak()))
        return image


class Untrained:
    """A student with random weights."""

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
    from dspkd.deploy.batch import predict as batch
    from dspkd.deploy.batch.listing import ImageList
    from dspkd.deploy.batch.output import ShardedOutput

    classifier, source = Untrained(size, table.parent), ImageList(table)
    engine = partial(engines.run_inline, classifier=classifier, root=source.root, workers=workers)
    wall, cpu = time.perf_counter(), time.process_time()
    output = ShardedOutput(table.with_name("out.csv"), classifier.classes, classifier.key)
    counts = batch.predict(source, output, engine)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    loader = max(float(path.read_text()) for path in table.parent.glob("*.peak"))
    print(json.dumps([counts.images, counts.failed, wall, cpu, peak(), loader]))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--images", type=int, nargs="+", default=[1000, 8000])
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--size", type=int, default=96, help="side of an image")
    parser.add_argument("--once", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.once:
        once(options.once, options.workers, options.size)
        return
    images = sorted(path.resolve() for path in options.folder.rglob("*.jpg"))
    print(f"{options.size} px, {options.workers} loader processes, one thread")
    print(
        "| images | images/s | s | CPU s of the network's process | peak MiB | of a loader |\n|---|---|---|---|---|---|"
    )
    for count in options.images:
        with tempfile.TemporaryDirectory() as folder:
            table = Path(folder) / "images.csv"
            table.write_text(
                "path\n" + "".join(f"{path}\n" for path in itertools.islice(itertools.cycle(images), count))
            )
            again = [sys.executable, __file__, options.folder, "--once", table, "--workers", options.workers]
            done = subprocess.run([*map(str, again), "--size", str(options.size)], capture_output=True, check=True)
            number, _, wall, cpu, own, loader = json.loads(done.stdout)
        print(f"| {number:,} | {number / wall:.0f} | {wall:.0f} | {cpu:.0f} | {own:.0f} | {loader:.0f} |", flush=True)


if __name__ == "__main__":
    main()
