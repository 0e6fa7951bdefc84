"""Headers of every response, and the token."""

from __future__ import annotations

import secrets

from fastapi import HTTPException
from fastapi.security import HTTPBearer
from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; img-src 'self' blob:; "
    "connect-src 'self'; worker-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'"
)
"""Keeps a browser from loading or sending anything beyond this server. The page has it too, for other web servers."""

HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY + "; frame-ancestors 'none'",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
"""``camera=()`` forbids pages to use the camera; an ``<input capture>`` opens the phone's own camera app."""


class StrictHeaders:
    """Middleware that sets `HEADERS` on every response, and ``Cache-Control: no-store`` where no other is set."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request to the application, and add headers to the response."""

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(HEADERS)
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        await self._app(scope, receive, with_headers if scope["type"] == "http" else send)


class Bearer(HTTPBearer):
    """A dependency that requires the token, if there is one.

    Parameters
    ----------
    token
        The value after ``Authorization: Bearer``, compared in constant time; None accepts every request.
    """

    def __init__(self, token: str | None) -> None:
        super().__init__(auto_error=False, description="The token with which the server was started, if any.")
        self._token = None if token is None else token.encode()

    async def __call__(self, request: HTTPConnection) -> None:
        """Raise 401 without the token."""
        if self._token is None:
            return
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        # A header is text in Latin-1, and compare_digest takes text only in ASCII.
        if scheme.lower() != "bearer" or not secrets.compare_digest(given.strip().encode("latin-1"), self._token):
            raise HTTPException(401, "this server requires a token", headers={"WWW-Authenticate": "Bearer"})
