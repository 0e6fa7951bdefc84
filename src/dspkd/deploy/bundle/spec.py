"""What a bundle says of itself in `spec.json`, read strictly: classes, preprocessing, models, thresholds."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from dspkd.errors import BundleError

V = TypeVar("V")

LARGEST_SIDE, MOST_CLASSES = 2048, 10_000
"""What a bundle may ask for at most: the side of an image in pixels, and classes."""


@dataclass(frozen=True)
class BundleClass:
    """A class: the name by which the network was trained, its plain name, and what it means to a reader."""

    id: str
    name: str
    meaning: str


@dataclass(frozen=True)
class Preprocessing:
    """How an image becomes an image; every other step is fixed by the format.

    Attributes
    ----------
    short_side
        To which the image is resized.
    size
        Side of the square that is cut from its middle.
    artefacts
        Names of `dspkd.data.artefacts.REMOVERS`, taken out between the two.
    """

    short_side: int
    size: int
    artefacts: tuple[str, ...]


@dataclass(frozen=True)
class BundledNetwork:
    """A network in the bundle: its file, and that file's bytes."""

    file: str
    bytes: int


@dataclass(frozen=True)
class BundleSpec:
    """What a reader must know to use a bundle's networks.

    Attributes
    ----------
    temperature
        By which logits are divided before the softmax.
    refer_below
        Confidence below which the answer is "not sure, refer".
    models
        ``{precision: model}``, e.g. fp32 and int8.
    default
        The precision to be used where nothing else is asked for.
    not_a_diagnosis
        What to tell people beside every answer.
    """

    name: str
    classes: tuple[BundleClass, ...]
    preprocessing: Preprocessing
    temperature: float
    refer_below: float
    models: Mapping[str, BundledNetwork]
    default: str
    not_a_diagnosis: str


def parse(text: bytes) -> BundleSpec:
    """Return what a `spec.json` says.

    Raises
    ------
    BundleError
        It is not such a file; the message names the place.
    """
    said = read_json(text, "spec.json")
    classes = tuple(
        BundleClass(*(at(entry, key, str, f"spec.json: classes.{n}") for key in ("id", "name", "meaning")))
        for n, entry in enumerate(at(said, "classes", list, "spec.json"))
    )
    if not 2 <= len(classes) <= MOST_CLASSES or len({c.id for c in classes}) != len(classes):
        raise BundleError(
            f"spec.json: classes: {len(classes)} classes; at least 2, all with ids of their own, are needed"
        )
    models = {
        precision: BundledNetwork(
            at(entry, "file", str, f"spec.json: models.{precision}"),
            at(entry, "bytes", int, f"spec.json: models.{precision}"),
        )
        for precision, entry in at(said, "models", dict, "spec.json").items()
    }
    default = at(said, "default", str, "spec.json")
    if default not in models:
        raise BundleError(f"spec.json: default is {default!r}; models are {', '.join(models) or 'missing'}")
    temperature = number(said, "temperature", "spec.json")
    if not temperature > 0:
        raise BundleError(f"spec.json: temperature is {temperature}; it must be positive")
    return BundleSpec(
        name=at(said, "name", str, "spec.json"),
        classes=classes,
        preprocessing=_preprocessing(at(said, "preprocessing", dict, "spec.json")),
        temperature=temperature,
        refer_below=number(at(said, "thresholds", dict, "spec.json"), "refer_below", "spec.json: thresholds"),
        models=models,
        default=default,
        not_a_diagnosis=at(said, "not_a_diagnosis", str, "spec.json"),
    )


def _preprocessing(said: dict[str, Any]) -> Preprocessing:
    place = "spec.json: preprocessing"
    resize, crop = at(said, "resize", dict, place), at(said, "crop", dict, place)
    short_side = at(resize, "short_side", int, f"{place}.resize")
    size = at(crop, "size", int, f"{place}.crop")
    if not 1 <= size <= short_side <= LARGEST_SIDE:
        raise BundleError(
            f"{place}: short_side {short_side}, size {size}; want 1 <= size <= short_side <= {LARGEST_SIDE}"
        )
    for key, known in STEPS.items():
        if said.get(key) != known and key not in {"resize", "crop"}:
            raise BundleError(
                f"{place}.{key}: {said.get(key)!r} is not known, only {known!r}; a newer dspkd may read it"
            )
    for name, part, known in (("resize", resize, STEPS["resize"]), ("crop", crop, STEPS["crop"])):
        for key, wanted in known.items():
            if part.get(key) != wanted:
                raise BundleError(f"{place}.{name}.{key}: {part.get(key)!r} is not known, only {wanted!r}")
    artefacts = at(said, "artefacts", list, place)
    if not all(isinstance(name, str) for name in artefacts):
        raise BundleError(f"{place}.artefacts: {artefacts!r}; want names")
    return Preprocessing(short_side, size, tuple(artefacts))


STEPS: dict[str, Any] = {
    "decode": "full size, first frame, upright by EXIF, no colour management, 16-bit grey / 257, alpha over black, RGB",
    "resize": {
        "long_side": "floor((2 * long * short_side + short) / (2 * short))",
        "filter": "triangle, antialiased; Pillow's 8-bit BILINEAR: across, rounded to 8 bits, then down",
    },
    "crop": {"top": "floor((height - size) / 2)", "left": "floor((width - size) / 2)"},
    "scale": "divide by 255 in float32",
    "layout": "NCHW, RGB, float32, in [0, 1]; the network normalises for itself",
}
"""The steps of preprocessing as version 1 of the format fixes them, written into every spec.json for its readers."""


def describe(preprocessing: Preprocessing) -> dict[str, Any]:
    """Return what `spec.json` says of preprocessing."""
    return {
        **STEPS,
        "resize": {"short_side": preprocessing.short_side, **STEPS["resize"]},
        "crop": {"size": preprocessing.size, **STEPS["crop"]},
        "artefacts": list(preprocessing.artefacts),
    }


def read_json(text: bytes, place: str) -> dict[str, Any]:
    """Return the object that a JSON file of a bundle holds.

    Raises
    ------
    BundleError
        It is not JSON in UTF-8, holds no object, or a key twice.
    """
    try:
        said = json.loads(text.decode("utf-8"), object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{place}: not JSON: {error}") from None
    if not isinstance(said, dict):
        raise BundleError(f"{place}: holds {type(said).__name__}; want an object")
    return said


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key is there twice")
    return found


def at(said: Any, key: str, kind: type[V], place: str) -> V:
    """Return the value of a key of a JSON object, which must be of this type.

    Raises
    ------
    BundleError
        It is not, or there is no such key; `place` begins the message.
    """
    if not isinstance(said, dict) or key not in said:
        raise BundleError(f"{place}: {key} is missing")
    value = said[key]
    if not isinstance(value, kind) or isinstance(value, bool):
        raise BundleError(f"{place}.{key}: {value!r}; want {kind.__name__}")
    return value


def number(said: Any, key: str, place: str) -> float:
    """Return the finite number under a key, as `at` returns other values."""
    value = said.get(key) if isinstance(said, dict) else None
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
        raise BundleError(f"{place}.{key}: {value!r}; want a number")
    return float(value)
