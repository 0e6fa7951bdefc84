"""A classifier without a network: an image's mean grey value decides between two classes."""

import csv
import os
import signal
from functools import partial
from pathlib import Path

import numpy as np

from dspkd.data.decode import decode
from dspkd.deploy.batch import engines
from dspkd.deploy.batch import predict as batch
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


def image_after_ctrl_c(path):
    """Send Ctrl-C to this process, as a terminal does to all processes of a command."""
    os.kill(os.getpid(), signal.SIGINT)
    return image(path)


def image_and_process_id(path):
    """Write a file named by the process that decodes."""
    Path(f"{os.getpid()}.loader").touch()
    return image(path)


class Grey:
    classes, key, rule, batch_size, on_gpu = CLASSES, "grey", None, 4, False

    def __init__(self, preprocess=image):
        self.preprocess, self.predicted = preprocess, 0

    def answer(self, images):
        self.predicted += len(images)
        light = images.mean(axis=(1, 2, 3)) / 255
        light[light == 0] = np.nan  # a network that breaks on black
        return np.stack([1 - light, light], axis=1)


def broken(folder: Path):
    """Fail to load a classifier."""
    from dspkd.errors import RunError

    raise RunError(f"{folder}: no finished run")


def predict(source, out, classifier=None, *, workers=0, engine=None, column=None, steps=None):
    """Predict the images of a folder or list; the calls of `progress` are appended to `steps`."""
    classifier, images = classifier or Grey(), ImageList(source, column)
    engine = engine or partial(engines.run_inline, classifier=classifier, root=images.root, workers=workers)
    progress = (lambda *step: steps.append(step)) if steps is not None else (lambda *_: None)
    output = ShardedOutput(out, classifier.classes, classifier.key, classifier.rule)
    return batch.predict(images, output, engine, progress)


def rows(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
