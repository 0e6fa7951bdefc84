"""The routes of the page: its files, served from memory and compressed once."""

from __future__ import annotations

from fastapi import APIRouter, Depends, HTTPException, Request, Response

from dspkd.deploy.bundle.reader import Bundle
from dspkd.deploy.serve import web_page
from dspkd.deploy.serve.security import Bearer

_COMPRESSED_FROM = 1024
"""Bytes below which compressing is not worth it."""


def router(bundle: Bundle, bearer: Bearer) -> APIRouter:
    """Return the routes of the page, which need no token, and of the bundle's files that it shows, which do.

    A path is looked up among the page's files in memory and never on the disk.
    """
    files = {file.path: file for file in web_page.files(bundle, server=True)}
    routes = APIRouter(include_in_schema=False)

    @routes.get("/")
    async def index(request: Request) -> Response:
        return _send(files["index.html"], request)

    @routes.get("/static/{name:path}")
    def static(name: str, request: Request) -> Response:
        return _file(f"static/{name}", request)

    @routes.get("/bundle/{name:path}", dependencies=[Depends(bearer)])
    def bundle_file(name: str, request: Request) -> Response:
        return _file(f"bundle/{name}", request)

    def _file(path: str, request: Request) -> Response:
        if path not in files:
            raise HTTPException(404, "no such page")
        return _send(files[path], request)

    return routes


def _send(file: web_page.File, request: Request) -> Response:
    """Return a file, compressed if the client accepts that, or 304 if the client has it already."""
    headers = {"Cache-Control": "no-cache", "ETag": file.tag, "Vary": "Accept-Encoding"}
    if request.headers.get("if-none-match") == file.tag:
        return Response(status_code=304, headers=headers)
    if len(file.data) < _COMPRESSED_FROM or "gzip" not in request.headers.get("accept-encoding", ""):
        return Response(file.data, media_type=file.media_type, headers=headers)
    return Response(file.gzipped, media_type=file.media_type, headers=headers | {"Content-Encoding": "gzip"})
