"""The routes of the page: its files, from memory, compressed once."""

from __future__ import annotations

from fastapi import APIRouter, Depends, HTTPException, Request, Response

from dspkd.deploy.bundle.reader import Bundle
from dspkd.deploy.serve import web_page
from dspkd.deploy.serve.security import Bearer

_COMPRESSED_FROM = 1024
"""Bytes below which compressing is not worth it."""


def router(bundle: Bundle, bearer: Bearer) -> APIRouter:
    """Return the page, which asks for no token, and what it shows of the bundle, which does.

    A path is looked up among the page's files and never on the disk.
    """
    files = {file.path: file for file in web_page.files(bundle, server=True)}
    routes = APIRouter(include_in_schema=False)

    @routes.get("/")
    async def index(request: Request) -> Response:
        return _send(files["index.html"], request)

    @routes.get("/static/{name:path}")
    def static(name: str, request: Request) -> Response:
        return _found(f"static/{name}", request)

    @routes.get("/bundle/{name:path}", dependencies=[Depends(bearer)])
    def of_bundle(name: str, request: Request) -> Response:
        return _found(f"bundle/{name}", request)

    def _found(path: str, request: Request) -> Response:
        if path not in files:
            raise HTTPException(404, "there is no such page")
        return _send(files[path], request)

    return routes


def _send(file: web_page.File, request: Request) -> Response:
    """Return a file, compressed for who takes that, or that it is the one which the browser has already."""
    headers = {"Cache-Control": "no-cache", "ETag": file.tag, "Vary": "Accept-Encoding"}
    if request.headers.get("if-none-match") == file.tag:
        return Response(status_code=304, headers=headers)
    if len(file.data) < _COMPRESSED_FROM or "gzip" not in request.headers.get("accept-encoding", ""):
        return Response(file.data, media_type=file.media_type, headers=headers)
    return Response(file.gzipped, media_type=file.media_type, headers=headers | {"Content-Encoding": "gzip"})
