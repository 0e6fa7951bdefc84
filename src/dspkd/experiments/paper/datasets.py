"""The images on which a table is reproduced: the user's data set, or synthetic lesions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from dspkd import data as layouts
from dspkd.data.synthetic.dataset import CLASSES, synthesize
from dspkd.data.table import named
from dspkd.errors import DataError
from dspkd.experiments.paper.claims.read import PAPER, read
from dspkd.reports.wording import of_lesions

IMAGES, FEW_IMAGES, SIDE = 1400, 600, 80
"""Number of synthetic images; the same if the budget is below `SHORT` seconds; side in pixels."""

SHORT = 600.0
ISIC_2019 = 25_331
"""Images in the published training set."""


@dataclass(frozen=True)
class PaperImages:
    """A data set, and its description.

    Attributes
    ----------
    path
        Its folder or file.
    called
        Its description in captions.
    classes
        Its classes.
    images
        Number of images.
    synthetic
        Whether the images are drawings.
    same
        Whether it is the paper's own: ISIC 2019 as published.
    grouped
        Whether it names lesions or patients, by which it is split.
    """

    path: Path
    called: str
    classes: tuple[str, ...]
    images: int
    synthetic: bool
    same: bool
    grouped: bool = True

    @property
    def split(self) -> str:
        """By what it is split, in words."""
        return "by lesion or patient" if self.grouped else "by image, as there are no lesion or patient ids"


def paper_data(table: int) -> str:
    """Return the paper's data set of a table, as `dspkd.experiments.paper.claims` names it."""
    return "PSD" if table in (3, 5) else "ISIC2019"


def paper_classes(table: int) -> tuple[str, ...]:
    """Return the classes of that data set."""
    rows = [row for row in read(PAPER) if row.data == paper_data(table) and row.f1_of]
    return tuple(rows[0].f1_of)


def prepare(table: int, path: Path | None, out: Path, budget: float | None, log: Callable[[str], None]) -> PaperImages:
    """Return the images of a table: those at `path`, or synthetic ones, which are written into `out` if missing.

    Raises
    ------
    DataError
        `path` is no data set of a known layout.
    """
    kind = "common" if paper_data(table) == "PSD" else "isic2019"
    if path is None:
        path = out / f"lesions-{len(CLASSES[kind])}-classes"
        if not any(path.glob("SYNTHETIC*")):
            few = budget is not None and budget < SHORT
            count = FEW_IMAGES if few else IMAGES
            log(f"{path}: drawing {count} synthetic lesions")
            layout = "folder" if kind == "common" else "isic2019"
            synthesize(path, images=count, classes=kind, layout=layout, size=SIDE, temper=0.5)
    if not path.exists():
        raise DataError(f"{path}: no such data set; --data names a folder or CSV file of a known layout")
    path = _relative_to_working_directory(path)
    table_of = layouts.read("auto", path)
    synthetic = any(table_of.root.glob("SYNTHETIC*"))
    count, classes = len(table_of), tuple(table_of.classes)
    same = kind == "isic2019" and not synthetic and count == ISIC_2019 and set(classes) == set(paper_classes(table))
    of = of_lesions(named(table_of.groups))
    called = (
        "ISIC 2019 as published"
        if same
        else f"{count:,} synthetic drawings{of} in {len(classes)} classes, made by dspkd"
        if synthetic
        else f"{path.name}: {count:,} images{of} in {len(classes)} classes"
    )
    return PaperImages(path, called, classes, count, synthetic, same, grouped=bool(of))


def _relative_to_working_directory(path: Path) -> Path:
    """Return `path` relative to the working directory if it lies below, so that equal paths give equal recipes."""
    absolute, here = path.resolve(), Path.cwd()
    return absolute.relative_to(here) if absolute.is_relative_to(here) else absolute
