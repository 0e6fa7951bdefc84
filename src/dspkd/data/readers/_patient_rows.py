"""A table with a row for each patient, beside a folder of images for each."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from dspkd.data.csv_rows import Rows
from dspkd.data.image_files import folders_in, images_below, images_in
from dspkd.data.part_names import holds_no_class
from dspkd.data.readers._spelling import spelled
from dspkd.errors import DataError, first_few


def naming_column(rows: Rows, root: Path) -> str | None:
    """Return the column of which each cell is the name of a folder, or another spelling of it; None without one."""
    folders = {spelled(folder.name) for folder in folders_in(root)}
    return next((name for name, cells in rows.columns.items() if folders >= set(map(spelled, cells))), None)


def rows_of_images(rows: Rows, root: Path) -> Rows:
    """Return a row for each image in or below the folder that a row names, with its file in the column ``image``.

    Unchanged where no column names folders. Notes say which folders no row names.

    Raises
    ------
    DataError
        A folder has no image, or a row fits several folders.
    """
    naming = naming_column(rows, root)
    if naming is None:
        return rows
    own = _folder_of(rows, naming, root)
    every = []
    for row, folder in own.items():
        images = [file for file in images_below(folder) if not _is_mask(file, folder)]
        if not images:
            raise DataError(
                f"{rows.at(row)}: no image in or below {folder}; put the images there, or leave out the row"
            )
        every += [(row, file) for file in images]
    expanded = rows.take([row for row, _ in every])
    image = tuple(file.relative_to(root).as_posix() for _, file in every)
    notes = rows.notes
    if others := [folder.name for folder in folders_in(root) if folder not in own.values() and images_below(folder)]:
        notes += (f"folders of images that no row of {rows.path.name} names, not used: {first_few(others)}",)
    if beside := images_in(root):
        notes += (f"{len(beside):,} images beside the folders of {rows.path.name} are not used",)
    return replace(expanded, columns={**expanded.columns, "image": image}, notes=notes)


def _folder_of(rows: Rows, naming: str, root: Path) -> dict[int, Path]:
    """Return the folder of each row: the one that it names, else the only one of another spelling."""
    by_name: dict[str, list[Path]] = {}
    for folder in folders_in(root):
        by_name.setdefault(spelled(folder.name), []).append(folder)
    folder_of: dict[int, Path] = {}
    for cell, row in rows.unique(naming).items():
        near = by_name[spelled(cell)]
        folders = [folder for folder in near if folder.name == cell] or near
        if len(folders) > 1 or folders[0] in folder_of.values():
            names = first_few([folder.name for folder in near])
            raise DataError(
                f"{rows.at(row)}: {naming} {cell!r} may be several folders or rows: {names}; give other names"
            )
        folder_of[row] = folders[0]
    return folder_of


def _is_mask(file: Path, folder: Path) -> bool:
    return any(map(holds_no_class, file.parent.relative_to(folder).parts))
