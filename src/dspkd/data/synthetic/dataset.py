"""Synthetic data sets: dermoscopy-like images and tables, in the layouts of real data sets.

For demonstrations and tests. No image shows a patient, and no number measured on them holds for patients.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from dspkd.data.image_formats import open_image
from dspkd.data.synthetic.photo import SMALLEST_SIDE, Scene, paint, scene
from dspkd.data.synthetic.plan import CLASSES, PlannedImage, plan
from dspkd.errors import DataError, suggest
from dspkd.runtime import csv_text
from dspkd.runtime.seeds import seed_for

__all__ = ["CLASSES", "LAYOUTS", "SyntheticSummary", "paint", "synthesize"]

LAYOUTS = ("isic2019", "folder")
"""`isic2019`: the folder and two tables of the ISIC 2019 challenge. `folder`: class folders, and `metadata.csv`."""

_MEAN_AGE = {
    **{"MEL": 60, "NV": 45, "BCC": 68, "AK": 69, "BKL": 64, "DF": 50, "VASC": 50, "SCC": 72},
    **{"ACNE": 20, "ME": 40, "ROS": 48, "DLE": 42, "ON": 25, "SD": 45},
}
_BODY = ("anterior torso", "head/neck", "lower extremity", "posterior torso", "upper extremity", "palms/soles")
_BODY_SHARES = (0.30, 0.21, 0.22, 0.12, 0.13, 0.02)
_NO_AGE, _NO_SEX, _NO_BODY = 0.017, 0.015, 0.10
"""Shares of empty cells, as in ISIC 2019."""
_QUALITY, _LOWER_QUALITY = 92, 70


@dataclass(frozen=True)
class SyntheticSummary:
    """Summary of a synthetic data set.

    Attributes
    ----------
    folder
        Its folder.
    counts
        ``{class: images}``, planted duplicates included.
    lesions
        Number of lesions.
    without_id
        Number of images without a lesion id in the tables.
    planted
        Number of planted duplicates.
    """

    folder: Path
    counts: dict[str, int]
    lesions: int
    without_id: int
    planted: int


def synthesize(
    folder: Path,
    *,
    images: int = 600,
    classes: str = "isic2019",
    layout: str = "isic2019",
    size: int = 96,
    seed: int = 0,
    temper: float = 1.0,
    duplicates: float = 0.0,
    missing_ids: float = 0.08,
) -> SyntheticSummary:
    """Write a synthetic data set into `folder`: JPEGs, tables, ground truth, and a note that it is synthetic.

    Besides the layout's own files there are `synthetic_truth.tsv` (every image's lesion, source, skin tone and
    artefacts), `planted_duplicates.tsv` and `SYNTHETIC.md`; they are not ``*.csv``, which the readers look for.
    A data set is a function of the arguments.

    Parameters
    ----------
    folder
        Created if it does not exist; must be empty.
    images
        Photographs, before duplicates are added; at least one per class. A rare class gets at least twelve images, or
        half its even share if that is less, and six lesions, whatever its share.
    classes
        A key of `CLASSES`: the eight classes of ISIC 2019 or six common skin diseases.
    layout
        One of `LAYOUTS`; `isic2019` has columns for its own eight classes only.
    size
        Side of the images in pixels.
    seed
        Another seed gives other lesions.
    temper
        Exponent of the class weights: 1 keeps the imbalance, 0 balances the classes.
    duplicates
        Planted duplicates, as a share of `images`, in addition to them: exact, re-encoded and flipped in turn, under
        another lesion id or none in turn.
    missing_ids
        Share of the photographs whose lesion and patient ids are withheld (ISIC 2019: 0.08).

    Returns
    -------
    SyntheticSummary
        Counts of what was written.

    Raises
    ------
    DataError
        The folder is not empty, or an argument is out of its range or not a known name.
    """
    _check(folder, images=images, classes=classes, layout=layout, size=size)
    for name, share in (("temper", temper), ("duplicates", duplicates), ("missing_ids", missing_ids)):
        if not 0 <= share <= 1:
            raise DataError(f"{name} of a synthetic data set: {share}; it must lie between 0 and 1")
    planned = plan(
        images=images, classes=classes, seed=seed, temper=temper, duplicates=duplicates, missing_ids=missing_ids
    )
    files = {p.image: _file(p, layout) for p in planned}
    for sub in {Path(file).parent for file in files.values()}:
        (folder / sub).mkdir(parents=True, exist_ok=True)
    for item in sorted(planned, key=lambda p: bool(p.copy_of)):
        _write_image(folder, item, files, size, seed)
    if layout == "isic2019":
        _write_isic(folder, planned, list(CLASSES[classes]), seed)
    else:
        _write_folder(folder, planned, files, seed)
    _write_truth(folder, planned, files, seed)
    counts = Counter(p.label for p in planned)
    summary = SyntheticSummary(
        folder,
        {label: counts[label] for label in CLASSES[classes]},
        lesions=len({p.true_lesion_id for p in planned}),
        without_id=sum(not p.lesion_id for p in planned),
        planted=sum(bool(p.copy_of) for p in planned),
    )
    arguments = f"images={images} classes={classes} layout={layout} size={size} seed={seed} temper={temper}"
    _write_note(summary, f"{arguments} duplicates={duplicates} missing_ids={missing_ids}")
    return summary


def _check(folder: Path, *, images: int, classes: str, layout: str, size: int) -> None:
    for what, name, known in (("classes", classes, tuple(CLASSES)), ("layout", layout, LAYOUTS)):
        if name not in known:
            raise DataError(f"{what} of a synthetic data set: {name!r} is not known; {suggest(name, known)}")
    if layout == "isic2019" and classes != "isic2019":
        raise DataError(f"layout 'isic2019' has no columns for the classes of {classes!r}; use layout 'folder'")
    if images < len(CLASSES[classes]):
        raise DataError(f"images of a synthetic data set: {images}; at least {len(CLASSES[classes])}, one per class")
    if size < SMALLEST_SIDE:
        raise DataError(f"size of a synthetic image: {size} pixels; at least {SMALLEST_SIDE} are needed")
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise DataError(f"{folder}: not an empty folder; name a new one, nothing is overwritten")


def _file(item: PlannedImage, layout: str) -> str:
    return f"{'ISIC_2019_Training_Input' if layout == 'isic2019' else item.label}/{item.image}.jpg"


def _write_image(folder: Path, item: PlannedImage, files: dict[str, str], size: int, seed: int) -> None:
    """Paint a photograph, or make a planted duplicate from the file of its original."""
    target = folder / files[item.image]
    if not item.copy_of:
        pixels = paint(item.label, lesion=item.lesion, photo=item.photo, size=size, seed=seed)
        Image.fromarray(pixels).save(target, quality=_QUALITY)
        return
    original = folder / files[item.copy_of]
    if item.kind == "exact":
        shutil.copyfile(original, target)
        return
    with open_image(original) as image:
        copy = ImageOps.mirror(image) if item.kind == "flipped" else image
        copy.save(target, quality=_LOWER_QUALITY)


def _write_isic(folder: Path, planned: list[PlannedImage], labels: list[str], seed: int) -> None:
    one_hot = ([p.image, *(f"{float(p.label == label)}" for label in labels), "0.0"] for p in planned)
    _write(folder / "ISIC_2019_Training_GroundTruth.csv", ["image", *labels, "UNK"], one_hot)
    columns = ["image", "age_approx", "anatom_site_general", "lesion_id", "sex"]
    rows = ([p.image, *_about(p, seed)[:2], p.lesion_id, _about(p, seed)[2]] for p in planned)
    _write(folder / "ISIC_2019_Training_Metadata.csv", columns, rows)


def _write_folder(folder: Path, planned: list[PlannedImage], files: dict[str, str], seed: int) -> None:
    columns = ["file", "label", "patient_id", "lesion_id", "source", "age_approx", "anatom_site_general", "sex"]
    rows = (
        [files[p.image], p.label, p.patient_id, p.lesion_id, _scene(p, seed).site.name, *_about(p, seed)]
        for p in planned
    )
    _write(folder / "metadata.csv", columns, rows)


def _write_truth(folder: Path, planned: list[PlannedImage], files: dict[str, str], seed: int) -> None:
    columns = ["image", "file", "label", "lesion_id", "photo", "source", "skin_tone", "hair", "ruler", "dark_corners"]
    rows = []
    for p in planned:
        setting = _scene(p, seed)
        artefacts = [int(setting.hair), int(setting.ruler), int(setting.dark_corners)]
        about_lesion = [p.true_lesion_id, p.photo, setting.site.name, setting.skin_tone]
        rows.append([p.image, files[p.image], p.label, *about_lesion, *artefacts])
    _write(folder / "synthetic_truth.tsv", columns, rows)
    copies = ([p.image, p.copy_of, p.kind, p.lesion_id, p.true_lesion_id] for p in planned if p.copy_of)
    columns = ["image", "copy_of", "kind", "lesion_id", "true_lesion_id"]
    _write(folder / "planted_duplicates.tsv", columns, copies)


def _scene(item: PlannedImage, seed: int) -> Scene:
    return scene(item.label, lesion=item.lesion, photo=item.photo, seed=seed)


def _about(item: PlannedImage, seed: int) -> tuple[str, str, str]:
    """Return age, body site and sex as the tables hold them; the same for all images of a lesion."""
    rng = np.random.default_rng(seed_for(seed, "about", item.label, item.lesion))
    age = int(np.clip(5 * round(rng.normal(_MEAN_AGE[item.label], 14) / 5), 5, 85))
    body = str(rng.choice(_BODY, p=_BODY_SHARES)) if item.label in CLASSES["isic2019"] else "head/neck"
    sex = "male" if rng.random() < 0.53 else "female"
    no_age, no_body, no_sex = rng.random(3) < (_NO_AGE, _NO_BODY, _NO_SEX)
    return "" if no_age else str(age), "" if no_body else body, "" if no_sex else sex


def _write(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a table, tab-separated if the file is a .tsv, else comma-separated."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv_text.Writer(file, delimiter="\t" if path.suffix == ".tsv" else ",")
        writer.writerow(columns)
        writer.writerows(rows)


def _write_note(summary: SyntheticSummary, arguments: str) -> None:
    counts = "\n".join(f"| {label} | {count} |" for label, count in summary.counts.items())
    text = f"""# These images are synthetic

A program drew them (`dspkd data synthesize`). They look like dermoscopy; they show no patient, and no number
measured on them holds for patients. Never mix them with real data.

Made with: `{arguments}`

{sum(summary.counts.values())} images of {summary.lesions} lesions.
{summary.without_id} have no lesion id in the tables.
{summary.planted} are planted duplicates, listed in `planted_duplicates.tsv`.
The ground truth of each image, including ids that the tables withhold, is in `synthetic_truth.tsv`.

| class | images |
|---|---|
{counts}
"""
    (summary.folder / "SYNTHETIC.md").write_text(text, encoding="utf-8")
