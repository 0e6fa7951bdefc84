"""Sizes of test sets that give a percentage, against trying all numbers of correct predictions."""

import pytest

from dspkd.experiments.paper.claims.granularity import sizes
from dspkd.experiments.paper.claims.rows import Number


def tried(texts, images, runs=1):
    """Return the sizes that give all percentages rounded (either way at halves), or all truncated, by trying."""
    possible = []
    for n in images:
        given = [(round(float(text), 9), len(text.partition(".")[2])) for text in texts]
        values = [100 * k / (n * runs) for k in range(n * runs + 1)]
        rounded = all(any(abs(v - p) <= 0.5 * 10**-d + 1e-9 for v in values) for p, d in given)
        cut = all(any(p - 1e-9 <= v < p + 10**-d - 1e-9 for v in values) for p, d in given)
        possible += [n] if rounded or cut else []
    return possible


def numbers(*texts):
    return [Number(float(text), len(text.partition(".")[2])) for text in texts]


@pytest.mark.parametrize("texts", [["66.7"], ["66.6"], ["12.5", "37.5"], ["92.83"], ["92.83", "86.21"], ["0", "100"]])
@pytest.mark.parametrize("runs", [1, 3])
def test_sizes_are_those_found_by_trying(texts, runs):
    assert list(sizes(numbers(*texts), (1, 150), runs)) == tried(texts, range(1, 151), runs)


def test_hand_worked_sizes():
    assert len(sizes(numbers("66.67"), (3, 3))) == 1
    assert len(sizes(numbers("66.66"), (3, 3))) == 1  # truncated
    assert len(sizes(numbers("66.68"), (3, 3))) == 0
    assert len(sizes(numbers("66.67", "33.34"), (3, 3))) == 0  # one rounded, one of neither kind
    assert len(sizes(numbers("66.67", "66.66"), (3, 3))) == 0  # one rounded, the other truncated: not both ways at once
    assert len(sizes(numbers("50.5"), (100, 100))) == 0
    assert len(sizes(numbers("50.5"), (100, 100), runs=2)) == 1
    assert list(sizes(numbers("75.2941176470588"), (80, 90))) == [85]
