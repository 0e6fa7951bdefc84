"""Run the server until it receives a signal to stop."""

from __future__ import annotations

import logging
import socket
import warnings
from collections.abc import Callable

import uvicorn

from dspkd.deploy.bundle.reader import Bundle
from dspkd.deploy.serve.app import create
from dspkd.deploy.serve.limits import Limits
from dspkd.errors import ServeError
from dspkd.runtime.cores import available_cores

_LOOPBACK = ("127.0.0.1", "localhost")
_CONNECTIONS = 1024


def run(
    bundle: Bundle, *, host: str, port: int, workers: int | None, token: str | None, log: Callable[[str], None]
) -> None:
    """Serve predictions until SIGTERM or Ctrl-C, then finish the running requests.

    Parameters
    ----------
    bundle
        The bundle to serve.
    host, port
        The address to listen on; port 0 takes a free one.
    workers
        Threads that run the network; None takes one for each core that this process may use.
    token
        See `dspkd.deploy.serve.app.create`.
    log
        Called with the address once the server listens.

    Raises
    ------
    BundleError
        The bundle is broken.
    ServeError
        The address is in use or not of this machine; or the token has characters that a header cannot carry.
    """
    if token is not None and not (token.isascii() and token.isprintable() and len(token.split()) == 1):
        raise ServeError("the token must be printable ASCII without spaces, and not empty")
    _silence_upload_errors()
    limits = Limits()
    local = host in _LOOPBACK
    app = create(
        bundle,
        workers=workers or available_cores(),
        token=token,
        hosts=_LOOPBACK if local else ("*",),
        limits=limits,
    )
    with _listen(host, port) as listener:
        log(f"http://{host}:{listener.getsockname()[1]}")
        if not local and token is None:
            log("warning: other machines can reach this address; protect it by a --token")
        config = uvicorn.Config(
            app,
            log_level="error",
            access_log=False,  # client addresses are personal data
            server_header=False,
            limit_concurrency=_CONNECTIONS,
            timeout_graceful_shutdown=limits.stop_seconds,
        )
        uvicorn.Server(config).run(sockets=[listener])


def _silence_upload_errors() -> None:
    """Keep library messages about damaged uploads out of the log: they contain bytes of images, and could fill it."""
    logging.getLogger("python_multipart").setLevel(logging.CRITICAL)
    warnings.filterwarnings("ignore", module="PIL")


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listener = socket.create_server((host, port), family=family, backlog=2048)
        # Connections inherit it. Without it the body of a response waits up to 40 ms for the client to acknowledge the
        # header; asyncio sets it, but not for sockets that do not name their protocol.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return listener
    except OSError as error:
        reason = str(error.strerror or error).partition(" (while")[0]
        raise ServeError(f"cannot listen on {host}:{port}: {reason}; take another --port or --host") from None
