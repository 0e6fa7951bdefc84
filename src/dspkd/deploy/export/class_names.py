"""Plain names and explanations of the classes, for people who do not know the abbreviations."""

from __future__ import annotations

from collections.abc import Sequence

from dspkd.deploy.bundle.spec import BundleClass

_KERATOSIS = ("Actinic keratosis", "a rough patch that years of sun leave; it can become a cancer")
_NAEVUS = ("Melanocytic naevus", "a mole: a benign growth of pigment cells")
_SEBORRHOEIC = ("Seborrhoeic keratosis", "a benign, wart-like growth of age")

MEANINGS: dict[str, tuple[str, str]] = {
    # ISIC 2019 and HAM10000
    "MEL": ("Melanoma", "a cancer of the pigment cells, the most dangerous of these diseases"),
    "NV": _NAEVUS,
    "BCC": ("Basal cell carcinoma", "the most common skin cancer: grows slowly, hardly ever spreads"),
    "AK": _KERATOSIS,
    "AKIEC": ("Actinic keratosis or Bowen's disease", "a rough patch that can become a cancer, or its earliest stage"),
    "BKL": ("Benign keratosis", "a benign growth of the upper skin: seborrhoeic keratosis, age spot, or the like"),
    "DF": ("Dermatofibroma", "a firm, benign lump of connective tissue"),
    "VASC": ("Vascular lesion", "a benign growth or bleeding of small blood vessels, such as an angioma"),
    "SCC": ("Squamous cell carcinoma", "a skin cancer that can spread"),
    # PAD-UFES-20
    "ACK": _KERATOSIS,
    "NEV": _NAEVUS,
    "SEK": _SEBORRHOEIC,
    # Six common skin diseases
    "ACNE": ("Acne", "inflamed hair follicles: pimples"),
    "ME": ("Melasma", "brown patches, mostly on the face"),
    "ROS": ("Rosacea", "lasting redness of the face with visible vessels"),
    "DLE": ("Discoid lupus erythematosus", "an autoimmune disease that leaves scarring patches"),
    "ON": ("Naevus of Ota", "a blue-grey birthmark about the eye"),
    "SD": ("Seborrhoeic dermatitis", "red, scaling skin where it is oily"),
}
"""``{class name in capitals: (plain name, meaning)}``."""


def classes(ids: Sequence[str]) -> tuple[BundleClass, ...]:
    """Return the classes of these ids, each with name and explanation; for an unknown class both are the id."""
    return tuple(BundleClass(name, *MEANINGS.get(name.upper(), (name, name))) for name in ids)
