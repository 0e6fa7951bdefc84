"""The loader's parts at one size, by Pillow and by OpenCV: the affine warp, RandAugment, the whole; in turns.

    python benchmarks/bench_warp.py --size 224

One synthetic photograph, decoded to 1.5 times the size, as the loader has it. A view is drawn, warped and altered by
RandAugment(2, 9); both contestants draw the same maps, and only the warp differs. One thread. The last line is the
largest and the mean difference of a pixel between the two warps, of 255.
"""

import argparse
import itertools
from unittest.mock import patch

import cv2
import numpy as np
import torch
from PIL import Image
from turns import as_line, ratio, take_turns

from dspkd.data.synthetic.photo import paint
from dspkd.data.transforms import Augmentation


class ByOpenCV:
    """Stands in for Pillow's image in `Augmentation`: the same map, by `cv2.warpAffine`."""

    def __init__(self, pixels):
        self._pixels = pixels

    def transform(self, size, method, numbers, filter_):
        a, b, c, d, e, f = numbers
        # Pillow maps centres of pixels, OpenCV their corners' indices.
        inverse = np.array([[a, b, c + (a + b) / 2 - 0.5], [d, e, f + (d + e) / 2 - 0.5]])
        return Image.fromarray(
            cv2.warpAffine(self._pixels, inverse, size, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
        )


class Opened:
    """Stands in for `PIL.Image` in the transforms."""

    Transform, Resampling, fromarray = Image.Transform, Image.Resampling, ByOpenCV


def by_opencv(augment, pixels, view):
    with patch("dspkd.data.transforms.Image", Opened):
        return augment.pixels(pixels, name="x", view=view, seed=0)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--batch", type=int, default=8, help="views of a turn")
    parser.add_argument("--rounds", type=int, default=20)
    options = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    side = Augmentation(size=options.size).decode_side
    pixels = np.asarray(Image.fromarray(paint("NV", lesion=3, photo=0, size=600)[75:525]).resize((side * 4 // 3, side)))
    for ops in (0, 2):
        augment = Augmentation(size=options.size, num_ops=ops)
        views = itertools.count()

        def pillow(augment=augment, views=views):
            for _ in range(options.batch):
                augment.pixels(pixels, name="x", view=next(views), seed=0)

        def opencv(augment=augment, views=views):
            for _ in range(options.batch):
                by_opencv(augment, pixels, next(views))

        spent = take_turns({"Pillow": pillow, "OpenCV": opencv}, options.rounds)
        print(as_line(f"{options.size} px, {ops} operations: images a second, OpenCV / Pillow", ratio(*spent.values())))
        each = {name: 1e3 * np.median(pairs[:, 1]) / options.batch for name, pairs in spent.items()}
        print("    processor ms an image: " + ", ".join(f"{name} {ms:.2f}" for name, ms in each.items()), flush=True)
    plain = Augmentation(size=options.size, num_ops=0)
    pairs = [(plain.pixels(pixels, name="x", view=n, seed=0), by_opencv(plain, pixels, n)) for n in range(20)]
    gaps = np.abs(np.array(pairs, dtype=np.int16)[:, 0] - np.array(pairs, dtype=np.int16)[:, 1])
    print(f"difference of a pixel: at most {gaps.max()}, on average {gaps.mean():.2f}")


if __name__ == "__main__":
    main()
