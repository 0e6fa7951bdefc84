"""One file over HTTP: resumed where it broke off, checked, and under its name only when it is whole.

What has come so far lies in ``NAME.part``; ``NAME.part.json`` says which version of the file it is a piece of. Times
and numbers of tries are inferred: nobody publishes any.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from dspkd.data.download import unpack
from dspkd.data.download.catalog import Remote
from dspkd.data.download.unpack import require_space
from dspkd.errors import DataError
from dspkd.runtime.progress import Progress

TRIES = 6
"""How often in a row a server may fail without a byte more than before."""

SILENCE = 60.0
"""Seconds without a byte after which a connection counts as dropped."""

_BLOCK = 1 << 20
_TRY_AGAIN = frozenset({408, 425, 429, *range(500, 600)})


class _DroppedError(Exception):
    """An attempt ended before the file did; another may succeed."""


@dataclass(frozen=True)
class _Version:
    """What a piece of a file is a piece of: the server's name of the version, if any, and all bytes, if known."""

    validator: str | None
    total: int | None


def fetch(
    remote: Remote, url: str, folder: Path, progress: Progress, pause: Callable[[float], None] = time.sleep
) -> Path:
    """Fetch a file into `folder` and return its path; a file that is there already is checked and kept.

    A dropped connection, a silence and the answers 408, 425, 429 and 5xx are tried again after 1, 2, 4, ... seconds;
    the file goes on where it broke off if the server says that it is still the same, and starts anew if not.

    Parameters
    ----------
    remote
        The file; with its published length and checksum it is compared.
    url
        Where to fetch it from: `remote.url` or a mirror.
    pause
        Waits so many seconds.

    Raises
    ------
    DataError
        The server refuses or keeps failing; the file is of another length or checksum than published, in which case
        nothing of it is kept; nobody says how long it is; or the disk is too small.
    """
    path, part = folder / remote.name, folder / f"{remote.name}.part"
    if path.exists():
        complaint = _complaint(path, remote, None, progress)
        if remote.size is None and remote.digest is None and remote.folder is None:
            complaint = "nobody says how long it is, so it cannot be checked"
        if complaint:
            raise DataError(f"{path}: {complaint}; move it away, and it is fetched")
        return path
    in_pieces = part.exists()
    for again in (False, True):
        in_pieces |= _persist(remote, url, part, progress, pause)
        complaint = _complaint(part, remote, _read_version(part), progress)
        if not complaint:
            break
        _discard(part)
        # Pieces of two versions may have been joined: then once more, from the start.
        if again or not in_pieces:
            raise DataError(f"{url}: {complaint}: this is another file, or it was damaged; nothing of it is kept")
    with part.open("rb") as file:
        os.fsync(file.fileno())
    part.replace(path)
    _note(part).unlink(missing_ok=True)
    return path


def _persist(remote: Remote, url: str, part: Path, progress: Progress, pause: Callable[[float], None]) -> bool:
    """Transfer until all has come; return whether it came in more than one attempt."""
    failures, attempts, furthest = 0, 0, _size(part)
    while True:
        attempts += 1
        try:
            _transfer(remote, url, part, progress)
        except _DroppedError as e:
            failures = 1 if _size(part) > furthest else failures + 1
            furthest = max(furthest, _size(part))
            if failures == TRIES:
                raise DataError(
                    f"{url}: {e}; gave up after {TRIES} tries in a row that brought nothing new. What has come is "
                    "kept, and the same command goes on; another server is asked with --mirror URL"
                ) from None
            pause(min(2.0 ** (failures - 1), 60.0))
        else:
            return attempts > 1


def _transfer(remote: Remote, url: str, part: Path, progress: Progress) -> None:
    """Fetch what is missing, in one request."""
    version, start = _read_version(part), _size(part)
    if version is not None and start == version.total:
        return  # killed between the last byte and the check
    headers = {"User-Agent": "dspkd"}
    if version is not None and version.validator and start:
        headers |= {"Range": f"bytes={start}-", "If-Range": version.validator}
    with _answer(url, headers, part) as response:
        if response.status == 206:
            assert version is not None, "a range is only asked for of a known version"
            total = _continues(response, start, version, part)
        else:
            start, total = 0, _length(response)
            _admit(remote, url, response, total)
            _discard(part)
            _write_version(part, _Version(_validator(response), total))
        if total is not None:
            require_space(part.parent, total - start)
        with part.open("ab") as file:
            _receive(remote, response, file.write, start, total, progress)


