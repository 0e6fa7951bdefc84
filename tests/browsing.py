"""The page as tests use it in Chromium."""

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
    """Any web server, less its log."""

    def log_message(self, *arguments):
        pass


@contextmanager
def sent_from(folder):
    """Send a folder's files as any web server does; yield its address."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder)) as web:
        threading.Thread(target=web.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{web.server_port}/"
        web.shutdown()


def opened(page, address, mode=None):
    page.goto(address)
    page.wait_for_selector("body[data-ready]")
    if mode:
        page.check(f"input[value={mode}]")
    return page


def answered(page, name, data):
    """Give the page an image, and wait for the heat map."""
    page.set_input_files("#file", {"name": name, "mimeType": "image/jpeg", "buffer": data})
    page.wait_for_selector("#heat-toggle:not([hidden])")
