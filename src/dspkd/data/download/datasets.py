"""Download a published data set: tables and images, checked and unpacked."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from dspkd.data.download import catalog
from dspkd.data.download import unpack as archive
from dspkd.data.download.catalog import PublishedDataset, Remote
from dspkd.data.download.http import fetch
from dspkd.errors import DataError
from dspkd.runtime.progress import Progress

RECEIPT = "download.json"
"""The file in the data set's folder with the origin and check of each file, licence and citation."""


def download(
    name: str, to: Path, *, mirror: str | None = None, progress: Progress, say: Callable[[str], None]
) -> PublishedDataset:
    """Download the data set `name` into the folder `to`; files that are already there are not fetched again.

    Licence and citation are passed to `say` before any request. A zip file is unpacked after its checksum has been
    compared, and then deleted: the disk must hold the data set and its largest zip file.

    Parameters
    ----------
    name
        One of `catalog.SOURCES`.
    mirror
        A server that has the files under the same names: ``MIRROR/NAME`` is fetched instead of the published address,
        with the same checks.
    progress
        See `dspkd.runtime.progress.Progress`.
    say
        Called with lines for the user.

    Raises
    ------
    DataError
        See `fetch` and `archive.unpack`; or another process is downloading into this folder.
    """
    source = catalog.find(name)
    if mirror is not None and not mirror.startswith(("http://", "https://")):
        raise DataError(f"mirror {mirror!r}: expected an address that begins with https:// or http://")
    say(f"{source.title}\n{source.page}\nlicence: {source.licence}\nplease cite:\n{source.citation}")
    to.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(to / ".download.lock", timeout=0):
            _fetch_all(name, source, to, mirror, progress, say)
    except Timeout:
        raise DataError(f"{to}: another process is downloading into this folder; wait for it") from None
    return source


def _fetch_all(
    name: str, source: PublishedDataset, to: Path, mirror: str | None, progress: Progress, say: Callable[[str], None]
) -> None:
    receipt = _receipt(to, name, source)
    missing = [remote for remote in source.files if not _is_unpacked(remote, to, receipt)]
    archive.require_space(to, _space(missing, to))
    for remote in missing:
        url = remote.url if mirror is None else f"{mirror.rstrip('/')}/{remote.name}"
        path = fetch(_with_size(remote, to, receipt), url, to, progress)
        checked = "length alone: no checksum is known" if remote.digest is None else remote.digest
        # Written before unpacking: a folder of that name is then always complete.
        receipt["files"][remote.name] = {"url": url, "bytes": path.stat().st_size, "checked": checked}
        _write(to / RECEIPT, receipt)
        if remote.folder is not None:
            archive.unpack(path, to / remote.folder, progress)
            path.unlink()
        say(f"{remote.name}: complete ({checked})")


def _receipt(to: Path, name: str, source: PublishedDataset) -> dict[str, Any]:
    """Return the receipt of an earlier download, or a new one."""
    path = to / RECEIPT
    if not path.exists():
        about = {"title": source.title, "page": source.page, "licence": source.licence, "citation": source.citation}
        return {"data_set": name, **about, "files": {}}
    try:
        receipt: dict[str, Any] = json.loads(path.read_bytes())
        _ = receipt["data_set"], [receipt["files"][file]["bytes"] for file in receipt["files"]]
    except (ValueError, TypeError, KeyError, RecursionError):
        raise DataError(f"{path}: is damaged; delete it, and what is complete is checked and kept") from None
    if receipt["data_set"] != name:
        raise DataError(f"{to}: holds {receipt['data_set']!r}; give {name!r} a folder of its own")
    return receipt


def _is_unpacked(remote: Remote, to: Path, receipt: dict[str, Any]) -> bool:
    """Return whether an archive was unpacked; if so, delete a zip file that is left."""
    if remote.folder is None or remote.name not in receipt["files"] or not (to / remote.folder).is_dir():
        return False
    (to / remote.name).unlink(missing_ok=True)
    return True


def _with_size(remote: Remote, to: Path, receipt: dict[str, Any]) -> Remote:
    """Return the file with the size it was downloaded with, if it is here and no size is published."""
    here = remote.size is None and remote.name in receipt["files"] and (to / remote.name).exists()
    return replace(remote, size=receipt["files"][remote.name]["bytes"]) if here else remote


def _space(missing: list[Remote], to: Path) -> int:
    """Return the bytes still to be written, as far as sizes are known: each file once, the largest zip file twice.

    Photographs are already compressed: a zip file of them unpacks to about its own size, which is checked again then.
    """
    here = sum(path.stat().st_size for r in missing for path in (to / r.name, to / f"{r.name}.part") if path.exists())
    twice = max((remote.size or 0 for remote in missing if remote.folder is not None), default=0)
    return max(sum(remote.size or 0 for remote in missing) + twice - here, 0)


def _write(path: Path, content: dict[str, Any]) -> None:
    beside = path.with_name(f".{path.name}.new")
    beside.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    beside.replace(path)
