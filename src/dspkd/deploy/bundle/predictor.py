"""Predict by a bundle: the advice, whether to refer, class probabilities. Needs ONNX Runtime and no torch."""

from __future__ import annotations

import itertools
import os
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dspkd.data import artefacts
from dspkd.deploy.bundle import network, preprocess
from dspkd.deploy.bundle.advice import Advice, rule_of
from dspkd.deploy.bundle.golden_cases import GOLDEN, expected_logits
from dspkd.deploy.bundle.image_inputs import ImageLike, as_image
from dspkd.deploy.bundle.preprocess import Pixels
from dspkd.deploy.bundle.reader import Bundle, open_bundle
from dspkd.deploy.bundle.spec import BundleClass
from dspkd.errors import BundleError, DataError

_AHEAD = 4
"""Images per thread that are in work before the first prediction is yielded."""

_ROUNDING = 1e-4
"""How far pixels may be outside [0, 1]: resizing in floating point overshoots white by its rounding."""


@dataclass(frozen=True)
class Prediction:
    """A bundle's prediction for an image. No diagnosis.

    Attributes
    ----------
    advice
        Whether to refer, and why; printed, it is the sentences to lead with.
    probabilities
        ``{class id: probability}`` in class order, calibrated by the bundle's temperature; they sum to 1.
    top
        Id of the most probable class; of tied ones, the first.
    confidence
        Its probability.
    logits
        ``[K]`` float32, as the network computed them.
    seconds
        ``{"decode": ..., "resize": ..., "network": ...}``, wall clock.
    """

    advice: Advice
    probabilities: Mapping[str, float]
    top: str
    confidence: float
    logits: NDArray[np.float32]
    seconds: Mapping[str, float]

    @property
    def refer(self) -> bool:
        """Whether the advice is to refer to a physician."""
        return self.advice.refer


