"""Time of checking a table of results, and of the intervals of F1 per class.

    pytest benchmarks/bench_claims.py --benchmark-columns=median,iqr,rounds

One thread of a CPU. ``peak_mib`` in ``extra_info`` is the peak memory allocated by Python and NumPy.
"""

import tracemalloc

import numpy as np
import pytest

from dspkd.evaluation.intervals import resample, resample_f1
from dspkd.evaluation.predictions import Predictions
from dspkd.experiments.paper.claims import check
from dspkd.experiments.paper.claims.granularity import sizes
from dspkd.experiments.paper.claims.read import read
from dspkd.experiments.paper.claims.rows import Number


def timed(benchmark, rounds, work):
    tracemalloc.start()
    work()
    benchmark.extra_info["peak_mib"] = round(tracemalloc.get_traced_memory()[1] / 2**20, 1)
    tracemalloc.stop()
    benchmark.pedantic(work, rounds=rounds, warmup_rounds=1)


def test_reading_and_checking_the_tables_of_the_paper(benchmark, rounds):
    timed(benchmark, rounds, lambda: check(read("paper")))


@pytest.mark.parametrize("images", [25_331, 1_000_000])
def test_granularity_over_all_sizes(benchmark, rounds, images):
    generator = np.random.default_rng(0)
    printed = [Number(round(value, 2), 2) for value in generator.uniform(80, 95, size=30)]
    timed(benchmark, rounds, lambda: sizes(printed, (1, images)))


@pytest.mark.parametrize("score", [resample, resample_f1], ids=lambda score: score.__name__)
def test_intervals_of_three_runs(benchmark, rounds, score):
    generator = np.random.default_rng(0)
    images, classes = 1_638, 8
    run = Predictions(
        tuple(f"class{k}" for k in range(classes)),
        tuple(f"i{n}" for n in range(images)),
        tuple(f"g{n * 1_204 // images}" for n in range(images)),
        generator.integers(classes, size=images),
        generator.normal(size=(images, classes)).astype(np.float32),
    )
    timed(benchmark, rounds, lambda: score([run] * 3, resamples=10_000))
