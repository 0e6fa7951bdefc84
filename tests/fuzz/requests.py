"""Requests with changed images, forms and headers: none may crash a server, hang it or give a status of 500."""

import atexit
import select
import socket
from urllib.parse import urlsplit

from dspkd.errors import DataError
from fuzz.mutations import in_bytes
from fuzz.originals import images
from serving import encoded, lesion, make_bundle, start_server, stop

BOUNDARY = "dspkd-fuzz"
SECONDS, SECONDS_TO_WAIT = 60, 2
TYPES = [
    "",
    "image/jpeg",
    "multipart/form-data",
    "multipart/form-data; boundary=",
    'multipart/form-data; boundary="',
    "multipart/form-data; boundary=a b",
    "multipart/form-data; boundary=\xff",
    "multipart/form-data; boundary=" + "x" * 300,
    "multipart/form-data; charset=utf-7; boundary=" + BOUNDARY,
    "multipart/mixed; boundary=b",
]
HEADERS = [
    "Accept-Encoding: \xff",
    "Authorization: Bearer \xff",
    "Content-Encoding: gzip",
    "Content-Length: 99999999999999999999",
    "Cookie: a=b",
    "Expect: 100-continue",
    "Range: bytes=0-",
    "Transfer-Encoding: chunked",
    "X-Forwarded-For: 1.2.3.4",
    "X: " + "y" * 5000,
]
PATHS = [
    *("/predict",) * 3,
    "/heatmap",
    "/heatmap?class_id=NV",
    "/heatmap?class_id=%ff",
    "/predict?x=" + "y" * 200,
    "/metrics",
    "/static/../../etc/passwd",
    "/static/%2e%2e%2f%00",
    "//",
    "/" + "z" * 70_000,
]


class Requests:
    """Requests to one server, which must respond as before after each."""

    together = 20

    def __init__(self, folder):
        process, address = start_server(make_bundle(folder / "model.dspkd"), "--workers", "1")
        atexit.register(stop, process)
        where = urlsplit(address)
        self.address, self.originals = (where.hostname, where.port), images()
        self.valid = request(multipart(encoded(lesion())))

    def write(self, draw, folder):
        path = folder / "request.bin"
        path.write_bytes(self._drawn(draw))
        return path

    def use(self, path):
        status = self._status(path.read_bytes())
        assert status < 500, f"status {status}"
        assert (after := self._status(self.valid)) == 200, f"afterwards {after} for a valid image"
        if status != 200:
            raise DataError(f"status {status}")

    def _drawn(self, draw):
        files = [
            in_bytes(draw.choice(self.originals), draw, self.originals) for _ in range(draw.choice([1, 1, 1, 2, 9]))
        ]
        body, content_type = multipart(*files), f"multipart/form-data; boundary={BOUNDARY}"
        where = draw.random()
        if where > 0.7:
            start = draw.random() < 0.5
            body = in_bytes(body[:200], draw) + body[200:] if start else body[:-60] + in_bytes(body[-60:], draw)
        if where > 0.85:
            content_type = draw.choice(TYPES)
        sent = request(body, draw.choice(PATHS), content_type, draw.sample(HEADERS, draw.choice([0, 0, 1, 2])))
        return in_bytes(sent[:150], draw) + sent[150:] if draw.random() < 0.05 else sent

    def _status(self, data):
        """Send a request and nothing more; return the status, 0 where there was none."""
        with socket.create_connection(self.address, timeout=SECONDS) as connection:
            try:
                connection.sendall(data)
                if not select.select([connection], [], [], SECONDS_TO_WAIT)[0]:
                    connection.shutdown(socket.SHUT_WR)  # it waits for a body that is longer than what there is
                received = b""
                while len(received) < 10_000 and (more := connection.recv(65_536)):
                    received += more
            except (BrokenPipeError, ConnectionError):  # it need not read all of what it refuses
                return 0
        head = received.removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n").split(None, 2)
        return int(head[1]) if len(head) > 1 else 0


def multipart(*files):
    """Return a form with these files."""
    head = 'Content-Disposition: form-data; name="files"; filename="a"'
    parts = [f"--{BOUNDARY}\r\n{head}\r\n\r\n".encode() + data + b"\r\n" for data in files]
    return b"".join([*parts, f"--{BOUNDARY}--\r\n".encode()])


def request(body, path="/predict", content_type=f"multipart/form-data; boundary={BOUNDARY}", more=()):
    """Return the bytes of a POST."""
    head = [f"POST {path} HTTP/1.1", "Host: localhost", "Connection: close", f"Content-Type: {content_type}", *more]
    if not any(line.startswith("Content-Length") for line in more):
        head.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*head, "", ""]).encode("latin-1") + body
