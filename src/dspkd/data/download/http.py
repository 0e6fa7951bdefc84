"""Download one file over HTTP: resumed after an interruption, checked, and renamed only when complete.

The bytes received so far are in ``NAME.part``; ``NAME.part.json`` identifies the version of the file. Times and numbers
of attempts are inferred: nobody publishes any.
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
"""Failures in a row, without a new byte, after which to give up."""

SILENCE = 60.0
"""Seconds without a byte after which a connection counts as dropped."""

_BLOCK = 1 << 20
_TRY_AGAIN = frozenset({408, 425, 429, *range(500, 600)})


class _DroppedError(Exception):
    """An attempt ended before the file was complete; another may succeed."""


@dataclass(frozen=True)
class _Version:
    """The version of a file: the server's validator, if any, and the size in bytes, if known."""

    validator: str | None
    total: int | None


def fetch(
    remote: Remote, url: str, folder: Path, progress: Progress, pause: Callable[[float], None] = time.sleep
) -> Path:
    """Download a file into `folder` and return its path; a file that is already there is checked and kept.

    After a dropped connection, a timeout or a response 408, 425, 429 or 5xx, try again after 1, 2, 4, ... seconds. The
    download resumes if the server confirms that the file is unchanged, and starts from the beginning if not.

    Parameters
    ----------
    remote
        The file, with its published length and checksum.
    url
        Its address: `remote.url` or a mirror.
    pause
        Waits for a number of seconds.

    Raises
    ------
    DataError
        The server refuses or keeps failing; length or checksum differ from the published ones, in which case nothing of
        the file is kept; its length is unknown; or the disk is too small.
    """
    path, part = folder / remote.name, folder / f"{remote.name}.part"
    if path.exists():
        problem = _problem(path, remote, None, progress)
        if remote.size is None and remote.digest is None and remote.folder is None:
            problem = "its length is not published, so it cannot be checked"
        if problem:
            raise DataError(f"{path}: {problem}; move it away to download it")
        return path
    in_pieces = part.exists()
    for again in (False, True):
        in_pieces |= _persist(remote, url, part, progress, pause)
        problem = _problem(part, remote, _read_version(part), progress)
        if not problem:
            break
        _discard(part)
        # Pieces of two versions may have been joined: download once more, from the beginning.
        if again or not in_pieces:
            raise DataError(f"{url}: {problem}: another file, or damaged; nothing of it is kept, try --mirror URL")
    with part.open("rb") as file:
        os.fsync(file.fileno())
    part.replace(path)
    _note(part).unlink(missing_ok=True)
    return path


def _persist(remote: Remote, url: str, part: Path, progress: Progress, pause: Callable[[float], None]) -> bool:
    """Transfer the file, with retries; return whether it took more than one attempt."""
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
                    f"{url}: {e}; gave up after {TRIES} failures in a row. The part received is kept: repeat the "
                    "command to resume, or use another server with --mirror URL"
                ) from None
            pause(min(2.0 ** (failures - 1), 60.0))
        else:
            return attempts > 1


def _transfer(remote: Remote, url: str, part: Path, progress: Progress) -> None:
    """Download the missing bytes, in one request."""
    version, start = _read_version(part), _size(part)
    if version is not None and start == (version.total or remote.size):
        return  # interrupted between the last byte and the check
    headers = {"User-Agent": "dspkd"}
    if version is not None and version.validator and start:
        headers |= {"Range": f"bytes={start}-", "If-Range": version.validator}
    with _request(url, headers, part) as response:
        if response.status == 206:
            assert version is not None, "a range is only requested of a known version"
            total = _resumed_total(response, start, version, part)
        else:
            start, total = 0, _length(response)
            _check_response(remote, url, response, total)
            _discard(part)
            _write_version(part, _Version(_validator(response), total))
        if total is not None:
            require_space(part.parent, total - start)
        with part.open("ab") as file:
            _receive(remote, response, file.write, start, total, progress)


