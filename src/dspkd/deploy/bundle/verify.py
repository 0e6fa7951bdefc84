"""Check that a bundle is intact and that this machine reproduces its expected outputs. Needs no torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dspkd.deploy.bundle import preprocess
from dspkd.deploy.bundle.golden_cases import GOLDEN, MOST_IMAGES, array, expected_logits
from dspkd.deploy.bundle.json_values import at
from dspkd.deploy.bundle.predictor import Predictor
from dspkd.deploy.bundle.reader import Bundle
from dspkd.errors import BundleError, DspkdError


@dataclass(frozen=True)
class Check:
    """A check, whether it passed, and what was measured or went wrong."""

    name: str
    detail: str
    passed: bool


def verify(bundle: Bundle) -> Iterator[Check]:
    """Check an opened bundle step by step.

    Files against the manifest; preprocessing of the golden images, bit for bit; logits of each model for them, within
    the bundle's tolerance; their probabilities. A check whose data are broken fails, and the next one is run.
    """
    yield _run("files", partial(_files, bundle))
    try:
        golden = bundle.read_json(GOLDEN)
        images_N3SS = array(bundle, at(golden, "pictures", dict, GOLDEN))
        names = at(golden, "images", list, GOLDEN)
        answers = at(golden, "answers", dict, GOLDEN)
        missing = sorted(bundle.spec.models.keys() ^ answers.keys())
        if missing:
            raise BundleError(f"{GOLDEN}: answers and models do not match: {', '.join(missing)}")
    except DspkdError as error:
        yield Check("golden cases", str(error), passed=False)
        return
    for precision in bundle.spec.models:
        try:
            predictor = Predictor(bundle, precision)
        except DspkdError as error:
            yield Check(precision, str(error), passed=False)
            continue
        if precision == next(iter(bundle.spec.models)):
            yield _run("preprocessing", partial(_preprocessing, predictor, names, images_N3SS))
        yield _run(precision, partial(_outputs, predictor, answers[precision], images_N3SS))


def _run(name: str, step: Callable[[], tuple[str, bool]]) -> Check:
    try:
        detail, passed = step()
    except DspkdError as error:
        return Check(name, str(error), passed=False)
    return Check(name, detail, passed)


def _files(bundle: Bundle) -> tuple[str, bool]:
    bundle.check()
    total = sum(entry.bytes for entry in bundle.files.values())
    return f"{len(bundle.files)} files, {total:,} bytes, as in the manifest", True


def _preprocessing(predictor: Predictor, names: list[Any], images_N3SS: NDArray[np.float32]) -> tuple[str, bool]:
    if not 1 <= len(names) == len(images_N3SS) <= MOST_IMAGES:
        raise BundleError(
            f"{GOLDEN}: {len(names)} images, {len(images_N3SS)} preprocessed; want as many, 1 to {MOST_IMAGES}"
        )
    for name, expected_3SS in zip(names, images_N3SS, strict=True):
        rgb = preprocess.decode(predictor.bundle.read(str(name)))
        image_3SS = preprocess.apply(rgb, predictor.bundle.spec.preprocessing)
        if not np.array_equal(image_3SS, expected_3SS):
            difference = np.abs(image_3SS - expected_3SS)
            return (
                f"{name}: {(difference > 0).sum()} values differ, by up to {difference.max() * 255:.3g} of 255",
                False,
            )
    return f"{len(names)} golden images preprocessed as expected, bit for bit", True


def _outputs(predictor: Predictor, golden: Any, images_N3SS: NDArray[np.float32]) -> tuple[str, bool]:
    place = f"{GOLDEN}: answers.{predictor.precision}"
    golden_NK, tolerance = expected_logits(predictor.bundle, predictor.precision)
    try:
        expected_NK = np.array(at(golden, "probabilities", list, place), dtype=np.float64)
    except (ValueError, TypeError, OverflowError):
        raise BundleError(f"{place}.probabilities: want a list of numbers for each image") from None
    logits_NK = predictor.logits(images_N3SS)
    if golden_NK.shape != logits_NK.shape or expected_NK.shape != logits_NK.shape:
        raise BundleError(f"{place}: {list(golden_NK.shape)} logits; want {list(logits_NK.shape)}")
    logit = float(np.abs(logits_NK - golden_NK).max())
    probability = float(np.abs(predictor.probabilities(images_N3SS) - expected_NK).max())
    detail = f"logits within {logit:.2g} of the golden ones (allowed {tolerance:.2g}), probabilities {probability:.2g}"
    # A logit that is off by t moves a probability by at most t / (2 T); 6 digits are written.
    allowed = tolerance / (2 * predictor.bundle.spec.temperature) + 1e-6
    return detail, logit <= tolerance and probability <= allowed
