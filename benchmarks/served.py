"""A server in its own process, and a client with little overhead; for the benchmarks of the server."""

import asyncio
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

BOUNDARY = "dspkd-benchmark"


@contextmanager
def served(bundle, *options):
    """Start `dspkd serve` on a free port; yield the process and host and port."""
    command = [sys.executable, "-m", "dspkd", "serve", str(bundle), "--port", "0", *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        where = urlsplit(process.stdout.readline().strip())
        yield process, (where.hostname, where.port)
    finally:
        process.terminate()
        process.wait(60)


def multipart(*files, boundary=BOUNDARY):
    """Return a body with these files."""
    parts = []
    for data in files:
        parts += [
            f'--{boundary}\r\nContent-Disposition: form-data; name="files"; filename="a"\r\n\r\n'.encode(),
            data,
            b"\r\n",
        ]
    return b"".join([*parts, f"--{boundary}--\r\n".encode()])


def request(body, path="/predict", content_type=f"multipart/form-data; boundary={BOUNDARY}", more=()):
    """Return the bytes of a POST."""
    head = [
        f"POST {path} HTTP/1.1",
        "Host: localhost",
        f"Content-Type: {content_type}",
        f"Content-Length: {len(body)}",
        *more,
    ]
    return "\r\n".join([*head, "", ""]).encode("latin-1") + body


class Client:
    """A persistent connection, reopened if the server closed it."""

    def __init__(self, address):
        self.address, self.streams = address, None

    async def send(self, data, *, last=False):
        """Send a request, and nothing more if it is the `last`; return the status, 0 where there was none."""
        if self.streams is None:
            self.streams = await asyncio.open_connection(*self.address)
        reader, writer = self.streams
        try:
            writer.write(data)
            if last:
                writer.write_eof()
            head = await reader.readuntil(b"\r\n\r\n")
            while head.startswith(b"HTTP/1.1 100 "):
                head = await reader.readuntil(b"\r\n\r\n")
            length = next(
                (int(line[15:]) for line in head.lower().split(b"\r\n") if line[:15] == b"content-length:"), 0
            )
            await reader.readexactly(length)
        except (ConnectionError, asyncio.IncompleteReadError):
            self.close()
            return 0
        if last or b"connection: close" in head.lower():
            self.close()
        return int(head.split(None, 2)[1])

    def close(self):
        if self.streams:
            self.streams[1].close()
        self.streams = None


def resident(pid):
    """Return the process's resident memory in MB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) / 1000 for line in status.splitlines() if line.startswith("VmRSS"))
