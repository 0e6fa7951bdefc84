"""Time and peak memory of subgroup metrics and gaps.

    pytest benchmarks/bench_subgroups.py --benchmark-columns=median

A test set of the size of ISIC 2019's (a fifth of its images), five attributes, three seeds and their teacher.
"""

import tracemalloc

import numpy as np
import pytest

from dspkd.evaluation.predictions import Predictions
from dspkd.evaluation.subgroups import subgroups

IMAGES, LESIONS, CLASSES = 5_000, 2_800, 8
VALUES = {"source": 4, "sex": 2, "age": 5, "body site": 8, "skin type": 6}


def study(seed):
    generator = np.random.default_rng(0)
    groups = generator.integers(LESIONS, size=IMAGES)
    labels = groups % CLASSES
    attributes = {name: tuple(f"{name} {value}" for value in groups * 7 // 5 % count) for name, count in VALUES.items()}
    logits = np.random.default_rng(seed).normal(size=(IMAGES, CLASSES)) + 2 * np.eye(CLASSES)[labels]
    names = tuple(f"image {n}" for n in range(IMAGES))
    predictions = Predictions(tuple("ABCDEFGH"), names, tuple(map(str, groups)), labels, logits.astype(np.float32))
    return predictions, attributes


@pytest.mark.parametrize("seeds", [1, 3])
def test_subgroups(benchmark, seeds):
    runs = [study(seed)[0] for seed in range(seeds)]
    teacher, attributes = study(9)

    def compute():
        return subgroups(runs, attributes, focus=0, teacher=teacher, resamples=4_000)

    benchmark.pedantic(compute, rounds=3)
    tracemalloc.start()
    compute()
    benchmark.extra_info["peak MiB"] = round(tracemalloc.get_traced_memory()[1] / 2**20)
    tracemalloc.stop()
