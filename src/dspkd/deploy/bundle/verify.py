"""Does a bundle hold what it says, and does this machine answer as the one that made it? Needs no torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dspkd.deploy.bundle.predictor import Predictor
from dspkd.deploy.bundle.reader import Bundle
from dspkd.deploy.bundle.spec import at, number
from dspkd.errors import BundleError, DspkdError

GOLDEN = "golden/golden.json"
MOST_IMAGES = 64
"""Golden images that are read at most."""


@dataclass(frozen=True)
class Check:
    """One thing that was checked, what came of it, and whether that is right."""

    name: str
    found: str
    right: bool


def verify(bundle: Bundle) -> Iterator[Check]:
    """Check a bundle, whose structure has been checked when it was opened; yield what was found, step by step.

    Files against the manifest; golden images through preprocessing, bit for bit; golden images through each model,
    within the tolerance that the bundle states; their probabilities. A step whose data are broken is found wrong, and
    the next one is tried.
    """
    yield _tried("files", partial(_files, bundle))
    try:
        golden = bundle.read_json(GOLDEN)
        images_N3SS = _array(bundle, at(golden, "pictures", dict, GOLDEN))
        names = at(golden, "images", list, GOLDEN)
        answers = at(golden, "answers", dict, GOLDEN)
        missing = sorted(bundle.spec.models.keys() ^ answers.keys())
        if missing:
            raise BundleError(f"{GOLDEN}: answers and models differ in {', '.join(missing)}")
    except DspkdError as error:
        yield Check("golden cases", str(error), right=False)
        return
    for precision in bundle.spec.models:
        try:
            predictor = Predictor(bundle, precision)
        except DspkdError as error:
            yield Check(precision, str(error), right=False)
            continue
        if precision == next(iter(bundle.spec.models)):
            yield _tried("preprocessing", partial(_preprocessing, predictor, names, images_N3SS))
        yield _tried(precision, partial(_answers, predictor, answers[precision], images_N3SS))


def _tried(name: str, step: Callable[[], tuple[str, bool]]) -> Check:
    try:
        found, right = step()
    except DspkdError as error:
        return Check(name, str(error), right=False)
    return Check(name, found, right)


def _files(bundle: Bundle) -> tuple[str, bool]:
    bundle.check()
    total = sum(entry.bytes for entry in bundle.files.values())
    return f"{len(bundle.files)} files, {total:,} bytes, as the manifest says", True


def _preprocessing(predictor: Predictor, names: list[Any], images_N3SS: NDArray[np.float32]) -> tuple[str, bool]:
    if not 1 <= len(names) == len(images_N3SS) <= MOST_IMAGES:
        raise BundleError(f"{GOLDEN}: {len(names)} images, {len(images_N3SS)} images; want as many, 1 to {MOST_IMAGES}")
    for name, wanted_3SS in zip(names, images_N3SS, strict=True):
        made_3SS = predictor.preprocess(predictor.bundle.read(str(name)))
        if not np.array_equal(made_3SS, wanted_3SS):
            apart = np.abs(made_3SS - wanted_3SS)
            return f"{name}: {(apart > 0).sum()} values differ, by up to {apart.max() * 255:.3g} of 255", False
    return f"{len(names)} golden images become the golden images bit for bit", True


def _answers(predictor: Predictor, said: Any, images_N3SS: NDArray[np.float32]) -> tuple[str, bool]:
    place = f"{GOLDEN}: answers.{predictor.precision}"
    wanted_NK = _array(predictor.bundle, said)
    tolerance = number(said, "tolerance", place)
    try:
        expected_NK = np.array(at(said, "probabilities", list, place), dtype=np.float64)
    except (ValueError, TypeError):
        raise BundleError(f"{place}.probabilities: want a list of numbers for each image") from None
    told_NK = predictor.logits(images_N3SS)
    if wanted_NK.shape != told_NK.shape or expected_NK.shape != told_NK.shape:
        raise BundleError(f"{place}: {list(wanted_NK.shape)} logits; want {list(told_NK.shape)}")
    apart = float(np.abs(told_NK - wanted_NK).max())
    shares = float(np.abs(predictor.probabilities(images_N3SS) - expected_NK).max())
    found = f"logits within {apart:.2g} of the golden ones (allowed {tolerance:.2g}), probabilities within {shares:.2g}"
    # A logit that is off by t moves a probability by at most t / (2 T); 6 digits are written.
    allowed = tolerance / (2 * predictor.bundle.spec.temperature) + 1e-6
    return found, apart <= tolerance and shares <= allowed


def _array(bundle: Bundle, said: Any) -> NDArray[np.float32]:
    """Return the raw float32 array that golden.json names, whose shape must be that of its bytes."""
    name, shape = at(said, "file", str, GOLDEN), at(said, "shape", list, GOLDEN)
    if not all(isinstance(side, int) and not isinstance(side, bool) and side > 0 for side in shape):
        raise BundleError(f"{GOLDEN}: {name}: shape {shape!r}; want positive whole numbers")
    content = bundle.read(name)
    count = 1
    for side in shape:
        count *= side  # in whole numbers of any size, so that no product overflows
    if len(content) != 4 * count:
        raise BundleError(f"{GOLDEN}: {name} has {len(content):,} bytes, which are not {shape} float32")
    return np.frombuffer(content, "<f4").astype(np.float32).reshape(shape)
