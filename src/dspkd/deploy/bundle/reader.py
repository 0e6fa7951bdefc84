"""Open a bundle, and check everything that is read against its manifest.

The format is described in docs/bundle-format.md. A bundle is a zip file whose members are all stored uncompressed, so
that no member can be larger than the file itself, and a member is a range of bytes.
"""

from __future__ import annotations

import hashlib
import re
import stat
import struct
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from dspkd.deploy.bundle.json_values import check_text, read_json, short
from dspkd.deploy.bundle.spec import BundleSpec, parse
from dspkd.errors import BundleError
from dspkd.runtime.zip_files import DAMAGED

FORMAT, VERSION = "dspkd-bundle", 2
READABLE = (1, VERSION)
"""Versions that are read. Those of version 1 have no threshold for malignant classes: the advice is always to refer."""

MANIFEST, SPEC = "manifest.json", "spec.json"
LARGEST_FILE, LARGEST_TEXT, MOST_MEMBERS = 1 << 30, 1 << 20, 256
"""Limits: bytes of a bundle, bytes of a JSON file in it, and members."""

_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]*(/[a-z0-9][a-z0-9_.-]*)*")
_CHUNK = 1 << 20
_END, _ZIP64_LOCATOR = struct.Struct("<4s4H2LH"), struct.Struct("<4sLQL")
"""The record at the end of a zip file, and the one before it where the file is in the format for large ones."""


@dataclass(frozen=True)
class BundleMember:
    """A file in the manifest: its SHA-256 in hex, and its size in bytes."""

    sha256: str
    bytes: int


@dataclass(frozen=True)
class Bundle:
    """A bundle whose structure, manifest and specification have been checked; contents are checked when read.

    Attributes
    ----------
    path
        The file.
    digest
        SHA-256 of its manifest, in hex: identifies the bundle, since the manifest has the digest of everything else.
    files
        The files that the manifest lists.
    spec
        Its specification, from `spec.json`.
    """

    path: Path
    digest: str
    files: Mapping[str, BundleMember]
    spec: BundleSpec

    def read(self, name: str) -> bytes:
        """Return the bytes of a file of the bundle, checked against its digest.

        Raises
        ------
        BundleError
            The manifest lists no such file, it cannot be read, or it does not match the manifest.
        """
        if name not in self.files:
            raise BundleError(f"{self.path}: has no {name[:100]}; it has {', '.join(sorted(self.files))}")
        return _read(self.path, name, self.files[name])

    def read_json(self, name: str) -> dict[str, Any]:
        """Return the object in a JSON file of the bundle; raises as `read` does."""
        self._check_length(name)
        return read_json(self.read(name), f"{self.path}: {name}")

    def read_text(self, name: str) -> str:
        """Return the text of a file of the bundle; raises as `read` does."""
        self._check_length(name)
        try:
            text = self.read(name).decode("utf-8")
        except UnicodeDecodeError:
            raise BundleError(f"{self.path}: {name} is not text in UTF-8") from None
        check_text(text, f"{self.path}: {name}")
        return text

    def check(self) -> None:
        """Check every file against the manifest.

        Raises
        ------
        BundleError
            One does not match the manifest.
        """
        for name in self.files:
            self.read(name)

    def _check_length(self, name: str) -> None:
        if name in self.files and self.files[name].bytes > LARGEST_TEXT:
            raise BundleError(
                f"{self.path}: {name} has {self.files[name].bytes:,} bytes; at most {LARGEST_TEXT:,} are read"
            )


def open_bundle(path: Path | str) -> Bundle:
    """Open a bundle, and check its structure, manifest and specification.

    Raises
    ------
    BundleError
        The file is missing, is not a bundle, was truncated or changed, or is of another version.
    """
    path = Path(path)
    try:
        size = path.stat().st_size
        if size > LARGEST_FILE:
            raise BundleError(f"{path}: {size:,} bytes; a bundle has at most {LARGEST_FILE:,}")
        with path.open("rb") as file:
            if file.read(4) != b"PK\x03\x04":
                raise BundleError(f"{path}: not a bundle, which is a zip file; {_remedy(path)}")
            _check_directory(file, size)
        with zipfile.ZipFile(path) as archive:
            if MANIFEST not in archive.namelist():
                raise BundleError(f"not a bundle, it has no {MANIFEST}; {_remedy(path)}")
            sizes = _member_sizes(archive, size)
            manifest = _bytes(archive, MANIFEST, min(sizes[MANIFEST], LARGEST_TEXT + 1))
    except BundleError as error:
        raise BundleError(_with_path(path, error)) from None
    except OSError as error:
        raise BundleError(f"{path}: {_why_unreadable(path, error)}") from None
    except DAMAGED as error:
        raise BundleError(f"{path}: damaged, truncated, or not a bundle: {error}") from None
    try:
        files = _listed_files(manifest, sizes)
        if SPEC not in files:
            raise BundleError(f"it has no {SPEC}")
        if files[SPEC].bytes > LARGEST_TEXT:
            raise BundleError(f"{SPEC} has {files[SPEC].bytes:,} bytes; at most {LARGEST_TEXT:,} are read")
        spec = parse(_read(path, SPEC, files[SPEC]))
        for precision, model in spec.models.items():
            if model.file not in files or files[model.file].bytes != model.bytes:
                raise BundleError(
                    f"{SPEC}: models.{precision}: {model.file} is not in the bundle with {model.bytes:,} bytes"
                )
    except BundleError as error:
        raise BundleError(_with_path(path, error)) from None
    return Bundle(path, hashlib.sha256(manifest).hexdigest(), files, spec)


