"""Connections beyond the limits, slow headers, and a log that no client can fill."""

import asyncio
import contextlib
import logging
from types import SimpleNamespace

import httpx
import pytest
import uvicorn

from dspkd.deploy.serve.connections import BoundedConnection, OpenConnections
from dspkd.deploy.serve.limits import Limits
from dspkd.deploy.serve.log_limits import OneAMinute


class Connection:
    def __init__(self, address, *, busy=False):
        self.address, self.busy, self.closed = address, busy, False
        self.transport = SimpleNamespace(abort=lambda: setattr(self, "closed", True))


def opened(limits, *connections):
    among = OpenConnections(limits)
    for each in connections:
        among.add(each)
    return among


def test_one_more_of_an_address_closes_its_oldest_without_a_request():
    mine = [Connection("a", busy=number == 0) for number in range(4)]
    other = Connection("b")
    among = opened(Limits(connections_per_client=3), other, *mine)
    assert [each.closed for each in [other, *mine]] == [False, False, True, False, False]
    assert among.count == 4
    busy = [Connection("a", busy=True) for _ in range(3)]
    late = Connection("a")
    opened(Limits(connections_per_client=3), *busy, late)
    assert [each.closed for each in [*busy, late]] == [False, False, False, True]


def test_one_more_in_all_closes_one_of_the_address_with_most():
    many, few = [Connection("a") for _ in range(3)], [Connection("b")]
    among = opened(Limits(connections=4), *few, *many, late := Connection("c"))
    assert [each.closed for each in [*few, *many, late]] == [False, True, False, False, False]
    for each in [*few, *many, late]:
        among.remove(each)
        among.remove(each)
    assert (among.count, among._of) == (0, {})


async def ok(scope, receive, send):
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


def served(conversation, **limits):
    """Run a conversation with a server of these limits, on a port of this machine."""

    async def run():
        kind = BoundedConnection.of(Limits(**limits))
        config = uvicorn.Config(ok, port=0, http=kind, lifespan="off", log_level="error", timeout_keep_alive=60)
        server = uvicorn.Server(config)
        server.install_signal_handlers = lambda: None
        task = asyncio.create_task(server.serve())
        while not server.started:
            await asyncio.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        try:
            return await asyncio.wait_for(conversation(port), 60)
        finally:
            server.should_exit = True
            await task

    return asyncio.run(run())


@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\nHost: a\r\n", b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /"])
def test_a_header_that_does_not_arrive_closes_the_connection(sent):
    async def conversation(port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(sent)
        answer = b""
        with contextlib.suppress(ConnectionError):
            answer = await reader.read()
        writer.close()
        return answer

    assert served(conversation, header_seconds=0.3).count(b"200 OK") == sent.count(b"\r\n\r\n")


def test_a_client_with_idle_connections_is_still_served():
    async def conversation(port):
        idle = [await asyncio.open_connection("127.0.0.1", port) for _ in range(12)]
        async with httpx.AsyncClient() as client:
            response = await client.get(f"http://127.0.0.1:{port}/")
        for _, writer in idle:
            writer.close()
        return response.status_code

    assert served(conversation, connections_per_client=4) == 200


def test_garbage_after_a_request_is_no_traceback(caplog):
    async def conversation(port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n\x00\x00")
        with contextlib.suppress(ConnectionError):
            await reader.read()
        writer.close()

    served(conversation)
    assert [record for record in caplog.records if record.exc_info] == []


def test_one_message_of_a_kind_is_logged_a_minute(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("dspkd.deploy.serve.log_limits.time", SimpleNamespace(monotonic=lambda: now[0]))
    limit = OneAMinute()

    def logged(line, error=None):
        info = (error, error(), None) if error else None
        return limit.filter(logging.LogRecord("uvicorn.error", logging.ERROR, "a.py", line, "m", (), info))

    assert [logged(1), logged(1), logged(2), logged(1, ValueError), logged(1, ValueError)] == [
        True, False, True, True, False,
    ]  # fmt: skip
    now[0] = 61.0
    assert logged(1)
