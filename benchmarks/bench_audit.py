"""Cost of an audit, and its growth with the number of images.

    python benchmarks/bench_audit.py ../shared/data/dermoscopy-150 --images 25000

Writes that many different images, aspect ratio 4:3, into a temporary folder: windows of 60 % of a photograph, rotated
by a random angle and tinted, every hundredth a copy. All are read once; the search for copies is then timed on the
first of them, twice as many at each step. CPU seconds are of all threads together.
"""

import argparse
import resource
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from dspkd import data
from dspkd.data.audit import duplicates, fingerprint


def make(number, path, source, width):
    """Write image `number`, or at every hundredth a mirrored copy of the one before."""
    draw = np.random.default_rng(number - (number % 100 == 99))
    with Image.open(source) as photograph:
        angle, (x, y) = draw.uniform(0, 360), draw.uniform(0, 0.4, 2) * photograph.size
        rotated = photograph.convert("RGB").rotate(angle, Image.Resampling.BILINEAR)
    window = rotated.crop((round(x), round(y), round(x + 0.6 * rotated.width), round(y + 0.6 * rotated.height)))
    pixels = np.asarray(window.resize((width, width * 3 // 4), Image.Resampling.BILINEAR)) * draw.uniform(0.85, 1.15, 3)
    image = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
    (ImageOps.mirror(image) if number % 100 == 99 else image).save(path, quality=85)


def first(prints, count):
    """Return the fingerprints of the first `count` images."""
    return fingerprint.Fingerprints(**{item.name: getattr(prints, item.name)[:count] for item in fields(prints)})


def timed(work):
    wall, cpu = time.perf_counter(), time.process_time()
    result = work()
    return result, time.perf_counter() - wall, time.process_time() - cpu


def peak_mib():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--images", type=int, default=25_000)
    parser.add_argument("--width", type=int, default=300, help="of an image, in pixels")
    options = parser.parse_args()
    table = data.read("auto", options.data)
    with tempfile.TemporaryDirectory() as folder:
        paths = tuple(Path(folder) / f"{number}.jpg" for number in range(options.images))
        sources = [table.paths[(n - (n % 100 == 99)) % len(table)] for n in range(options.images)]
        with ThreadPoolExecutor() as pool:
            written = pool.map(make, range(options.images), paths, sources, [options.width] * options.images)
            for number, _ in enumerate(written, start=1):
                if number % 5000 == 0:
                    print(f"{number} images written", flush=True)
        before = peak_mib()
        prints, wall, cpu = timed(lambda: fingerprint.take(paths))
        kept = sum(getattr(prints, name).nbytes for name in ("layout", "detail")) / options.images
        print(
            f"reading {options.images} images: {wall:.0f} s wall, {cpu:.0f} s CPU; {kept:.0f} bytes kept of each",
            flush=True,
        )
        print(
            "| images | search, s wall | s CPU | growth of CPU per doubling | pairs |\n|---|---|---|---|---|",
            flush=True,
        )
        duplicates.find(first(prints, 500))
        earlier = None
        for count in (options.images // 8, options.images // 4, options.images // 2, options.images):
            pairs, wall, cpu = timed(lambda count=count: duplicates.find(first(prints, count)))
            growth = "" if earlier is None else f"{cpu / earlier:.2f}"
            print(f"| {count} | {wall:.1f} | {cpu:.1f} | {growth} | {len(pairs)} |", flush=True)
            earlier = cpu
    print(f"peak memory {peak_mib():.0f} MiB, of which {before:.0f} MiB before the first image was read")


if __name__ == "__main__":
    main()
