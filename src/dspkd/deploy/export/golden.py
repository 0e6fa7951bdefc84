"""Golden cases: images and expected outputs in the bundle, with which a reader can check every step."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dspkd.deploy.bundle.golden_cases import GOLDEN, largest_tolerance
from dspkd.deploy.bundle.network import one_by_one, session
from dspkd.deploy.bundle.predictor import softmax
from dspkd.deploy.bundle.writer import as_json
from dspkd.deploy.export import quantise

IMAGES = "golden/pictures.f32"


def paint(short_side: int) -> dict[str, Image.Image]:
    """Return synthetic images of several kinds: landscape, portrait, tall, smaller than the network's input, grey.

    When resizing the tall one in a single call, Pillow may resize the columns first.
    """
    from dspkd.data.synthetic.photo import paint as painted

    side = max(64, round(1.7 * short_side))
    lesions = [painted(label, lesion=7, photo=0, size=side) for label in ("MEL", "NV", "BCC", "BKL")]
    small = max(32, short_side * 3 // 4)
    return {
        "golden/lying.png": Image.fromarray(lesions[0][: side * 3 // 4 + 1]),
        "golden/standing.png": Image.fromarray(lesions[1][:, : side * 5 // 7]),
        "golden/tall.png": Image.fromarray(lesions[1][:, : side * 2 // 5]),
        "golden/small.png": Image.fromarray(lesions[2]).resize((small, small), Image.Resampling.BICUBIC),
        "golden/grey.png": Image.fromarray(lesions[3][3:]).convert("L"),
    }


def files(
    images: Mapping[str, Image.Image],
    images_N3SS: NDArray[np.float32],
    logits: Mapping[str, NDArray[np.float32]],
    probabilities: Mapping[str, NDArray[np.float64]],
    tolerances: Mapping[str, float],
) -> dict[str, bytes]:
    """Return the golden files of a bundle.

    Parameters
    ----------
    images
        ``{file: image}``, N of them.
    images_N3SS
        The images after preprocessing.
    logits, probabilities
        ``{precision: [N, K]}``: the outputs of each model, and the calibrated probabilities.
    tolerances
        ``{precision: largest allowed difference of a logit on another machine}``.
    """
    index: dict[str, Any] = {
        "images": list(images),
        "pictures": {"file": IMAGES, "shape": list(images_N3SS.shape)},
        "answers": {
            precision: {
                "file": f"golden/logits.{precision}.f32",
                "shape": list(logits_NK.shape),
                "tolerance": tolerances[precision],
                "probabilities": probabilities[precision].round(6).tolist(),
            }
            for precision, logits_NK in logits.items()
        },
    }
    return {
        GOLDEN: as_json(index),
        IMAGES: images_N3SS.astype("<f4").tobytes(),
        **{
            f"golden/logits.{precision}.f32": logits_NK.astype("<f4").tobytes()
            for precision, logits_NK in logits.items()
        },
        **{name: _png(image) for name, image in images.items()},
    }


def computed(
    images: Mapping[str, Any], images_N3SS: NDArray[np.float32], models: Mapping[str, bytes], temperature: float
) -> dict[str, bytes]:
    """Return the golden files of these models, which must be `checkable`."""
    logits, tolerances = {}, {}
    for precision, model in models.items():
        logits[precision], tolerances[precision] = _expected(model, images_N3SS)
    probabilities = {precision: softmax(logits_NK, temperature) for precision, logits_NK in logits.items()}
    return files(images, images_N3SS, logits, probabilities, tolerances)


def checkable(model: bytes, images_N3SS: NDArray[np.float32]) -> bool:
    """Return whether the tolerance of a model's logits is so small that readers can check the model by it."""
    logits_NK, tolerance = _expected(model, images_N3SS)
    return tolerance <= largest_tolerance(logits_NK)


def _expected(model: bytes, images_N3SS: NDArray[np.float32]) -> tuple[NDArray[np.float32], float]:
    """Return a model's logits as a reader computes them, and their tolerance.

    It is four times the difference between fused and plain operators on this machine, and at least two quantisation
    steps.
    """
    fused, plain = session(model), session(model, fused=False)
    classes = fused.get_outputs()[0].shape[1]
    logits_NK, plain_NK = (one_by_one(each, images_N3SS, classes) for each in (fused, plain))
    difference = float(np.abs(plain_NK - logits_NK).max())
    return logits_NK, round(max(1e-3, 4 * difference, 2 * quantise.step(model)), 6)


def _png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()
