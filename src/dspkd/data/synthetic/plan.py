"""Plan of a synthetic data set: its lesions, the number of photographs of each, and their ids."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from dspkd.data.synthetic.photo import scene
from dspkd.runtime.seeds import seed_for

CLASSES: Mapping[str, Mapping[str, int]] = {
    "isic2019": {"MEL": 4522, "NV": 12875, "BCC": 3323, "AK": 867, "BKL": 2624, "DF": 239, "VASC": 253, "SCC": 628},
    "common": {"ACNE": 30, "ME": 20, "ROS": 15, "DLE": 8, "ON": 7, "SD": 20},
}
"""``{family: {class: weight}}``: the image counts of ISIC 2019's training set; for `common` inferred."""

FEWEST_IMAGES, FEWEST_LESIONS = 12, 6
"""The fewest of a rare class, if the data set is large enough, so that a split by lesion gives each part some."""

KINDS = ("exact", "re-encoded", "flipped")
"""Kinds of planted duplicates: byte for byte, compressed again, mirrored and compressed again."""

_PHOTOS_PER_LESION = 25331 / 11847
"""ISIC 2019: images over lesions that have an id."""


@dataclass(frozen=True)
class PlannedImage:
    """An image of the data set, before it is painted.

    Attributes
    ----------
    image
        Its id, also the name of its file without suffix.
    label, lesion, photo
        Arguments of `dspkd.data.synthetic.photo.paint`; `lesion` counts within the label.
    true_lesion_id
        Names the lesion, also where the tables withhold it.
    lesion_id, patient_id
        As in the tables; empty where withheld.
    copy_of, kind
        For a planted duplicate the id of its original and one of `KINDS`; else empty.
    """

    image: str
    label: str
    lesion: int
    photo: int
    true_lesion_id: str
    lesion_id: str
    patient_id: str
    copy_of: str = ""
    kind: str = ""


def apportion(images: int, weights: Mapping[str, float], fewest: int) -> dict[str, int]:
    """Distribute `images` by `weights` (largest remainder), at least `fewest` for each class.

    `images` must be at least `fewest` times the number of classes.
    """
    raised: set[str] = set()
    while True:
        left = images - fewest * len(raised)
        total = sum(w for label, w in weights.items() if label not in raised)
        quota = {label: left * w / total for label, w in weights.items() if label not in raised}
        below = {label for label, q in quota.items() if q < fewest - 1e-9}
        if not below:
            break
        raised |= below
    counts = {label: int(quota.get(label, fewest)) for label in weights}
    by_remainder = sorted(quota, key=lambda label: counts[label] - quota[label])
    for label in by_remainder[: images - sum(counts.values())]:
        counts[label] += 1
    return counts


def plan(
    *, images: int, classes: str, seed: int, temper: float = 1.0, duplicates: float = 0.0, missing_ids: float = 0.0
) -> list[PlannedImage]:
    """Return the images of a synthetic data set in the order of their ids; arguments as for `dataset.synthesize`."""
    rng = np.random.default_rng(seed_for(seed, "plan", classes))
    weights = {label: count**temper for label, count in CLASSES[classes].items()}
    fewest = max(1, min(FEWEST_IMAGES, images // (2 * len(weights))))
    photos = {
        (label, lesion): shots
        for label, count in apportion(images, weights, fewest).items()
        for lesion, shots in enumerate(_photos_per_lesion(rng, count))
    }
    numbers = dict(zip(photos, rng.permutation(len(photos)), strict=True))
    patients = _patients(rng, list(photos), seed)
    withheld = _withheld(rng, photos, round(missing_ids * images))
    planned = []
    for (label, lesion), shots in photos.items():
        true_id = f"SYN_{numbers[label, lesion]:07d}"
        hidden = (label, lesion) in withheld
        ids = ("", "") if hidden else (true_id, patients[label, lesion])
        planned += [PlannedImage(f"{label}-{lesion}-{n}", label, lesion, n, true_id, *ids) for n in range(shots)]
    planned += _duplicates(rng, planned, round(duplicates * images), first_id=len(photos))
    return _number(rng, planned)


def _photos_per_lesion(rng: np.random.Generator, images: int) -> list[int]:
    """Return the number of photographs of each lesion of a class: many have one, a few have many."""
    lesions = min(images, max(FEWEST_LESIONS, round(images / _PHOTOS_PER_LESION)))
    extra_N = rng.multinomial(images - lesions, rng.dirichlet(np.full(lesions, 0.5)))
    return [1 + int(extra) for extra in extra_N]


def _patients(rng: np.random.Generator, lesions: list[tuple[str, int]], seed: int) -> dict[tuple[str, int], str]:
    """Return the patient of each lesion: one or two lesions per patient, of the same site and skin."""
    waiting: dict[tuple[str, int], str] = {}
    patients: dict[tuple[str, int], str] = {}
    for at in rng.permutation(len(lesions)):
        label, lesion = lesions[at]
        setting = scene(label, lesion=lesion, photo=0, seed=seed)
        site_and_skin = (setting.site.name, setting.skin_tone)
        if site_and_skin in waiting and rng.random() < 0.5:
            patients[label, lesion] = waiting.pop(site_and_skin)
        else:
            patients[label, lesion] = waiting[site_and_skin] = f"PAT_{len(patients):07d}"
    return patients


def _withheld(rng: np.random.Generator, photos: Mapping[tuple[str, int], int], images: int) -> set[tuple[str, int]]:
    """Return the lesions whose id is withheld, until `images` images lack it.

    Lesions with a single photograph come first: images of one lesion can end in different parts of a split only where
    these do not suffice.
    """
    lesions = list(photos)
    withheld: set[tuple[str, int]] = set()
    for at in sorted(rng.permutation(len(lesions)), key=lambda at: photos[lesions[at]]):
        if images <= 0:
            break
        withheld.add(lesions[at])
        images -= photos[lesions[at]]
    return withheld


def _duplicates(
    rng: np.random.Generator, originals: list[PlannedImage], count: int, first_id: int
) -> list[PlannedImage]:
    """Return `count` copies of different originals, of each kind in turn, every other under no lesion id."""
    copies = []
    for n, at in enumerate(rng.choice(len(originals), count, replace=False)):
        original = originals[at]
        lesion_id, patient_id = ("", "") if n % 2 else (f"SYN_{first_id + n:07d}", f"PAT_{first_id + n:07d}")
        copies.append(
            replace(
                original,
                image=f"copy-{n}",
                lesion_id=lesion_id,
                patient_id=patient_id,
                copy_of=original.image,
                kind=KINDS[n % len(KINDS)],
            )
        )
    return copies


def _number(rng: np.random.Generator, planned: list[PlannedImage]) -> list[PlannedImage]:
    """Shuffle the images and number them, so that an id reveals neither class nor lesion."""
    ordered = [planned[at] for at in rng.permutation(len(planned))]
    ids = {item.image: f"SYN_{number:07d}" for number, item in enumerate(ordered)}
    return [replace(p, image=ids[p.image], copy_of=ids.get(p.copy_of, "")) for p in ordered]
