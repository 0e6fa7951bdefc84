"""Write a bundle: the same contents give the same bytes."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dspkd.deploy.bundle.reader import FORMAT, MANIFEST, VERSION
from dspkd.runtime.files import atomic_open

_EARLIEST = (1980, 1, 1, 0, 0, 0)
"""The date of every member: the earliest that a zip file can hold."""


def pack(path: Path, files: Mapping[str, bytes]) -> None:
    """Write a bundle of these files; readers see the whole bundle or the previous one.

    Parameters
    ----------
    path
        The file to write; its folder is made.
    files
        ``{name: content}`` of everything but the manifest, which is made here. In the bundle they are sorted by name,
        after the manifest.
    """
    entries = {
        name: {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
        for name, content in sorted(files.items())
    }
    manifest = as_json({"format": FORMAT, "version": VERSION, "files": entries})
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_open(path, "wb") as file, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, content in ((MANIFEST, manifest), *sorted(files.items())):
            member = zipfile.ZipInfo(name, _EARLIEST)
            member.external_attr = 0o100644 << 16
            member.create_system = 3  # the same on every machine
            archive.writestr(member, content)


def as_json(content: Mapping[str, Any]) -> bytes:
    """Return `content` as indented JSON in UTF-8."""
    return (json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()
