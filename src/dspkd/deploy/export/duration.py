"""How long an export will take, estimated from the first images that it decodes and predicts."""

from __future__ import annotations

import math

_CALIBRATION = 6.0
"""Passes that an image costs in calibration, where all activations are kept and their ranges computed (inferred)."""

_LATENCIES = 3 * 120
"""Passes of the measurement of latency."""


def expected(decode: float, predict: float, *, trials: int, validation: int, calibration: int, test: int) -> float:
    """Return the seconds that remain once the validation images are decoded and predicted in float32.

    Parameters
    ----------
    decode, predict
        Seconds for an image, as they were for those.
    trials
        Settings of int8 that will be tried; each is calibrated, and predicts the validation images.
    validation, calibration, test
        Numbers of images.
    """
    passes = trials * (_CALIBRATION * calibration + validation) + 2 * validation + 3 * test + _LATENCIES
    return decode * (calibration + test) + predict * passes


def roughly(seconds: float) -> str:
    """Return a duration, rounded up: "about 20 s", "about 3 min".

    >>> roughly(20), roughly(150)
    ('about 20 s', 'about 3 min')
    """
    return f"about {math.ceil(seconds)} s" if seconds < 90 else f"about {math.ceil(seconds / 60)} min"
