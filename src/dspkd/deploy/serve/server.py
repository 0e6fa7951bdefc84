"""Run the server until it is told to stop."""

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
    bundle: Bundle, *, host: str, port: int, workers: int | None, token: str | None, say: Callable[[str], None]
) -> None:
    """Answer about images until SIGTERM or Ctrl-C, and then finish what is running.

    Parameters
    ----------
    bundle
        What answers.
    host, port
        Where to listen; port 0 takes a free one.
    workers
        Networks that run at once; None takes one for each core that this process may use.
    token
        See `dspkd.deploy.serve.app.create`.
    say
        Is told the address once the server listens.

    Raises
    ------
    BundleError
        The bundle is not what it says.
    ServeError
        The address is not this machine's, or taken; or the token is not one that a header can carry.
    """
    if token is not None and not (token.isascii() and token.isprintable() and len(token.split()) == 1):
        raise ServeError("the token must be printable ASCII without spaces, and not empty")
    _say_nothing_of_uploads()
    limits = Limits()
    local = host in _LOOPBACK
    app = create(
        bundle,
        workers=workers or _cores(),
        token=token,
        hosts=_LOOPBACK if local else ("*",),
        limits=limits,
    )
    with _listening(host, port) as listener:
        say(f"http://{host}:{listener.getsockname()[1]}")
        if not local and token is None:
            say("warning: other machines can reach this address, and no --token keeps them out")
        config = uvicorn.Config(
            app,
            log_level="error",
            access_log=False,  # who asked about an image is nobody's business
            server_header=False,
            limit_concurrency=_CONNECTIONS,
            timeout_graceful_shutdown=limits.stop_seconds,
        )
        uvicorn.Server(config).run(sockets=[listener])


def _say_nothing_of_uploads() -> None:
    """Keep what libraries tell of damaged uploads, bytes of them included, out of the log, which anybody could fill."""
    logging.getLogger("python_multipart").setLevel(logging.CRITICAL)
    warnings.filterwarnings("ignore", module="PIL")


def _cores() -> int:
    return available_cores()


def _listening(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listener = socket.create_server((host, port), family=family, backlog=2048)
        # Connections inherit it. Without, the body of an answer waits up to 40 ms for the client to confirm its head;
        # asyncio would see to it, but not for sockets that do not name their protocol.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return listener
    except OSError as error:
        why = str(error.strerror or error).partition(" (while")[0]
        raise ServeError(f"cannot listen on {host}:{port}: {why}; take another --port or --host") from None
