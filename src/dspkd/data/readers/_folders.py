"""The class of an image, and its patient, by the folders in which it lies."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from dspkd.data.image_files import folders_in, images_below, images_in
from dspkd.data.part_names import holds_any_class, holds_no_class, squeezed
from dspkd.data.readers._columns import is_person, may_be_people
from dspkd.errors import DataError


@dataclass(frozen=True)
class Place:
    """The names of the folders of a class and of a patient, "" without one, and whether the class has inner folders."""

    label: str
    person: str
    inner: bool


def places(root: Path, files: Sequence[Path]) -> list[Place]:
    """Return where each image lies.

    The class is the outermost folder that holds images directly, else the nearest one; folders that hold images of any
    class are none. A folder called after a patient, within that of a class, is the patient's.
    """
    direct = {file.parent for file in files}
    within = {
        each.name
        for each in direct
        if root in each.parents and each.parent != root and not holds_any_class(each.parent.name)
    }
    people = within if within and may_be_people(within) else set()
    of_folder = {folder: _place(root, folder, direct, people) for folder in direct}
    return [of_folder[file.parent] for file in files]


def _place(root: Path, folder: Path, direct: Collection[Path], people: Collection[str]) -> Place:
    chain = [each for each in [*reversed(folder.parents), folder] if root in each.parents]
    person = ""
    while len(chain) > 1 and not holds_any_class(chain[-2].name) and _is_person(chain[-1].name, people):
        person = chain.pop().name
    classes = [each for each in chain if not holds_any_class(each.name)]
    if not classes:
        return Place("", "", inner=False)
    own = next((each for each in classes if each in direct), classes[-1])
    return Place(own.name, person, inner=own != classes[-1])


def _is_person(name: str, people: Collection[str]) -> bool:
    return name in people or is_person(name)


def have_inner_folders(folders: Sequence[Path]) -> bool:
    """Return whether two folders or more hold images directly, as those of classes do, and one in a folder within."""
    classes = [each for each in folders if not holds_any_class(each.name) and images_in(each)]
    return len(classes) > 1 and any(images_below(inner) for each in classes for inner in folders_in(each))


def unplaced_note(files: Sequence[Path], root: Path) -> tuple[str, ...]:
    """Return a line about images that lie in no class folder; none where there are none."""
    if not files:
        return ()
    first = files[0].relative_to(root).as_posix()
    return (f"in no class folder and not used: {len(files):,} images, such as {first}",)


def refuse_no_classes(root: Path, folders: Collection[str]) -> None:
    """Raise DataError if folders beside those of classes are called after something else: masks, unlabelled images."""
    for name in folders if len(folders) > 1 else ():
        if holds_no_class(name):
            then = " and set data.unlabelled to its new place" if "unlabel" in squeezed(name) else ""
            raise DataError(
                f"{root}: the folder {name!r} beside those of classes is no class; move it out of {root}{then}, or "
                "give it another name if it is a class"
            )
