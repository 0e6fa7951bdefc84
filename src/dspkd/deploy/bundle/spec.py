"""A bundle's `spec.json`, read strictly: classes, preprocessing, models, thresholds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dspkd.deploy.bundle.json_values import at, line, number, read_json, short
from dspkd.errors import BundleError

MALIGNANCIES = ("malignant", "premalignant", "benign", "unknown")
"""What a class can be; see `dspkd.evaluation.classes`."""

PRECISIONS = ("fp32", "int8")
"""The models that a bundle may have."""

LARGEST_SIDE, MOST_CLASSES, MOST_ARTEFACTS = 2048, 10_000, 16
"""Limits of a bundle: the side of an image in pixels, the number of classes, and that of kinds of artefacts."""

TEMPERATURES = (0.01, 100.0)
"""Limits of the temperature; `dspkd export` fits one between 0.05 and 20."""

THRESHOLDS = (-0.001, 1.001)
"""Limits of thresholds of a probability: 0 to 1 and a rounding. Beyond them every image would be referred, or none."""


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
            line(entry, "file", f"spec.json: models.{precision}"),
            at(entry, "bytes", int, f"spec.json: models.{precision}"),
        )
        for precision, entry in at(spec, "models", dict, "spec.json").items()
    }
    if unknown := sorted(models.keys() - set(PRECISIONS)):
        raise BundleError(f"spec.json: models: {short(unknown[0])}; known: {', '.join(PRECISIONS)}")
    default = line(spec, "default", "spec.json")
    if default not in models:
        raise BundleError(f"spec.json: default is {default!r}; models are {', '.join(models) or 'missing'}")
    thresholds = at(spec, "thresholds", dict, "spec.json")
    refer_from, refer_from_rule = _refer_from(thresholds)
    return BundleSpec(
        name=line(spec, "name", "spec.json"),
        classes=classes,
        preprocessing=_preprocessing(at(spec, "preprocessing", dict, "spec.json")),
        temperature=number(spec, "temperature", "spec.json", TEMPERATURES),
        refer_below=number(thresholds, "refer_below", "spec.json: thresholds", THRESHOLDS),
        refer_from=refer_from,
        refer_from_rule=refer_from_rule,
        models=models,
        default=default,
        not_a_diagnosis=line(spec, "not_a_diagnosis", "spec.json"),
    )


def _class(entry: Any, place: str) -> BundleClass:
    id_, name, meaning = (line(entry, key, place) for key in ("id", "name", "meaning"))
    malignancy = entry.get("malignancy", "unknown")
    if malignancy not in MALIGNANCIES:
        raise BundleError(f"{place}.malignancy: {short(malignancy)}; want one of {', '.join(MALIGNANCIES)}")
    return BundleClass(id_, name, meaning, malignancy)


def _refer_from(thresholds: dict[str, Any]) -> tuple[float | None, str]:
    """Return `refer_from` and its rule; (None, why) for a bundle of an earlier version, which has neither."""
    place = "spec.json: thresholds"
    if "refer_from" not in thresholds:
        return None, BEFORE_REFER_FROM
    rule = line(thresholds, "refer_from_rule", place)
    return (None if thresholds["refer_from"] is None else number(thresholds, "refer_from", place, THRESHOLDS)), rule


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
            raise BundleError(
                f"{place}.{key}: {short(steps.get(key))} is not supported, only {supported!r}; update dspkd"
            )
    for name, step in (("resize", resize), ("crop", crop)):
        for key, supported in STEPS[name].items():
            if step.get(key) != supported:
                raise BundleError(f"{place}.{name}.{key}: {short(step.get(key))} is not supported, only {supported!r}")
    artefacts = at(steps, "artefacts", list, place)
    if not all(isinstance(name, str) for name in artefacts) or len(artefacts) > MOST_ARTEFACTS:
        raise BundleError(f"{place}.artefacts: {short(artefacts)}; want names, at most {MOST_ARTEFACTS}")
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
