"""Somebody who answers at once: an image's mean grey value decides between two classes."""

import csv
import os
import signal
from functools import partial
from pathlib import Path

import numpy as np

from dspkd.data.decode import decode
from dspkd.deploy.batch import engines
from dspkd.deploy.batch import predict as many
from dspkd.deploy.batch.listing import ImageList
from dspkd.deploy.batch.output import ShardedOutput

CLASSES = ("dark", "light")
COUNT = 23
"""Images in the folder that the fixture `folder` makes."""


def image(path):
    return decode(path, short_side=4)


def image_or_die(path):
    if path.name.startswith("deadly"):
        os._exit(9)
    return decode(path, short_side=4)


def image_of_one_interrupted(path):
    """As when somebody presses Ctrl-C, which a terminal sends to all processes of a command."""
    os.kill(os.getpid(), signal.SIGINT)
    return image(path)


def image_and_sign(path):
    """Leave the number of the process that makes it."""
    Path(f"{os.getpid()}.loader").touch()
    return image(path)


class Grey:
    classes, key, refer_below, batch_size, on_gpu = CLASSES, "grey", None, 4, False

    def __init__(self, made=image):
        self.preprocess, self.asked = made, 0

    def answer(self, images):
        self.asked += len(images)
        light = images.mean(axis=(1, 2, 3)) / 255
        light[light == 0] = np.nan  # a network that breaks on black
        return np.stack([1 - light, light], axis=1)


def broken(folder: Path):
    """Whoever cannot be made on a node."""
    from dspkd.errors import RunError

    raise RunError(f"{folder}: no finished run")


def ask(source, out, asked=None, *, workers=0, engine=None, column=None, told=None):
    asked, named = asked or Grey(), ImageList(source, column)
    engine = engine or partial(engines.run_inline, asked=asked, root=named.root, workers=workers)
    progress = (lambda *step: told.append(step)) if told is not None else (lambda *_: None)
    return many.predict(named, ShardedOutput(out, asked.classes, asked.key, asked.refer_below), engine, progress)


def rows(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
