"""The class of an image, and its patient, by the folders in which it lies."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from dspkd.data.image_files import folders_in, images_below, images_in
from dspkd.data.part_names import holds_any_class, holds_no_class, part_of, squeezed
from dspkd.data.readers._columns import is_person, may_be_people
from dspkd.data.readers._labels import is_flag
from dspkd.errors import DataError

_MASK = re.compile(r"(.+?)[ _-](?:segmentation|segmented|seg|masks?|superpixels?|lesion|gt|groundtruth)", re.IGNORECASE)
"""A file called after an image, and after what it marks in this image."""
_LOSSLESS = frozenset({".png", ".bmp", ".tif", ".tiff", ".gif"})


@dataclass(frozen=True)
class Place:
    """The names of the folders of a class and of a patient, "" without one, and whether the class has inner folders."""

    label: str
    person: str
    inner: bool


def places(root: Path, files: Sequence[Path]) -> list[Place]:
    """Return where each image lies.

    The class is the outermost folder that holds images directly, or that is as deep as two others which do, else the
    nearest one; folders that hold images of any class are none. A folder called after a patient, within that of a class
    or above those of classes, is the patient's. What lies in a folder of masks within a class has no class.
    """
    direct = {file.parent for file in files}
    chains = {
        folder: [each for each in [*reversed(folder.parents), folder] if root in each.parents] for folder in direct
    }
    within = {
        chain[-1].name
        for chain in chains.values()
        if len(chain) > 1 and not holds_any_class(chain[-2].name) and not holds_no_class(chain[-1].name)
    }
    people = within if within and may_be_people(within) else set()
    outer = _people_above(list(chains.values()))
    held = {each for chain in chains.values() for each in _of_classes(chain) if each in direct}
    names = Counter(depth for depth, _ in {(len(each.parts), each.name) for each in held if each.name not in outer})
    depths = {depth for depth, number in names.items() if number > 1}
    classes = {each.name for each in held if len(each.parts) == min(depths, default=0)}
    of_folder = {
        folder: _place(chain, direct, people, outer, () if folder.name in classes else depths)
        for folder, chain in chains.items()
    }
    return [of_folder[file.parent] for file in files]


def _place(
    chain: list[Path],
    direct: Collection[Path],
    people: Collection[str],
    outer: Collection[str],
    depths: Collection[int],
) -> Place:
    person = ""
    while len(chain) > 1 and not holds_any_class(chain[-2].name) and _is_person(chain[-1].name, people):
        person, chain = chain[-1].name, chain[:-1]
    classes = _of_classes(chain)
    if any(holds_no_class(each.name) for each in classes[1:]):
        return Place("", "", inner=False)
    if len(classes) > 1 and classes[0].name in outer:
        person, classes, depths = classes[0].name, classes[1:], ()
    if not classes:
        return Place("", "", inner=False)
    own = next((each for each in classes if each in direct or len(each.parts) in depths), classes[-1])
    return Place(own.name, person, inner=own != classes[-1])


def _of_classes(chain: Sequence[Path]) -> list[Path]:
    return [each for each in chain if not holds_any_class(each.name)]


def _is_person(name: str, people: Collection[str]) -> bool:
    return name in people or is_person(name)


def _people_above(chains: Sequence[Sequence[Path]]) -> frozenset[str]:
    """Return the names of the folders of patients above those of classes: these are there again for other patients."""
    pairs = {(each[0].name, each[1].name) for chain in chains if len(each := _of_classes(chain)) > 1}
    single = any(len(_of_classes(chain)) == 1 for chain in chains)
    outer, inner = {name for name, _ in pairs}, Counter(name for _, name in pairs)
    if single or len(outer) < 2:
        return frozenset()
    again = sum(number > 1 for number in inner.values())
    others = may_be_people(inner) or any(is_person(name) or is_flag(name) for name in inner)
    return frozenset() if others or not may_be_people(outer) or not 2 * again > len(inner) > 1 else frozenset(outer)


def in_folders_of_people(root: Path) -> bool:
    """Return whether folders called after patients, perhaps within parts, hold folders of classes."""
    bases = [folder for folder in folders_in(root) if part_of(folder.name)] or [root]
    names = {folder.name for base in bases for folder in folders_in(base)}
    if len(names) < 2 or not may_be_people(names):
        return False
    found = places(root, images_below(root))
    return bool(found) and all(place.person and place.label and place.label not in names for place in found)


def people_of(root: Path, files: Sequence[Path]) -> tuple[str, ...]:
    """Return the name of the folder of each image's patient; empty where not every image lies in one.

    These are the outermost folders that are called after patients.
    """
    chains = [file.parent.relative_to(root).parts if file.is_relative_to(root) else () for file in files]
    for depth in range(min(map(len, chains), default=0)):
        names = {chain[depth] for chain in set(chains)}
        if all(map(is_person, names)) or (len(names) > 1 and may_be_people(names)):
            return tuple(chain[depth] for chain in chains)
    return tuple(file.parent.name for file in files) if all(is_person(file.parent.name) for file in files) else ()


def without_masks(files: Sequence[Path], root: Path) -> tuple[list[Path], tuple[str, ...]]:
    """Return the images without masks beside them, such as ``1_segmentation.png`` beside ``1.jpg``, and a line on them.

    Masks are saved without loss.
    """
    stems = {(file.parent, file.stem.casefold()) for file in files}
    masks = {
        file
        for file in files
        if (match := _MASK.fullmatch(file.stem))
        and file.suffix.lower() in _LOSSLESS
        and (file.parent, match[1].casefold()) in stems
    }
    if not masks:
        return list(files), ()
    first = min(masks).relative_to(root).as_posix()
    note = f"called like masks of the images beside them and not used: {len(masks):,} files, such as {first}"
    return [file for file in files if file not in masks], (note,)


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
