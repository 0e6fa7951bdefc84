"""Helpers for tests of the page in Chromium."""

import http.server
import threading
from contextlib import contextmanager
from functools import partial

import pytest

from dspkd.deploy.serve import web_page

with_runtime = pytest.mark.skipif(
    not all((web_page.HERE.parent / name).is_file() for name in web_page.RUNTIME),
    reason="needs ONNX Runtime for browsers: make web",
)


class Quiet(http.server.SimpleHTTPRequestHandler):
    """A web server without a log."""

    def log_message(self, *arguments):
        pass


@contextmanager
def serve_folder(folder, handler=Quiet):
    """Serve a folder's files by a plain web server; yield its address."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=folder)) as web:
        threading.Thread(target=web.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{web.server_port}/"
        web.shutdown()


def open_page(page, address, mode=None):
    page.goto(address)
    page.wait_for_selector("body[data-ready]")
    if mode:
        page.check(f"input[value={mode}]")
    return page


def predict(page, name, data):
    """Choose an image on the page, and wait for its heat map."""
    page.set_input_files("#file", {"name": name, "mimeType": "image/jpeg", "buffer": data})
    page.wait_for_selector("#heat-toggle:not([hidden])")