class Predictor:
    """Reads a bundle once and predicts images. May be used by several threads at once.

    Parameters
    ----------
    bundle
        A file, or a bundle that `open_bundle` returned.
    precision
        Which of its models, e.g. ``fp32`` or ``int8``; by default the bundle's own default.
    threads
        CPU threads of ONNX Runtime for one image.

    Attributes
    ----------
    bundle
        The bundle; `bundle.spec` is its specification.
    classes
        The K classes, in the order of the logits.
    precision
        Which model is used.
    rule
        When it advises to refer.

    Raises
    ------
    BundleError
        It is not a bundle, was changed, has no such precision, or its model does not match its specification.
    DataError
        A package that removes the artefacts it names is not installed.
    """

    def __init__(self, bundle: str | os.PathLike[str] | Bundle, precision: str | None = None, threads: int = 1) -> None:
        self.bundle = bundle if isinstance(bundle, Bundle) else open_bundle(Path(bundle))
        spec = self.bundle.spec
        self.precision = precision or spec.default
        if self.precision not in spec.models:
            raise BundleError(f"{self.bundle.path}: has no {self.precision!r} model; it has {', '.join(spec.models)}")
        artefacts.check(spec.preprocessing.artefacts)
        self.classes: tuple[BundleClass, ...] = spec.classes
        self._threads = threads
        self.rule = rule_of(spec, self.precision)
        model = spec.models[self.precision].file
        try:
            if GOLDEN in self.bundle.files:
                expected_logits(self.bundle, self.precision)
            self._session = network.session(self.bundle.read(model), threads=threads)
            network.check_shapes(self._session, spec.preprocessing.size, len(self.classes))
        except BundleError as error:
            raise BundleError(f"{self.bundle.path}: {model}: {error}") from None

    def __reduce__(self) -> tuple[type[Predictor], tuple[Bundle, str, int]]:
        """Pickle what it was made of: another process reads the file again, and checks that it is the same."""
        return Predictor, (replace(self.bundle, path=self.bundle.path.absolute()), self.precision, self._threads)

    def predict(self, image: ImageLike) -> Prediction:
        """Return the prediction for an image.

        Parameters
        ----------
        image
            The path of a file, a file opened for bytes, its bytes, a Pillow image, ``[H, W, 3]`` uint8 RGB, or a torch
            tensor ``[3, H, W]``, uint8 or in [0, 1].

        Raises
        ------
        DataError
            The image cannot be read, shows nothing, or is one of several in a file, see
            `dspkd.deploy.bundle.preprocess.of_photograph`; or the logits are not finite.
        """
        return self.of_pixels(*preprocess.of_photograph(as_image(image), self.bundle.spec.preprocessing))

    def of_pixels(self, image_3SS: Pixels, seconds: Mapping[str, float]) -> Prediction:
        """Return the prediction for a preprocessed image; `seconds` is what decoding and resizing took.

        Raises
        ------
        DataError
            The logits are not finite.
        """
        started = time.perf_counter()
        logits_K = self.logits(image_3SS[None])[0]
        ended = time.perf_counter()
        p_K = softmax(logits_K[None], self.bundle.spec.temperature)[0]
        top = int(p_K.argmax())
        return Prediction(
            advice=self.rule.advise(p_K),
            probabilities={each.id: float(p) for each, p in zip(self.classes, p_K, strict=True)},
            top=self.classes[top].id,
            confidence=float(p_K[top]),
            logits=logits_K,
            seconds={**seconds, "network": ended - started},
        )

    def predict_many(self, images: Iterable[ImageLike]) -> Iterator[Prediction]:
        """Yield the prediction for each image, in order; raises at an image as `predict` does."""
        return map(self.predict, images)

    def predict_files(
        self, paths: Iterable[Path], *, threads: int = 1
    ) -> Iterator[tuple[Path, Prediction | DataError]]:
        """Yield each file with its prediction, or with the error why it cannot be read, in their order.

        `threads` images are decoded and predicted at once; few are in memory at any time.
        """

        def predict(path: Path) -> Prediction | DataError:
            try:
                return self.predict(path)
            except DataError as error:
                return error

        remaining = iter(paths)
        with ThreadPoolExecutor(threads) as pool:
            queue = deque((path, pool.submit(predict, path)) for path in itertools.islice(remaining, _AHEAD * threads))
            while queue:
                path, prediction = queue.popleft()
                for following in itertools.islice(remaining, 1):
                    queue.append((following, pool.submit(predict, following)))
                yield path, prediction.result()

    def preprocess(self, image: ImageLike) -> Pixels:
        """Return the network's input: ``[3, S, S]`` float32, RGB in [0, 1]; raises as `predict` does."""
        return preprocess.of_photograph(as_image(image), self.bundle.spec.preprocessing)[0]

    def logits(self, images_N3SS: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return ``[N, K]`` logits of images ``[N, 3, S, S]``, float32 in [0, 1]; each is computed alone, as tried.

        Raises
        ------
        BundleError
            The network fails.
        DataError
            The images are of another shape, type or range, or the logits are not finite.
        """
        size = self.bundle.spec.preprocessing.size
        if images_N3SS.dtype != np.float32 or images_N3SS.shape[1:] != (3, size, size) or not len(images_N3SS):
            got = f"{images_N3SS.dtype} {list(images_N3SS.shape)}"
            raise DataError(f"images: {got}; want float32 [N, 3, {size}, {size}], N >= 1")
        low, high = images_N3SS.min(), images_N3SS.max()
        if not (low >= -_ROUNDING and high <= 1 + _ROUNDING):  # nor NaN
            raise DataError(f"images: from {low:.3g} to {high:.3g}; want [0, 1], RGB that is not normalised")
        return network.one_by_one(self._session, images_N3SS, len(self.classes))

    def probabilities(self, images_N3SS: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return ``[N, K]`` calibrated probabilities of images; raises as `logits` does."""
        return softmax(self.logits(images_N3SS), self.bundle.spec.temperature)


def softmax(logits_NK: NDArray[np.float32], temperature: float) -> NDArray[np.float64]:
    """Return the calibrated probabilities of logits, computed in float64."""
    scaled_NK = logits_NK.astype(np.float64) / temperature
    weight_NK: NDArray[np.float64] = np.exp(scaled_NK - scaled_NK.max(axis=1, keepdims=True))
    return np.asarray(weight_NK / weight_NK.sum(axis=1, keepdims=True))
