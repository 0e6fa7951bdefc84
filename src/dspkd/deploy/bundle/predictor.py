"""Ask a bundle about images: class probabilities, confidence, whether to refer. Needs ONNX Runtime and no torch."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dspkd.data import artefacts
from dspkd.deploy.bundle import preprocess
from dspkd.deploy.bundle.preprocess import AnyImage, Pixels
from dspkd.deploy.bundle.reader import Bundle, open_bundle
from dspkd.deploy.bundle.spec import BundleClass
from dspkd.errors import BundleError, DataError

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

INPUT, OUTPUT = "images", "logits"

_OUTSIDE = b"\x0a\x08location\x12"
"""How an ONNX file names another one that holds its weights."""


@dataclass(frozen=True)
class Prediction:
    """What a bundle says of an image. No diagnosis.

    Attributes
    ----------
    probabilities
        ``{class id: probability}`` in class order, calibrated by the bundle's temperature; they sum to 1.
    top
        Id of the most probable class; of tied ones, the first.
    confidence
        Its probability.
    refer
        Whether the confidence is below the bundle's threshold: not sure, refer to a person.
    logits
        ``[K]`` float32, as the network gave them.
    seconds
        ``{"decode": ..., "resize": ..., "network": ...}``, wall clock.
    """

    probabilities: Mapping[str, float]
    top: str
    confidence: float
    refer: bool
    logits: NDArray[np.float32]
    seconds: Mapping[str, float]


class Predictor:
    """Reads a bundle once and answers about images. May be used by several threads at once.

    Parameters
    ----------
    bundle
        A file, or what `open_bundle` returned.
    precision
        Which of its models, e.g. ``fp32`` or ``int8``; by default the one that the bundle names.
    threads
        CPU threads of ONNX Runtime for one image.

    Attributes
    ----------
    bundle
        The bundle; `bundle.spec` is its specification.
    classes
        The K classes, in the order of the logits.
    precision
        Which model answers.

    Raises
    ------
    BundleError
        It is no bundle, was changed, has no such precision, or its model is not what its specification says.
    DataError
        A package that takes out the artefacts it names is not installed.
    """

    def __init__(self, bundle: str | os.PathLike[str] | Bundle, precision: str | None = None, threads: int = 1) -> None:
        self.bundle = bundle if isinstance(bundle, Bundle) else open_bundle(Path(bundle))
        spec = self.bundle.spec
        self.precision = precision or spec.default
        if self.precision not in spec.models:
            raise BundleError(f"{self.bundle.path}: has no {self.precision!r} model; it has {', '.join(spec.models)}")
        artefacts.check(spec.preprocessing.artefacts)
        self.classes: tuple[BundleClass, ...] = spec.classes
        model = spec.models[self.precision].file
        try:
            self._session = session(self.bundle.read(model), threads=threads)
        except BundleError as error:
            raise BundleError(f"{self.bundle.path}: {model}: {error}") from None
        self._check_shapes(model)

    def predict(self, image: AnyImage) -> Prediction:
        """Return what the bundle says of an image: a file, its bytes, a Pillow image, or ``[H, W, 3]`` uint8 RGB.

        Raises
        ------
        DataError
            The image cannot be read, see `dspkd.deploy.bundle.preprocess.decode`; or the logits are not finite.
        """
        started = time.perf_counter()
        rgb = preprocess.decode(image)
        decoded = time.perf_counter()
        image_3HW = preprocess.apply(rgb, self.bundle.spec.preprocessing)
        resized = time.perf_counter()
        logits_K = self.logits(image_3HW[None])[0]
        ended = time.perf_counter()
        p_K = softmax(logits_K[None], self.bundle.spec.temperature)[0]
        top = int(p_K.argmax())
        return Prediction(
            probabilities={known.id: float(p) for known, p in zip(self.classes, p_K, strict=True)},
            top=self.classes[top].id,
            confidence=float(p_K[top]),
            refer=bool(p_K[top] < self.bundle.spec.refer_below),
            logits=logits_K,
            seconds={"decode": decoded - started, "resize": resized - decoded, "network": ended - resized},
        )

    def predict_many(self, images: Iterable[AnyImage]) -> Iterator[Prediction]:
        """Yield what the bundle says of each image, in order; raises at an image as `predict` does."""
        return map(self.predict, images)

    def preprocess(self, image: AnyImage) -> Pixels:
        """Return the image that the network sees: ``[3, S, S]`` float32, RGB in [0, 1]; raises as `predict` does."""
        return preprocess.apply(preprocess.decode(image), self.bundle.spec.preprocessing)

    def logits(self, images_N3SS: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return ``[N, K]`` logits of images ``[N, 3, S, S]``, float32 in [0, 1].

        Raises
        ------
        DataError
            The images are of another shape or type, or the logits are not finite.
        """
        size = self.bundle.spec.preprocessing.size
        if images_N3SS.dtype != np.float32 or images_N3SS.shape[1:] != (3, size, size) or not len(images_N3SS):
            came = f"{images_N3SS.dtype} {list(images_N3SS.shape)}"
            raise DataError(f"images: {came}; want float32 [N, 3, {size}, {size}], N >= 1")
        (logits_NK,) = self._session.run([OUTPUT], {INPUT: images_N3SS})
        if not np.isfinite(logits_NK).all():
            raise DataError("the network's logits are not finite; the images are not in [0, 1], or it is broken")
        return np.asarray(logits_NK)

    def probabilities(self, images_N3SS: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return ``[N, K]`` calibrated probabilities of images; raises as `logits` does."""
        return softmax(self.logits(images_N3SS), self.bundle.spec.temperature)

    def _check_shapes(self, model: str) -> None:
        """Refuse a model whose input and output are not what the specification makes of them."""
        size, classes = self.bundle.spec.preprocessing.size, len(self.classes)
        told = [
            (node.name, node.type, node.shape) for node in (*self._session.get_inputs(), *self._session.get_outputs())
        ]
        wanted = [(INPUT, (3, size, size)), (OUTPUT, (classes,))]
        fits = len(told) == len(wanted) and all(
            name == want and kind == "tensor(float)" and not isinstance(shape[0], int) and tuple(shape[1:]) == rest
            for (name, kind, shape), (want, rest) in zip(told, wanted, strict=True)
        )
        if not fits:
            raise BundleError(
                f"{self.bundle.path}: {model}: takes and gives {told}; "
                f"want float {INPUT} [N, 3, {size}, {size}] and {OUTPUT} [N, {classes}]"
            )


def softmax(logits_NK: NDArray[np.float32], temperature: float) -> NDArray[np.float64]:
    """Return the calibrated probabilities of logits, computed in float64."""
    scaled_NK = logits_NK.astype(np.float64) / temperature
    weight_NK: NDArray[np.float64] = np.exp(scaled_NK - scaled_NK.max(axis=1, keepdims=True))
    return np.asarray(weight_NK / weight_NK.sum(axis=1, keepdims=True))


def session(model: bytes, *, threads: int = 1, fused: bool = True) -> InferenceSession:
    """Return ONNX Runtime's session of a model, on the CPU; its operators are fused, or computed as they stand.

    Raises
    ------
    BundleError
        It is no model that this ONNX Runtime reads, or keeps weights in other files.
    """
    import onnxruntime as ort

    if _OUTSIDE in model:
        raise BundleError("keeps weights outside of the file")
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    if not fused:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's own exceptions have no common base
        raise BundleError(
            f"not a model that ONNX Runtime {ort.__version__} reads: {str(error).splitlines()[0]}"
        ) from None
