"""Connections of a server: how many may be open, and how long a client may take to send a header."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable
from typing import Any, ClassVar

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from dspkd.deploy.serve.limits import Limits


class OpenConnections:
    """The open connections by client address, the oldest first. All of it runs on the event loop's thread.

    Parameters
    ----------
    limits
        How many there may be of one address, and in all.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._of: defaultdict[str, dict[BoundedConnection, None]] = defaultdict(dict)
        self.count = 0

    def add(self, new: BoundedConnection) -> None:
        """Add a connection; beyond a limit, close one without a request in its place, or this one if all have one."""
        mine = self._of[new.address]
        mine[new] = None
        self.count += 1
        if len(mine) > self._limits.connections_per_client:
            self._close_one(mine)
        elif self.count > self._limits.connections:
            most = max(self._of, key=lambda address: len(self._of[address]))
            self._close_one(self._of[most])

    def remove(self, closed: BoundedConnection) -> None:
        """Remove a connection that was closed, perhaps by `add`."""
        mine = self._of[closed.address]
        if closed in mine:
            del mine[closed]
            self.count -= 1
        if not mine:
            del self._of[closed.address]  # else every client address would be kept

    def _close_one(self, of: Iterable[BoundedConnection]) -> None:
        connections = list(of)
        closed = next((each for each in connections if not each.busy), connections[-1])
        self.remove(closed)
        closed.transport.abort()


class BoundedConnection(H11Protocol):
    """uvicorn's connection, with a time limit for headers, and one among `open`."""

    limits: ClassVar[Limits]
    open: ClassVar[OpenConnections]

    @classmethod
    def of(cls, limits: Limits) -> type[BoundedConnection]:
        """Return a class of connections with these limits."""
        return type("LimitedConnection", (cls,), {"limits": limits, "open": OpenConnections(limits)})

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.address = "unknown"
        self._timer: asyncio.TimerHandle | None = None

    @property
    def busy(self) -> bool:
        """Whether a request is being received or responded to."""
        return self.cycle is not None and not self.cycle.response_complete

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Count the connection, and wait for its first header."""
        super().connection_made(transport)
        self.address = self.client[0] if self.client else "unknown"
        self._wait_for_header()
        self.open.add(self)

    def data_received(self, data: bytes) -> None:
        """Pass on what arrived; a connection that breaks the protocol while it has a request is closed."""
        try:
            super().data_received(data)
        except (h11.ProtocolError, ValueError):
            self.transport.abort()
        if self.busy or self.transport.is_closing():
            self._stop_waiting()
        elif self._timer is None:
            self._wait_for_header()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is not HTTP; to a request that it is a part of, the client is gone."""
        super().send_400_response(msg)
        if self.busy:
            self.cycle.disconnected = True
            self.cycle.message_event.set()

    def on_response_complete(self) -> None:
        """Wait for the rest of the next header, if a part of it has arrived already."""
        super().on_response_complete()
        if not self.busy and self._timer is None and self.conn.trailing_data[0]:
            self._wait_for_header()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._stop_waiting()
        self.open.remove(self)
        super().connection_lost(exc)

    def _wait_for_header(self) -> None:
        self._timer = self.loop.call_later(self.limits.header_seconds, self._give_up)

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _give_up(self) -> None:
        self._timer = None
        if not self.busy:
            self.transport.abort()
