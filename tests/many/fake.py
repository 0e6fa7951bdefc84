"""Somebody who answers at once: a picture's mean grey value decides between two classes."""

import os
from pathlib import Path

import numpy as np

from dspkd.data.images import decode

CLASSES = ("dark", "light")


def picture(path):
    return decode(path, short_side=4)


def picture_or_die(path):
    if path.name.startswith("deadly"):
        os._exit(9)
    return decode(path, short_side=4)


class Grey:
    classes, key, batch_size, on_gpu = CLASSES, "grey", 4, False

    def __init__(self, made=picture):
        self.picture, self.asked = made, 0

    def answer(self, pictures):
        self.asked += len(pictures)
        light = pictures.mean(axis=(1, 2, 3)) / 255
        light[light == 0] = np.nan  # a network that breaks on black
        return np.stack([1 - light, light], axis=1)


def broken(folder: Path):
    """Whoever cannot be made on a node."""
    from dspkd.errors import RunError

    raise RunError(f"{folder}: no finished run")
