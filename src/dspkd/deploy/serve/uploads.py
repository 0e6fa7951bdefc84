"""From a request's body to files in memory: counted while it arrives, never written to disk."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from fastapi import HTTPException, Request
from starlette.datastructures import Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect

from dspkd.deploy.serve.admission import Slot
from dspkd.deploy.serve.limits import Limits

FIELD = "files"
_MOST_TEXTS = 100
"""Limit of fields that are no files, which are ignored."""


@dataclass(frozen=True)
class Upload:
    """An uploaded file: its name from the client, and its bytes."""

    name: str
    data: bytes


class _WholeForm(MultiPartParser):
    """A parser that refuses a body without its last boundary: by itself it leaves out the part before the cut."""

    def __init__(self, headers: Headers, stream: AsyncGenerator[bytes, None], *, max_files: int, max_fields: int):
        super().__init__(headers, self._to_the_end(stream), max_files=max_files, max_fields=max_fields)
        self._ended = False

    def on_end(self) -> None:
        """Note the last boundary."""
        self._ended = True

    async def _to_the_end(self, stream: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
        async for chunk in stream:
            yield chunk
        if not self._ended:
            raise MultiPartException("the body ends before its last boundary: a part is missing; send all again")


async def read(request: Request, limits: Limits, slot: Slot) -> list[Upload]:
    """Read the files of a multipart request.

    Raises
    ------
    HTTPException
        400 for a body that does not match its header, 408 for one that arrives too slowly, 413 for too many bytes or
        files, 415 for another content type, 422 without a file, 503 if uploads hold too much memory.
    """
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        raise HTTPException(415, f"send multipart/form-data with the images as fields named {FIELD!r}")
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length) > limits.upload_bytes:
        raise HTTPException(413, f"{int(length):,} bytes are more than {limits.upload_bytes:,}, which is the limit")
    parser = _WholeForm(request.headers, _counted(request, slot), max_files=limits.files, max_fields=_MOST_TEXTS)
    parser.spool_max_size = limits.upload_bytes  # no body is larger, so that no file is spooled to disk
    parser.max_part_size = limits.upload_bytes
    try:
        async with asyncio.timeout(limits.upload_seconds):
            form = await parser.parse()
    except TimeoutError:
        raise HTTPException(408, f"the upload took longer than {limits.upload_seconds:g} s") from None
    except ClientDisconnect:
        raise HTTPException(400, "the upload was interrupted") from None
    except MultiPartException as error:
        raise HTTPException(413 if "Too many files" in error.message else 400, error.message) from None
    except (ValueError, LookupError) as error:  # headers of parts that the parser does not expect
        raise HTTPException(400, f"invalid multipart body: {type(error).__name__}") from None
    parts = [part for name, part in form.multi_items() if name == FIELD]
    others = [name for name, part in form.multi_items() if name != FIELD and isinstance(part, UploadFile)]
    files = [part for part in parts if isinstance(part, UploadFile)]
    received = [Upload(file.filename or "", file.file.read()) for file in files]
    await form.close()
    if len(files) < len(parts):
        raise HTTPException(
            422, f'a part {FIELD!r} is text, not a file: its Content-Disposition has no filename; add filename="a.jpg"'
        )
    if others:
        raise HTTPException(422, f"a file is in the field {others[0][:60]!r}; send all files as fields named {FIELD!r}")
    if not received:
        raise HTTPException(422, f"no image in the request: send files as fields named {FIELD!r}")
    return received


async def _counted(request: Request, slot: Slot) -> AsyncGenerator[bytes, None]:
    async for chunk in request.stream():
        slot.add_bytes(len(chunk))
        yield chunk
