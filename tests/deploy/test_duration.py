"""The estimate of an export's duration."""

import pytest

from dspkd.deploy.export.duration import expected, roughly


def test_the_estimate_grows_with_each_part_of_the_work():
    counts = {"trials": 7, "validation": 100, "calibration": 256, "test": 50}
    base = expected(0.1, 0.01, **counts)
    assert expected(0.1, 0.0, **counts) == pytest.approx(0.1 * (256 + 50))
    for key, count in counts.items():
        assert expected(0.1, 0.01, **{**counts, key: 2 * count}) > base
    one = expected(0.0, 0.01, **{**counts, "trials": 1})
    assert expected(0.0, 0.01, **{**counts, "trials": 8}) - one >= 7 * 0.01 * (256 + 100)


@pytest.mark.parametrize(("seconds", "words"), [(0.2, "1 s"), (89, "89 s"), (90, "2 min"), (121, "3 min")])
def test_a_duration_is_rounded_up(seconds, words):
    assert roughly(seconds) == f"about {words}"