def _answer(url: str, headers: dict[str, str], part: Path) -> HTTPResponse:
    """Return the server's answer."""
    try:
        answer: HTTPResponse = urlopen(Request(url, headers=headers), timeout=SILENCE)
    except HTTPError as e:
        e.close()
        if e.code == 416:  # the file has become shorter than what we have of it
            _discard(part)
        elif e.code not in _TRY_AGAIN:
            raise DataError(
                f"{url}: the server answers {e.code} {e.reason}; the file may have moved: see the data set's page, or "
                "ask another server with --mirror URL"
            ) from None
        raise _DroppedError(f"the server answers {e.code} {e.reason}") from None
    except (OSError, HTTPException) as e:  # URLError, a refused or reset connection, silence, nonsense
        raise _DroppedError(f"no answer: {getattr(e, 'reason', e) or type(e).__name__}") from None
    return answer


def _continues(response: HTTPResponse, start: int, version: _Version, part: Path) -> int | None:
    """Return all bytes of the file of which `response` is the rest; drop what came if it is not the rest of that."""
    said = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
    other = _validator(response) not in (None, version.validator)
    if not said or int(said[1]) != start or other or said[2] not in ("*", str(version.total)):
        _discard(part)
        raise _DroppedError("the file changed meanwhile, or the server cannot resume; starting anew")
    return version.total


def _admit(remote: Remote, url: str, response: HTTPResponse, total: int | None) -> None:
    """Raise DataError if what a server begins to send cannot be the file, or could never be known to be whole."""
    if response.headers.get_content_type() == "text/html":
        raise DataError(f"{url}: the server sends a web page, not the file; see the data set's page")
    if remote.size is not None and total not in (None, remote.size):
        raise DataError(f"{url}: the server offers {total} bytes, but the file has {remote.size}; try --mirror URL")
    if total is None and remote.size is None and remote.digest is None:
        raise DataError(f"{url}: neither the server nor anybody else says how long the file is; try --mirror URL")


def _receive(
    remote: Remote,
    response: HTTPResponse,
    write: Callable[[bytes], Any],
    done: int,
    total: int | None,
    progress: Progress,
) -> None:
    """Write what comes until it ends."""
    while True:
        progress(remote.name, done, total)
        try:
            block = response.read(_BLOCK)
        except (OSError, HTTPException) as e:
            raise _DroppedError(f"dropped after {done} bytes: {e or type(e).__name__}") from None
        if not block:
            break
        try:
            write(block)
        except OSError as e:
            raise DataError(f"{remote.name}: cannot be written: {e.strerror}; what has come is kept") from None
        done += len(block)
    if total is not None and done < total:
        raise _DroppedError(f"the connection was closed after {done} of {total} bytes")


def _complaint(path: Path, remote: Remote, version: _Version | None, progress: Progress) -> str:
    """Return what is wrong with a file that should be whole, "" if nothing is."""
    wanted = remote.size if remote.size is not None else version.total if version else None
    if wanted not in (None, _size(path)):
        return f"{_size(path)} bytes where {wanted} were expected"
    if remote.digest is not None:
        kind, _, said = remote.digest.partition(":")
        found = _digest(path, kind, progress)
        if found != said:
            return f"its {kind} is {found}, but {said} is published"
    elif remote.folder is not None:
        return unpack.damage(path, progress)
    return ""


def _digest(path: Path, kind: str, progress: Progress) -> str:
    state, done, total = hashlib.new(kind, usedforsecurity=False), 0, _size(path)
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            state.update(block)
            done += len(block)
            progress(f"checking {path.name.removesuffix('.part')}", done, total)
    return state.hexdigest()


def _validator(response: HTTPResponse) -> str | None:
    """Return what names the version of a file for If-Range: a strong entity tag, else the date of its last change."""
    tag: str | None = response.headers.get("ETag")
    return tag if tag and not tag.startswith("W/") else response.headers.get("Last-Modified")


def _length(response: HTTPResponse) -> int | None:
    said = response.headers.get("Content-Length", "")
    return int(said) if said.isdigit() else None


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _note(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")


def _read_version(part: Path) -> _Version | None:
    try:
        return _Version(**json.loads(_note(part).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):  # none, or cut short by a power failure
        return None


def _write_version(part: Path, version: _Version) -> None:
    _note(part).write_text(json.dumps(asdict(version)), encoding="utf-8")


def _discard(part: Path) -> None:
    part.unlink(missing_ok=True)
    _note(part).unlink(missing_ok=True)
