"""From files on disk to a table of labelled images, a split that leaks nothing, and decoded images.

`read` reads a data set of any known layout; the readers themselves are `isic`, `folder`, `csv_table`, `imagefolder` and
`by_name`.
"""

from pathlib import Path

from dspkd.data import csv_rows
from dspkd.data.readers import class_folders, huggingface, isic2019, named_images
from dspkd.data.table import Table
from dspkd.errors import DataError, suggest

LAYOUTS = ("isic2019", "folder", "csv", "imagefolder", *named_images.LAYOUTS)
"""The layouts that `read` knows."""


def read(layout: str, path: Path, *, group: str | None = None, label: str | None = None) -> Table:
    """Read the data set at `path`.

    Parameters
    ----------
    layout
        One of `LAYOUTS`, or "auto" to recognise which it is.
    path
        The folder of the data set; for "csv" the file, or a folder that holds a single one.
    group
        The column that names the lesion or patient; each reader says what it takes when none is named.
    label
        The column that names the class. Only for "csv" and "imagefolder": the others have labels of their own.

    Raises
    ------
    DataError
        The layout is unknown, or the data set is not as its layout wants it.
    """
    if not path.exists():
        raise DataError(f"{path}: there is no such file or folder")
    if layout == "auto":
        layout = recognise(path, label=label or "label")
    if layout not in LAYOUTS:
        raise DataError(f"no layout is called {layout!r}; {suggest(layout, ('auto', *LAYOUTS))}")
    if layout == "csv":
        return csv_rows.read(path, label=label or "label", group=group)
    if layout == "imagefolder":
        return huggingface.read(path, label=label, group=group)
    if label is not None:
        raise DataError(
            f"{path}: label = {label!r} is for layouts 'csv' and 'imagefolder'; layout {layout!r} has labels of its own"
        )
    if layout in named_images.LAYOUTS:
        return named_images.read(path, layout, group=group)
    return isic2019.read(path, group=group) if layout == "isic2019" else class_folders.read(path, group=group)


def recognise(path: Path, *, label: str = "label") -> str:
    """Return the layout of the data set at `path`, one of `LAYOUTS`.

    A file is "csv"; a folder with a ``*_GroundTruth.csv`` is "isic2019", one with a CSV that has the columns
    ``path`` and `label` is "csv", one with the table of "pad-ufes-20" or "ham10000" is that, one that
    `imagefolder.fits` is "imagefolder", and one with folders of images is "folder", looked for in this order.

    Raises
    ------
    DataError
        It is none of these.
    """
    if path.is_file():
        return "csv"
    if any(path.glob(f"*{isic2019.TRUTH}")):
        return "isic2019"
    if any({"path", label} <= csv_rows.read_rows(file).columns.keys() for file in path.glob("*.csv")):
        return "csv"
    for layout in named_images.LAYOUTS:
        if named_images.fits(path, layout):
            return layout
    if huggingface.fits(path):
        return "imagefolder"
    if any(class_folders.images_in(inner) for inner in class_folders.folders_in(path)):
        return "folder"
    raise DataError(
        f"{path}: no known layout; want NAME{isic2019.TRUTH} beside NAME_Input/ (isic2019), "
        f"CLASS/IMAGE (folder), PART/CLASS/IMAGE or metadata with 'file_name' and 'label' (imagefolder), "
        f"or a CSV with the columns 'path' and {label!r} (csv)"
    )
