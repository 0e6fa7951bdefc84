"""A bundle's `spec.json`, read strictly: classes, preprocessing, models, thresholds."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from dspkd.errors import BundleError

V = TypeVar("V")

MALIGNANCIES = ("malignant", "premalignant", "benign", "unknown")
"""What a class can be; see `dspkd.evaluation.classes`."""

LARGEST_SIDE, MOST_CLASSES = 2048, 10_000
"""Limits of a bundle: the side of an image in pixels, and the number of classes."""


BEFORE_REFER_FROM = (
    "This bundle was made before bundles had a threshold for the sum of the malignant classes; export its run again."
)
"""Why a bundle of version 1 always advises to refer."""


@dataclass(frozen=True)
class BundleClass:
    """A class: its label in training, its plain name, an explanation for readers, and whether it is malignant.

    Attributes
    ----------
    malignancy
        One of `MALIGNANCIES`; of a bundle that does not state it, unknown.
    """

    id: str
    name: str
    meaning: str
    malignancy: str = "unknown"

    @property
    def benign(self) -> bool:
        """Whether it is known to be neither malignant nor premalignant."""
        return self.malignancy == "benign"


@dataclass(frozen=True)
class Preprocessing:
    """The preprocessing steps that a bundle may choose; every other step is fixed by the format.

    Attributes
    ----------
    short_side
        Length in pixels of the shorter side after resizing.
    size
        Side of the centre crop in pixels.
    artefacts
        Names of `dspkd.data.artefacts.REMOVERS`, removed between the two.
    """

    short_side: int
    size: int
    artefacts: tuple[str, ...]


@dataclass(frozen=True)
class BundledNetwork:
    """A network in the bundle: its file, and the file's size in bytes."""

    file: str
    bytes: int


@dataclass(frozen=True)
class BundleSpec:
    """All that is needed to use a bundle's networks.

    Attributes
    ----------
    temperature
        By which logits are divided before the softmax.
    refer_below
        Confidence below which an image is to be referred: "not sure, refer".
    refer_from
        Sum of the probabilities of all classes that are not benign, from which an image is to be referred. None: every
        image is to be referred.
    refer_from_rule
        How that was chosen, or why it is None, in a sentence.
    models
        ``{precision: model}``, e.g. fp32 and int8.
    default
        The precision to use by default.
    not_a_diagnosis
        A sentence to show beside every prediction.
    """

    name: str
    classes: tuple[BundleClass, ...]
    preprocessing: Preprocessing
    temperature: float
    refer_below: float
    refer_from: float | None
    refer_from_rule: str
    models: Mapping[str, BundledNetwork]
    default: str
    not_a_diagnosis: str


def parse(text: bytes) -> BundleSpec:
    """Parse a `spec.json`.

    Raises
    ------
    BundleError
        It is not such a file; the message names the key.
    """
    spec = read_json(text, "spec.json")
    classes = tuple(
        _class(entry, f"spec.json: classes.{n}") for n, entry in enumerate(at(spec, "classes", list, "spec.json"))
    )
    if not 2 <= len(classes) <= MOST_CLASSES or len({c.id for c in classes}) != len(classes):
        raise BundleError(f"spec.json: classes: {len(classes)} classes; want at least 2, all with different ids")
    models = {
        precision: BundledNetwork(
            at(entry, "file", str, f"spec.json: models.{precision}"),
            at(entry, "bytes", int, f"spec.json: models.{precision}"),
        )
        for precision, entry in at(spec, "models", dict, "spec.json").items()
    }
    default = at(spec, "default", str, "spec.json")
    if default not in models:
        raise BundleError(f"spec.json: default is {default!r}; models are {', '.join(models) or 'missing'}")
    temperature = number(spec, "temperature", "spec.json")
    if not temperature > 0:
        raise BundleError(f"spec.json: temperature is {temperature}; it must be positive")
    thresholds = at(spec, "thresholds", dict, "spec.json")
    refer_from, refer_from_rule = _refer_from(thresholds)
    return BundleSpec(
        name=at(spec, "name", str, "spec.json"),
        classes=classes,
        preprocessing=_preprocessing(at(spec, "preprocessing", dict, "spec.json")),
        temperature=temperature,
        refer_below=number(thresholds, "refer_below", "spec.json: thresholds"),
        refer_from=refer_from,
        refer_from_rule=refer_from_rule,
        models=models,
        default=default,
        not_a_diagnosis=at(spec, "not_a_diagnosis", str, "spec.json"),
    )


