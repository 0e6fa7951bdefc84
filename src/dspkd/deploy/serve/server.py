"""Run the server until it receives a signal to stop."""

from __future__ import annotations

import logging
import socket
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace

import uvicorn

from dspkd.deploy.bundle.reader import Bundle
from dspkd.deploy.serve import log_limits
from dspkd.deploy.serve.app import create
from dspkd.deploy.serve.connections import BoundedConnection
from dspkd.deploy.serve.limits import Limits
from dspkd.errors import ServeError
from dspkd.runtime.cores import available_cores

_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_NAMES = (*_LOOPBACK, "[::1]")
_ALL_INTERFACES = {
    "0.0.0.0": (socket.AF_INET, "192.0.2.1", "127.0.0.1"),
    "::": (socket.AF_INET6, "2001:db8::1", "::1"),
}
"""Hosts that mean every interface: family, an address that is nowhere (RFC 5737, 3849), and this machine's own."""
_BACKLOG = 128
"""Connections that wait for the server; it may accept as many again before it counts one."""

_OTHER_FILES = 64
"""Descriptors beside connections: the bundle, libraries, pipes to the processes that decode."""


@dataclass(frozen=True, kw_only=True)
class Proxy:
    """A proxy in front of the server.

    Parameters
    ----------
    trusted
        Addresses whose ``X-Forwarded-For`` and ``X-Forwarded-Proto`` are believed, separated by commas.
    prefix
        The path under which clients see the server, such as ``/skin``.
    """

    trusted: str = "127.0.0.1,::1"
    prefix: str = ""


def run(
    bundle: Bundle,
    *,
    host: str,
    port: int,
    workers: int | None,
    token: str | None,
    log: Callable[[str], None],
    keep_alive: int = 5,
    proxy: Proxy | None = None,
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
    keep_alive
        Seconds that a connection may stay open between two requests.
    proxy
        A proxy in front of it.

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
    proxy = proxy or Proxy()
    workers = workers or available_cores()
    limits = replace(Limits(), connections=min(Limits().connections, _connections(workers)))
    local = host in _LOOPBACK
    app = create(
        bundle,
        workers=workers,
        token=token,
        hosts=_NAMES if local else ("*",),
        limits=limits,
    )
    with _listen(host, port) as listener:
        for address in _addresses(host):
            log(f"http://{f'[{address}]' if ':' in address else address}:{listener.getsockname()[1]}")
        if not local and token is None:
            log("warning: other machines can reach this address; protect it by a --token")
        config = uvicorn.Config(
            app,
            log_level="error",
            access_log=False,  # client addresses are personal data
            server_header=False,
            http=BoundedConnection.of(limits),
            ws="none",
            backlog=_BACKLOG,
            forwarded_allow_ips=proxy.trusted,
            root_path=proxy.prefix,
            timeout_keep_alive=keep_alive,
            timeout_graceful_shutdown=limits.stop_seconds,
        )
        log_limits.install()
        uvicorn.Server(config).run(sockets=[listener])


def _addresses(host: str) -> list[str]:
    """Return the addresses that reach a host's name: of all interfaces, this machine's in its network, then its own."""
    if host not in _ALL_INTERFACES:
        return [host]
    family, elsewhere, own = _ALL_INTERFACES[host]
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((elsewhere, 9))  # sends nothing: it chooses the interface
        except OSError:  # no network
            return [own]
        return list(dict.fromkeys((probe.getsockname()[0], own)))


def _silence_upload_errors() -> None:
    """Keep library messages about damaged uploads out of the log: they contain bytes of images, and could fill it."""
    logging.getLogger("python_multipart").setLevel(logging.CRITICAL)
    warnings.filterwarnings("ignore", module="PIL")


def _connections(workers: int) -> int:
    """Raise the limit of open files of this process as far as allowed; return how many connections fit into it."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return Limits().connections
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = Limits().connections + 3 * _BACKLOG + _OTHER_FILES + 4 * workers
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    free = wanted if soft == resource.RLIM_INFINITY else soft
    return max(16, free - 3 * _BACKLOG - _OTHER_FILES - 4 * workers)


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listener = socket.create_server((host, port), family=family, backlog=_BACKLOG)
        # Connections inherit it. Without it the body of a response waits up to 40 ms for the client to acknowledge the
        # header; asyncio sets it, but not for sockets that do not name their protocol.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return listener
    except OSError as error:
        reason = str(error.strerror or error).partition(" (while")[0]
        raise ServeError(f"cannot listen on {host}:{port}: {reason}; take another --port or --host") from None
