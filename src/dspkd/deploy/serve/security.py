"""Headers of every response, the host names that are accepted, and the token."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from fastapi import HTTPException
from fastapi.security import HTTPBearer
from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dspkd.deploy.bundle.json_values import short

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


class KnownHosts:
    """Middleware that answers 400 to a request for another host name, with what a proxy has to send.

    Parameters
    ----------
    hosts
        The names that are accepted, as `TrustedHostMiddleware` takes them.
    """

    def __init__(self, app: ASGIApp, hosts: Sequence[str]) -> None:
        self._app, self._hosts = app, hosts
        self._check = TrustedHostMiddleware(_say_nothing, allowed_hosts=list(hosts), www_redirect=False)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request to the application, or refuse it."""
        refusal: list[Message] = []

        async def keep(message: Message) -> None:
            refusal.append(message)

        await self._check(scope, receive, keep)
        if not refusal:
            await self._app(scope, receive, send)
            return
        detail = (
            f"Host {short(Headers(scope=scope).get('host', ''))}: this server accepts {', '.join(self._hosts)} alone; "
            f"a proxy in front of it has to send Host: {self._hosts[0]}"
        )
        await JSONResponse({"detail": detail}, 400)(scope, receive, send)


async def _say_nothing(scope: Scope, receive: Receive, send: Send) -> None:
    pass


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
