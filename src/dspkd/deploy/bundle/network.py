"""A bundle's network in ONNX Runtime: checked before it is loaded, run within a time, its outputs checked."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dspkd.deploy.bundle import onnx_check
from dspkd.errors import BundleError, DataError
from dspkd.runtime.allowance import processor_time

if TYPE_CHECKING:
    from onnxruntime import InferenceSession, RunOptions

INPUT, OUTPUT = "images", "logits"

TRIAL_SECONDS = 6.0
"""Processor time for the first image. The largest network of the library takes one second."""


def session(model: bytes, *, threads: int = 1, fused: bool = True) -> InferenceSession:
    """Return an ONNX Runtime session of a model on the CPU; `fused` allows graph optimisations.

    Raises
    ------
    BundleError
        It is not a model that this ONNX Runtime reads, or has what `dspkd export` does not write.
    """
    import onnxruntime as ort

    try:
        onnx_check.check(model)
    except BundleError as error:
        raise BundleError(f"not a network as dspkd export writes it: {error}") from None
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    if not fused:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's own exceptions have no common base
        raise BundleError(f"not a model that ONNX Runtime {ort.__version__} reads: {_first_line(error)}") from None


def check_shapes(runtime: InferenceSession, size: int, classes: int) -> None:
    """Check that a model declares the input and the output of a specification, and computes them for an image.

    Raises
    ------
    BundleError
        It does not, or takes longer than `TRIAL_SECONDS`.
    """
    import onnxruntime as ort

    actual = [(node.name, node.type, node.shape) for node in (*runtime.get_inputs(), *runtime.get_outputs())]
    expected = [(INPUT, (3, size, size)), (OUTPUT, (classes,))]
    fits = len(actual) == len(expected) and all(
        name == expected_name and kind == "tensor(float)" and not isinstance(shape[0], int) and tuple(shape[1:]) == rest
        for (name, kind, shape), (expected_name, rest) in zip(actual, expected, strict=True)
    )
    if not fits:
        raise BundleError(
            f"inputs and outputs are {actual}; want float {INPUT} [N, 3, {size}, {size}] and {OUTPUT} [N, {classes}]"
        )
    options = ort.RunOptions()
    black = np.zeros((1, 3, size, size), np.float32)
    try:
        with processor_time(TRIAL_SECONDS, partial(setattr, options, "terminate", True)):  # at its next operator
            logits(runtime, black, classes, options)
    except DataError as error:
        raise BundleError(f"of a black image: {error}") from None


def logits(
    runtime: InferenceSession, images_N3SS: NDArray[np.float32], classes: int, options: RunOptions | None = None
) -> NDArray[np.float32]:
    """Return ``[N, K]`` logits of images.

    Raises
    ------
    BundleError
        The network fails, was stopped by its `options`, or computes something else than ``[N, K]`` float32.
    DataError
        The logits are not finite.
    """
    try:
        (result,) = runtime.run([OUTPUT], {INPUT: images_N3SS}, options)
    except Exception as error:  # ONNX Runtime's own exceptions have no common base
        if options is not None and options.terminate:
            raise BundleError(f"the network takes more than {TRIAL_SECONDS:g} s of a processor for an image") from None
        raise BundleError(f"the network does not run: {_first_line(error)}") from None
    return _checked(result, (len(images_N3SS), classes))


def one_by_one(runtime: InferenceSession, images_N3SS: NDArray[np.float32], classes: int) -> NDArray[np.float32]:
    """Return logits, each image computed alone: in a batch there may be other bits; raises as `logits` does."""
    return np.concatenate([logits(runtime, image_3SS[None], classes) for image_3SS in images_N3SS])


def _checked(result: Any, shape: tuple[int, int]) -> NDArray[np.float32]:
    if not isinstance(result, np.ndarray) or result.shape != shape or result.dtype != np.float32:
        raise BundleError(f"the network computed {getattr(result, 'shape', type(result).__name__)}; want {shape}")
    if not np.isfinite(result).all():
        raise DataError("the network's logits are not finite; the images are not in [0, 1], or it is broken")
    return result


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:300]
