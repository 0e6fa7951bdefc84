"""`dspkd predict --many` by a bundle beside a bare loop; its memory for a million files; what resuming costs.

    python benchmarks/bench_batch.py
    python benchmarks/bench_batch.py --bundle model.dspkd --listed 100000 1000000

The bare loop is that of `bench_latency`: Pillow, NumPy and the bundle's default network in ONNX Runtime, without checks
and output. Both predict links to the same photograph in this process, on one thread and without loader processes, in
turns; dspkd writes its file. The median ratio of processor times is that of images a second and core.

For memory and resuming, a listing names as many files, and the classifier neither reads nor computes: what remains is
the package's own part. A first call is stopped before its last chunk, the second ends it; each has a process of its
own. Linux only: peaks are VmHWM.
"""

import argparse
import itertools
import json
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from dspkd.deploy.batch import engines
from dspkd.deploy.batch import predict as batch
from dspkd.deploy.batch.listing import ImageList
from dspkd.deploy.batch.output import ShardedOutput
from dspkd.errors import RunError

SIZES = {"600x450": (600, 450), "4000x3000": (4000, 3000)}


class NoNetwork:
    """Answers without reading an image."""

    classes, key, rule, batch_size, on_gpu = tuple("ABCDEFGH"), "none", None, 32, False

    @staticmethod
    def preprocess(path):
        return np.zeros(1, np.uint8)

    def answer(self, pixels):
        return np.full((len(pixels), 8), 1 / 8)


def predicted(classifier, listing, out, engine=engines.run_inline):
    source = ImageList(listing)
    output = ShardedOutput(out, classifier.classes, classifier.key, classifier.rule)
    return batch.predict(source, output, partial(engine, classifier=classifier, root=source.root, workers=0))


def stopped(chunks, *, stop_after, **arguments):
    """Predict the first chunks, then fail."""
    yield from engines.run_inline(itertools.islice(chunks, stop_after), **arguments)
    raise RunError("stopped")


def own_part(table, number):
    """Print processor seconds and peak MiB of call `number` on a listing: the first stops before the last chunk."""
    chunks = sum(1 for _ in table.open()) // batch.CHUNK
    engine = partial(stopped, stop_after=chunks - 1) if number == 0 else engines.run_inline
    started = time.process_time()
    with suppress(RunError):
        predicted(NoNetwork(), table, table.with_name("out.csv"), engine)
    status = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1024
    print(json.dumps([time.process_time() - started, peak]))


def listed(counts):
    print("| listed files | CPU s | CPU s to resume | peak MiB | peak when resumed |\n|---|---|---|---|---|")
    for count in counts:
        with tempfile.TemporaryDirectory() as folder:
            table = Path(folder) / "images.csv"
            with table.open("w", encoding="utf-8") as file:
                file.writelines(("path\n", *(f"{number:08}.jpg\n" for number in range(count))))
            command = [sys.executable, __file__, "--own-part", str(table), "--call"]
            calls = [subprocess.run([*command, n], check=True, capture_output=True).stdout for n in "01"]
        (first, peak), (second, again) = map(json.loads, calls)
        print(f"| {count:,} | {first:.1f} | {second:.1f} | {peak:.0f} | {again:.0f} |", flush=True)


def beside_the_bare_loop(bundle, rounds, folder):
    from bench_latency import bare, make_bundle, photograph
    from turns import as_line, ratio, take_turns

    from dspkd.deploy.batch.bundle_model import BundleClassifier

    bundle = bundle or make_bundle(folder / "model.dspkd", "shufflenet_v2_x1_0")
    classifier = BundleClassifier(bundle)
    loop = bare(classifier._predictor.bundle, classifier._predictor.precision)
    picture = photograph(folder / "photograph.jpg")
    for name, size in SIZES.items():
        images, count = folder / name, 96 if name == "600x450" else 12
        images.mkdir()
        with Image.open(picture) as opened:
            opened.resize(size, Image.Resampling.BICUBIC).save(images / "00.jpg", quality=92)
        for number in range(1, count):
            (images / f"{number:02}.jpg").symlink_to("00.jpg")
        outputs = (folder / f"{name}-{number}.csv" for number in itertools.count())
        paths = sorted(images.iterdir())
        turns = {
            "bare": lambda paths=paths: [loop(path) for path in paths] and None,
            "dspkd": lambda images=images, outputs=outputs: predicted(classifier, images, next(outputs)) and None,
        }
        spent = take_turns(turns, rounds)
        print(
            as_line(f"{name}: images a second, dspkd / bare loop (at least 0.9)", ratio(spent["bare"], spent["dspkd"]))
        )
        each = {who: 1e3 * np.median(pairs[:, 1]) / count for who, pairs in spent.items()}
        print("    processor ms an image: " + ", ".join(f"{who} {ms:.2f}" for who, ms in each.items()), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, help="default: a ShuffleNetV2 with random weights, int8, 224 px")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--listed", type=int, nargs="*", default=[100_000, 1_000_000])
    parser.add_argument("--own-part", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--call", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.own_part:
        own_part(options.own_part, options.call)
        return
    with tempfile.TemporaryDirectory() as folder:
        beside_the_bare_loop(options.bundle, options.rounds, Path(folder))
    listed(options.listed)


if __name__ == "__main__":
    main()
