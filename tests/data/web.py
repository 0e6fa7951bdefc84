"""A server for tests with programmed failures."""

import hashlib
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread


class Site:
    """Files, and the failure of each request in turn; when that list is used up, requests succeed."""

    def __init__(self, files):
        self.files, self.plan, self.seen, self.url = dict(files), [], [], ""
        self.tags = True
        """Whether responses have an ETag."""


def tag(content):
    return f'"{hashlib.md5(content).hexdigest()}"'


class Responses(BaseHTTPRequestHandler):
    """Respond by the plan of `server.site`: "ok", a status, or (failure, number of bytes)."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        site = self.server.site
        act = site.plan.pop(0) if site.plan else "ok"
        what, argument = act if isinstance(act, tuple) else (act, None)
        requested = self.headers.get("Range")
        site.seen.append((self.path, requested))
        self.close_connection = True
        if isinstance(what, int):
            self.send_response(what)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        if what == "hang up":
            return
        if what == "silence":
            time.sleep(0.4)
            return
        if what == "change":
            site.files[self.path.strip("/")] = argument
        content = site.files.get(self.path.strip("/"))
        if content is None:
            self.send_error(404)
            return
        self.send_file(site, content, what, argument, requested)

    def send_file(self, site, content, what, argument, requested):
        name, start = tag(content), 0
        same = self.headers.get("If-Range") in (None, name) or what == "lie"
        if requested and same and what != "no ranges":
            start = int(requested.removeprefix("bytes=").removesuffix("-"))
            if start >= len(content):
                self.send_error(416)
                return
        if what == "shift":
            start += argument
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        body = content[start:]
        if what == "wrong":
            body = bytes(255 - byte for byte in body)
        if what != "no length":
            self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Type", "text/html" if what == "page" else "application/octet-stream")
        if site.tags and what != "lie":
            self.send_header("ETag", name)
        self.end_headers()
        self.wfile.write(body[:argument] if what in ("drop", "stall", "no length") else body)
        if what == "stall":
            self.wfile.flush()
            time.sleep(0.4)


@contextmanager
def served(files):
    """Serve `files`, ``{name: bytes}``, on this machine."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Responses)
    server.site = Site(files)
    server.site.url = f"http://127.0.0.1:{server.server_port}"
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server.site
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