def _class(entry: Any, place: str) -> BundleClass:
    id_, name, meaning = (at(entry, key, str, place) for key in ("id", "name", "meaning"))
    malignancy = entry.get("malignancy", "unknown")
    if malignancy not in MALIGNANCIES:
        raise BundleError(f"{place}.malignancy: {malignancy!r}; want one of {', '.join(MALIGNANCIES)}")
    return BundleClass(id_, name, meaning, malignancy)


def _refer_from(thresholds: dict[str, Any]) -> tuple[float | None, str]:
    """Return `refer_from` and its rule; (None, why) for a bundle of an earlier version, which has neither."""
    place = "spec.json: thresholds"
    if "refer_from" not in thresholds:
        return None, BEFORE_REFER_FROM
    rule = at(thresholds, "refer_from_rule", str, place)
    return (None if thresholds["refer_from"] is None else number(thresholds, "refer_from", place)), rule


def _preprocessing(steps: dict[str, Any]) -> Preprocessing:
    place = "spec.json: preprocessing"
    resize, crop = at(steps, "resize", dict, place), at(steps, "crop", dict, place)
    short_side = at(resize, "short_side", int, f"{place}.resize")
    size = at(crop, "size", int, f"{place}.crop")
    if not 1 <= size <= short_side <= LARGEST_SIDE:
        raise BundleError(
            f"{place}: short_side {short_side}, size {size}; want 1 <= size <= short_side <= {LARGEST_SIDE}"
        )
    for key, supported in STEPS.items():
        if steps.get(key) != supported and key not in {"resize", "crop"}:
            raise BundleError(f"{place}.{key}: {steps.get(key)!r} is not supported, only {supported!r}; update dspkd")
    for name, step in (("resize", resize), ("crop", crop)):
        for key, supported in STEPS[name].items():
            if step.get(key) != supported:
                raise BundleError(f"{place}.{name}.{key}: {step.get(key)!r} is not supported, only {supported!r}")
    artefacts = at(steps, "artefacts", list, place)
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
"""The steps that version 1 of the format fixes, written into every spec.json for its readers."""


def describe(preprocessing: Preprocessing) -> dict[str, Any]:
    """Return the key `preprocessing` of a `spec.json`."""
    return {
        **STEPS,
        "resize": {"short_side": preprocessing.short_side, **STEPS["resize"]},
        "crop": {"size": preprocessing.size, **STEPS["crop"]},
        "artefacts": list(preprocessing.artefacts),
    }


def read_json(text: bytes, place: str) -> dict[str, Any]:
    """Return the object in a JSON file of a bundle.

    Raises
    ------
    BundleError
        It is not JSON in UTF-8, not an object, or has a key twice.
    """
    try:
        content = json.loads(text.decode("utf-8"), object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{place}: not JSON: {error}") from None
    if not isinstance(content, dict):
        raise BundleError(f"{place}: holds {type(content).__name__}; want an object")
    return content


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    unique = dict(pairs)
    if len(unique) < len(pairs):
        raise ValueError("a key is there twice")
    return unique


def at(content: Any, key: str, kind: type[V], place: str) -> V:
    """Return the value of a key of a JSON object, which must be of this type.

    Raises
    ------
    BundleError
        It is of another type, or there is no such key; `place` begins the message.
    """
    if not isinstance(content, dict) or key not in content:
        raise BundleError(f"{place}: {key} is missing")
    value = content[key]
    if not isinstance(value, kind) or isinstance(value, bool):
        raise BundleError(f"{place}.{key}: {value!r}; want {kind.__name__}")
    return value


def number(content: Any, key: str, place: str) -> float:
    """Return the finite number under a key, as `at` returns other values."""
    value = content.get(key) if isinstance(content, dict) else None
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
        raise BundleError(f"{place}.{key}: {value!r}; want a number")
    return float(value)
