"""Image files by the names that tables give them: paths of another computer, in another case, without suffix."""

from __future__ import annotations

import posixpath
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from dspkd.data.image_files import SUFFIXES, bare
from dspkd.errors import first_few


class Files:
    """The image files of a data set, found by names.

    A name may have folders in front, lack its suffix, or have that of another format. Those of its folders that hold
    images here must hold the file too; others are folders of another computer. Accents are compared as Unicode means
    them, however a system writes them.

    Parameters
    ----------
    root
        The folder of the data set.
    files
        The files, relative to `root`, with slashes.
    names
        The names that are looked for.
    """

    def __init__(self, root: Path, files: Sequence[str], names: Iterable[str]) -> None:
        wanted = {key for name in names for key in _keys(name)}
        self._files = files
        self._of: dict[str, list[int]] = {}
        above = tuple(part.casefold() for part in root.parts)
        self._folders: dict[str, tuple[str, ...]] = {}
        self._above = len(above)
        for number, file in enumerate(files):
            path = _composed(file)
            folder, _, name = path.rpartition("/")
            if folder not in self._folders:
                self._folders[folder] = (*above, *_parts(folder))
            for key in {path, name, name.rpartition(".")[0]} & wanted:
                self._of.setdefault(key, []).append(number)
        self._known = {part for folders in self._folders.values() for part in folders[self._above :]}

    def of(self, name: str) -> list[int]:
        """Return the numbers of the files of this name; of several, those nearest to the folders that it names."""
        keys = _keys(name)
        if keys[0] == keys[1]:
            return next((self._of[key] for key in keys if key in self._of), [])
        named = _parts(keys[0].rpartition("/")[0])
        files = next((kept for key in keys if (kept := self._within(named, self._of.get(key, [])))), [])
        for depth in range(1, len(named) + 1):
            nearer = [file for file in files if self._folders_of(file)[-depth:] == named[-depth:]]
            if len(files) < 2 or not nearer:
                break
            files = nearer
        return files

    def find(self, names: Iterable[str]) -> tuple[dict[str, list[int]], tuple[str, ...]]:
        """Return the files of each name, empty where there is none, and a line about those with another name.

        A spreadsheet drops zeros or writes 12.0 for 12, and some systems do not distinguish cases: what is missing
        under its own name is found by a file in other case or with other zeros, if one name and one file can be meant.
        """
        found = {name: self.of(name) for name in names}
        missing = {name: _loose(name) for name, files in found.items() if not files}
        if not missing:
            return found, ()
        by_name, wanted = defaultdict(list), set(missing.values())
        for number, file in enumerate(self._files):
            if (key := _loose(file)) in wanted:
                by_name[key].append(number)
        near = {
            name: self._within(_parts(_keys(name)[0].rpartition("/")[0]), by_name[key]) for name, key in missing.items()
        }
        used = Counter(file for files in (*found.values(), *near.values()) for file in files)
        near = {name: files for name, files in near.items() if len(files) == 1 == used[files[0]]}
        such = first_few(list(near))
        note = f"{len(near):,} names differ from their files in case, leading zeros or a final .0 ({such})"
        return found | near, (note,) if near else ()

    def elsewhere(self, names: Iterable[str]) -> list[str]:
        """Return the files, relative to the root, that have one of these names and lie in other folders."""
        numbers = {number for name in names for key in _keys(name)[1:] for number in self._of.get(key, [])}
        return [self._files[number] for number in sorted(numbers)]

    def _within(self, named: Sequence[str], files: list[int]) -> list[int]:
        """Return those of the files that lie in all folders named, as far as these exist here."""
        needed = self._known.intersection(named)
        return [file for file in files if needed.issubset(self._folders_of(file)[self._above :])] if needed else files

    def _folders_of(self, file: int) -> tuple[str, ...]:
        return self._folders[_composed(self._files[file]).rpartition("/")[0]]


def path_of(name: str) -> str:
    r"""Return the name of a file as a path with slashes, the shortest that means the same, without a query of the web.

    >>> path_of(r".\nv\1.png"), path_of("nv/../mel/1.png"), path_of("https://x.org/1.png?size=2")
    ('nv/1.png', 'mel/1.png', 'https:/x.org/1.png')
    """
    if "?" in name:
        before = name.partition("?")[0]
        name = before if "://" in name or before.lower().endswith(tuple(SUFFIXES)) else name
    return posixpath.normpath(_composed(name).replace("\\", "/"))


def _composed(name: str) -> str:
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def _keys(name: str) -> tuple[str, str, str]:
    """Return the names under which an image may be known: its path, its file's name, and that without suffix."""
    path = path_of(name)
    file = path.rpartition("/")[2]
    return path, file, bare(file)


def _parts(folder: str) -> tuple[str, ...]:
    return tuple(folder.casefold().split("/")) if folder else ()


def _loose(name: str) -> str:
    key = re.sub(r"^(\d+)\.0+$", r"\1", _keys(name)[2].casefold())
    return key.lstrip("0") or key[-1:]
