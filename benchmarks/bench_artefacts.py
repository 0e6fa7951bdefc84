"""Cost of artefact removal, the share of artefacts removed, and of other pixels changed.

    python benchmarks/bench_artefacts.py ../shared/data/dermoscopy-150 --side 144
    python benchmarks/bench_artefacts.py ../shared/data/dermoscopy-288-mini --side 256
    python benchmarks/bench_artefacts.py --sheet docs/how-to/artefacts.jpg     # synthetic lesions, before and after

For each artefact: CPU time per image on one thread, and the mean change of the original images. For hair also: 3 to 16
dark hairs are drawn on each image; of the drawn pixels that differ visibly (by more than 20 of 255) from the original,
the share that still does after removal, both from the original and from the original without its own hair. Also the
share of the original's pixels that removal changes visibly, its own hair included.
"""

import argparse
import time
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw

from dspkd.data.artefacts import REMOVERS, hair, removed
from dspkd.data.decode import decode
from dspkd.data.synthetic.canvas import curves
from dspkd.data.synthetic.photo import paint

VISIBLE = 20
OVERSAMPLE = 4
EXAMPLES = {
    "hair": [("NV", 36, 0), ("NV", 37, 0), ("NV", 38, 0), ("NV", 11, 0)],
    "shading": [("MEL", 2, 0), ("BCC", 8, 0), ("BKL", 3, 0), ("NV", 8, 0)],
    "dark_corner": [("MEL", 4, 0), ("DF", 5, 0), ("VASC", 4, 0), ("SCC", 0, 0)],
    "colour_constancy": [("BCC", 27, 0), ("DF", 20, 0), ("VASC", 13, 0), ("AK", 20, 0)],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("folder", type=Path, nargs="?", help="folder, searched for *.jpg")
    parser.add_argument("--side", type=int, default=144, help="shorter side; 3/2 of images.size in training")
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--sheet", type=Path, help="only write synthetic lesions before and after")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    if options.sheet:
        sheet().save(options.sheet, quality=88)
        return
    paths = sorted(options.folder.rglob("*.jpg"))
    images = [decode(path, short_side=options.side) for path in paths[:: max(1, len(paths) // options.images)]]
    images = images[: options.images]
    print(f"{len(images)} images of {options.folder.name}, shorter side {options.side} px")
    for name, remove in REMOVERS.items():
        spent, changed, untouched = [], [], 0
        for image in images:
            started = time.process_time()
            cleaned = remove(image)
            spent.append(1e3 * (time.process_time() - started))
            changed.append(difference(cleaned, image).mean())
            untouched += np.array_equal(cleaned, image)
        print(
            f"{name:17} median {np.median(spent):5.1f} ms   mean change {np.mean(changed):5.2f} of 255   "
            f"untouched {untouched / len(images):4.0%}"
        )
    print(planted(images))


def planted(images: list[np.ndarray]) -> str:
    before = after = 0
    beside = []
    for number, image in enumerate(images):
        drawn, covered = with_hair(image, np.random.default_rng(number))
        cleaned, bare = hair(drawn), hair(image)
        visible = covered & (difference(drawn, image) > VISIBLE)
        still = np.minimum(difference(cleaned, image), difference(cleaned, bare)) > VISIBLE
        before += visible.sum()
        after += (visible & still).sum()
        beside.append((difference(bare, image) > VISIBLE).mean())
    return (
        f"planted hair: {before:,} visible pixels before, {after:,} after ({after / before:.1%}); of the bare images "
        f"{np.mean(beside):.2%} of the pixels change visibly on average, {np.median(beside):.2%} in the median image"
    )


def with_hair(image: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return the image with 3 to 16 dark hairs, 0.6 to 1.8 % of its shorter side wide, and where they are."""
    height, width = image.shape[:2]
    side, count = min(height, width), int(rng.integers(3, 17))
    paths = curves(
        rng.uniform(0, 1, (count, 2)) * [width, height],
        rng.uniform(0, 2 * np.pi) + rng.normal(0, 0.5, count),
        rng.uniform(0.25, 0.9, count) * side,
        rng.normal(0, 0.7, count),
    )
    drawn = Image.new("L", (width * OVERSAMPLE, height * OVERSAMPLE))
    for path, wide in zip(paths * OVERSAMPLE, rng.uniform(0.006, 0.018, count) * side * OVERSAMPLE, strict=True):
        ImageDraw.Draw(drawn).line([(x, y) for x, y in path], fill=255, width=max(1, round(wide)))
    cover = np.asarray(drawn.reduce(OVERSAMPLE), dtype=np.float32)[..., None] / 255
    colour = 255 * np.array([(0.10, 0.08, 0.08), (0.30, 0.20, 0.13)][int(rng.integers(2))])
    hairy = image + rng.uniform(0.7, 1) * cover * (colour - image)
    return np.rint(hairy).astype(np.uint8), cover[..., 0] > 0.3


def difference(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return np.abs(one.astype(int) - other.astype(int)).max(axis=2)


def sheet(size: int = 160) -> Image.Image:
    """Return a sheet with a row for each artefact and one for all: four synthetic lesions, before and after."""
    rows = [(names, EXAMPLES[names[0]]) for names in ([name] for name in REMOVERS)]
    rows.append((list(REMOVERS), [lesions[0] for lesions in EXAMPLES.values()]))
    page = Image.new("RGB", (4 * (2 * size + 12) - 12, len(rows) * (size + 20)), "white")
    for r, (names, lesions) in enumerate(rows):
        ImageDraw.Draw(page).text((2, r * (size + 20) + 4), ", ".join(names), fill="black")
        for c, (label, lesion, photo) in enumerate(lesions):
            image = paint(label, lesion=lesion, photo=photo, size=size)
            for k, pixels in enumerate((image, removed(image, names))):
                page.paste(Image.fromarray(pixels), (c * (2 * size + 12) + k * size, r * (size + 20) + 18))
    return page


if __name__ == "__main__":
    main()