def _remedy(path: Path) -> str:
    """Return how to make a bundle, of the run that `path` is a file of, if it is one."""
    run = path.parent
    if (run / "recipe.toml").is_file():
        return (
            f"it is a file of the run {run}: name that folder, or make a bundle: dspkd export {run} --out model.dspkd"
        )
    return "the bundle of a run's folder is made by: dspkd export RUN --out model.dspkd"


def _why_unreadable(path: Path, error: OSError) -> str:
    if isinstance(error, IsADirectoryError):
        return f"a folder; the bundle of a run's folder is made by: dspkd export {path} --out model.dspkd"
    if isinstance(error, FileNotFoundError):
        return "there is no such file"
    return f"cannot be read: {error.strerror or error}"


def _check_directory(file: BinaryIO, size: int) -> None:
    """Refuse a directory of too many members before it is read: it alone could fill the memory."""
    file.seek(max(0, size - _ZIP64_LOCATOR.size - _END.size))
    tail = file.read()
    if len(tail) < _END.size or not tail[-_END.size :].startswith(b"PK\x05\x06"):
        raise BundleError("damaged, truncated, or not a bundle: it does not end as a zip file")
    *_, members, length, _, _ = _END.unpack(tail[-_END.size :])
    if members > MOST_MEMBERS or length > LARGEST_TEXT or tail.startswith(b"PK\x06\x07"):
        raise BundleError(f"{members:,} members; a bundle has at most {MOST_MEMBERS}")


def _member_sizes(archive: zipfile.ZipFile, size: int) -> dict[str, int]:
    """Return the size in bytes of each member; refuse members that no bundle has."""
    members = archive.infolist()
    if len(members) > MOST_MEMBERS:
        raise BundleError(f"{len(members):,} members; a bundle has at most {MOST_MEMBERS}")
    sizes: dict[str, int] = {}
    for member in members:
        name = member.filename
        if not _NAME.fullmatch(name) or ".." in name or len(name) > 100:
            raise BundleError(f"a member is called {name[:120]!r}; only relative names in plain lower case are allowed")
        if name in sizes:
            raise BundleError(f"two members are called {name!r}")
        kind = stat.S_IFMT(member.external_attr >> 16)
        if kind not in {0, stat.S_IFREG}:
            raise BundleError(f"{name} is not a regular file (a link, perhaps)")
        if member.compress_type != zipfile.ZIP_STORED or member.compress_size != member.file_size:
            raise BundleError(f"{name} is compressed; the members of a bundle are stored uncompressed")
        if member.flag_bits & 0x1:
            raise BundleError(f"{name} is encrypted")
        sizes[name] = member.file_size
    if sum(sizes.values()) > size:
        raise BundleError(f"its members claim {sum(sizes.values()):,} bytes, and the file has {size:,}")
    return sizes


def _listed_files(manifest: bytes, sizes: Mapping[str, int]) -> dict[str, BundleMember]:
    """Return the manifest's files, which must be exactly the members of the zip file."""
    if len(manifest) > LARGEST_TEXT:
        raise BundleError(f"{MANIFEST} has more than {LARGEST_TEXT:,} bytes")
    content = read_json(manifest, MANIFEST)
    if content.get("format") != FORMAT:
        raise BundleError(f"{MANIFEST}: format is {short(content.get('format'))}; want {FORMAT!r}")
    if content.get("version") not in READABLE or type(content["version"]) is not int:
        raise BundleError(
            f"{MANIFEST}: version {short(content.get('version'))} is not supported, only "
            f"{' and '.join(map(str, READABLE))}; update dspkd"
        )
    listed = content.get("files")
    if not isinstance(listed, dict):
        raise BundleError(f"{MANIFEST}: files is missing")
    files = {}
    for name, entry in listed.items():
        if not isinstance(entry, dict) or not re.fullmatch("[0-9a-f]{64}", str(entry.get("sha256"))):
            raise BundleError(f"{MANIFEST}: files.{name[:100]}: want a SHA-256 in hex")
        if name not in sizes or name == MANIFEST:
            raise BundleError(f"{MANIFEST} lists {name[:100]}, which the bundle does not have")
        if entry.get("bytes") != sizes[name]:
            raise BundleError(f"{name} has {sizes[name]:,} bytes, but {MANIFEST} has {short(entry.get('bytes'))}")
        files[name] = BundleMember(entry["sha256"], sizes[name])
    if unlisted := sorted(sizes.keys() - files.keys() - {MANIFEST}):
        raise BundleError(f"{unlisted[0]} is in the bundle, but {MANIFEST} does not list it")
    return files


def _read(path: Path, name: str, entry: BundleMember) -> bytes:
    try:
        with zipfile.ZipFile(path) as archive:
            content = _bytes(archive, name, entry.bytes)
    except (OSError, *DAMAGED) as error:
        raise BundleError(f"{path}: {name} cannot be read: {error}") from None
    if len(content) != entry.bytes or hashlib.sha256(content).hexdigest() != entry.sha256:
        raise BundleError(f"{path}: {name} does not match the manifest: damaged, or changed")
    return content


def _bytes(archive: zipfile.ZipFile, name: str, most: int) -> bytes:
    """Return a member's bytes, up to `most`, chunk by chunk, so that a false size allocates no memory."""
    chunks, left = [], most
    with archive.open(name) as member:
        while left > 0 and (chunk := member.read(min(_CHUNK, left))):
            chunks.append(chunk)
            left -= len(chunk)
        if left == 0:
            member.read(1)  # at the end, zipfile checks the member's checksum
    return b"".join(chunks)


def _with_path(path: Path, error: BundleError) -> str:
    return str(error) if str(error).startswith(f"{path}: ") else f"{path}: {error}"