def _request(url: str, headers: dict[str, str], part: Path) -> HTTPResponse:
    """Send a request and return the response."""
    try:
        response: HTTPResponse = urlopen(Request(url, headers=headers), timeout=SILENCE)
    except HTTPError as e:
        e.close()
        if e.code == 416:  # the file is now shorter than the part that we have
            _discard(part)
        elif e.code not in _TRY_AGAIN:
            raise DataError(
                f"{url}: response {e.code} {e.reason}; the file may have moved: see the data set's page, or use "
                "another server with --mirror URL"
            ) from None
        raise _DroppedError(f"response {e.code} {e.reason}") from None
    except (OSError, HTTPException) as e:  # URLError, a refused or reset connection, a timeout, an invalid response
        raise _DroppedError(f"no response: {getattr(e, 'reason', e) or type(e).__name__}") from None
    return response


def _resumed_total(response: HTTPResponse, start: int, version: _Version, part: Path) -> int | None:
    """Return the size of the file that `response` resumes; discard the part if `response` is not its continuation."""
    content_range = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
    other = _validator(response) not in (None, version.validator)
    resumes = content_range and int(content_range[1]) == start and content_range[2] in ("*", str(version.total))
    if other or not resumes:
        _discard(part)
        raise _DroppedError("the file has changed, or the server cannot resume; starting from the beginning")
    return version.total


def _check_response(remote: Remote, url: str, response: HTTPResponse, total: int | None) -> None:
    """Raise DataError if a response cannot be the file, or if it could not be checked to be complete."""
    if response.headers.get_content_type() == "text/html":
        raise DataError(f"{url}: the server sends a web page, not the file; see the data set's page")
    if remote.size is not None and total not in (None, remote.size):
        raise DataError(f"{url}: the server offers {total} bytes, but the file has {remote.size}; try --mirror URL")
    if total is None and remote.size is None and remote.digest is None:
        raise DataError(f"{url}: the length of the file is unknown, so it cannot be checked; try --mirror URL")


def _receive(
    remote: Remote,
    response: HTTPResponse,
    write: Callable[[bytes], Any],
    done: int,
    total: int | None,
    progress: Progress,
) -> None:
    """Write the response's body until it ends; DataError where it is longer than the file."""
    bound = remote.size if remote.size is not None else total
    while True:
        progress(remote.name, done, total)
        try:
            block = response.read(_BLOCK)
        except (OSError, HTTPException) as e:
            raise _DroppedError(f"dropped after {done} bytes: {e or type(e).__name__}") from None
        if not block:
            break
        if bound is not None and done + len(block) > bound:
            raise DataError(f"{remote.name}: the server sends more than its {bound} bytes; try --mirror URL")
        try:
            write(block)
        except OSError as e:
            raise DataError(f"{remote.name}: cannot be written: {e.strerror}; the part received is kept") from None
        done += len(block)
    if total is not None and done < total:
        raise _DroppedError(f"the connection was closed after {done} of {total} bytes")


def _problem(path: Path, remote: Remote, version: _Version | None, progress: Progress) -> str:
    """Return what is wrong with a file that should be complete, "" if nothing."""
    expected = remote.size if remote.size is not None else version.total if version else None
    if expected not in (None, _size(path)):
        return f"{_size(path)} bytes where {expected} were expected"
    if remote.digest is not None:
        kind, _, published = remote.digest.partition(":")
        digest = _digest(path, kind, progress)
        if digest != published:
            return f"its {kind} is {digest}, but {published} is published"
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
    """Return the validator of a file for If-Range: a strong entity tag, else the date of its last change."""
    tag: str | None = response.headers.get("ETag")
    return tag if tag and not tag.startswith("W/") else response.headers.get("Last-Modified")


def _length(response: HTTPResponse) -> int | None:
    length = response.headers.get("Content-Length", "")
    return int(length) if length.isdigit() else None


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
