import numpy as np
import pytest

from dspkd.evaluation.predictions import Predictions


def _make(labels, logits, groups=None, names="ABCDEFGH"):
    """Predictions; every image is its own group where no groups are given."""
    logits = np.asarray(logits, dtype=np.float32)
    ids = tuple(f"image{n}" for n in range(len(labels)))
    groups = ids if groups is None else tuple(str(group) for group in groups)
    return Predictions(tuple(names[: logits.shape[1]]), ids, groups, np.asarray(labels), logits)


def _drawn(seed, images=300, classes=4, *, images_per_group=2, gain=1.0):
    """Random predictions that are right more often than not; groups are of one class."""
    generator = np.random.default_rng(seed)
    groups = np.arange(images) // images_per_group
    labels = (groups * 7 // 3) % classes
    logits = generator.normal(size=(images, classes)) + gain * np.eye(classes)[labels]
    return _make(labels, logits, groups)


def _one_hot(labels, predicted, groups=None, classes=3):
    """Predictions of labels by one-hot logits."""
    return _make(labels, np.eye(classes)[np.asarray(predicted)], groups)


@pytest.fixture(scope="session")
def make():
    return _make


@pytest.fixture(scope="session")
def drawn():
    return _drawn


@pytest.fixture(scope="session")
def one_hot():
    return _one_hot
