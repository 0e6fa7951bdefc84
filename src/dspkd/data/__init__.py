"""From files on disk to a table of labelled images, a split that leaks nothing, and decoded pictures.

`read` reads a data set of any known layout; the readers themselves are `isic`, `folder` and `csv_table`.
"""

from pathlib import Path

from dspkd.data import csv_table, folder, isic
from dspkd.data.table import Table, hint
from dspkd.errors import DataError

LAYOUTS = ("isic2019", "folder", "csv")
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
        The column that names the class. Only for "csv": the other layouts have labels of their own.

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
        raise DataError(f"no layout is called {layout!r}; {hint(layout, ('auto', *LAYOUTS))}")
    if layout == "csv":
        return csv_table.read(path, label=label or "label", group=group)
    if label is not None:
        raise DataError(f"{path}: label = {label!r} is for layout 'csv'; layout {layout!r} has labels of its own")
    return isic.read(path, group=group) if layout == "isic2019" else folder.read(path, group=group)


def recognise(path: Path, *, label: str = "label") -> str:
    """Return the layout of the data set at `path`, one of `LAYOUTS`.

    A file is "csv"; a folder with a ``*_GroundTruth.csv`` is "isic2019", one with a CSV that has the columns
    ``path`` and `label` is "csv", and one with folders of images is "folder", looked for in this order.

    Raises
    ------
    DataError
        It is none of these.
    """
    if path.is_file():
        return "csv"
    if any(path.glob(f"*{isic.TRUTH}")):
        return "isic2019"
    if any({"path", label} <= csv_table.read_rows(file).columns.keys() for file in path.glob("*.csv")):
        return "csv"
    if any(folder.images_in(inner) for inner in folder.folders_in(path)):
        return "folder"
    raise DataError(
        f"{path}: no known layout; want NAME{isic.TRUTH} beside NAME_Input/ (isic2019), "
        f"CLASS/IMAGE (folder), or a CSV with the columns 'path' and {label!r} (csv)"
    )
