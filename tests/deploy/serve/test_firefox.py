"""The written page in Firefox, which is driven by its own remote control, Marionette: a length and JSON over TCP."""

import itertools
import json
import shutil
import socket
import subprocess
import time

import pytest

from browsing import serve_folder, with_runtime
from command import call
from dspkd.deploy import Predictor

ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
"""The key of an element's name in WebDriver."""


class Firefox:
    """A window without a screen."""

    def __init__(self, profile):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        profile.mkdir()
        (profile / "user.js").write_text(f'user_pref("marionette.port", {port});\n')
        command = [shutil.which("firefox-esr") or shutil.which("firefox"), "--headless", "--marionette"]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self.process = subprocess.Popen([*command, "--profile", str(profile)], **quiet)
        self.numbers = itertools.count()
        for _ in range(120):
            time.sleep(0.5)
            try:
                self.connection = socket.create_connection(("127.0.0.1", port), timeout=60)
                break
            except ConnectionRefusedError:
                continue
        self.wire = self.connection.makefile("rwb")
        self._receive()
        self.send("NewSession")

    def close(self):
        self.wire.close()
        self.connection.close()
        self.process.terminate()
        self.process.wait()

    def send(self, command, **parameters):
        """Send a command of WebDriver; return its result."""
        message = json.dumps([0, next(self.numbers), f"WebDriver:{command}", parameters]).encode()
        self.wire.write(b"%d:%s" % (len(message), message))
        self.wire.flush()
        _, _, error, result = self._receive()
        assert error is None, error
        return result

    def _receive(self):
        length = b""
        while (byte := self.wire.read(1)) != b":":
            length += byte
        return json.loads(self.wire.read(int(length)))

    def value(self, expression):
        return self.send("ExecuteScript", script=f"return {expression}", args=[])["value"]

    def wait(self, expression):
        """Wait until an expression is true; fail with what the page says instead."""
        until = time.monotonic() + 60
        while not self.value(expression):
            assert not self.value("!document.querySelector('#error').hidden"), self.value("document.body.innerText")
            assert time.monotonic() < until, self.value("document.body.innerText")
            time.sleep(0.1)

    def predict(self, address, path):
        """Open the page and choose a file; return the prediction that it shows."""
        self.send("Navigate", url=address)
        self.wait("'ready' in document.body.dataset")
        file = self.send("FindElement", using="css selector", value="#file")["value"][ELEMENT]
        self.send("ElementSendKeys", id=file, text=str(path))
        self.wait("!document.querySelector('#heat-toggle').hidden")
        return self.value("document.querySelector('#prediction').innerText")


@pytest.fixture(scope="module")
def firefox(tmp_path_factory):
    if not (shutil.which("firefox-esr") or shutil.which("firefox")):
        pytest.skip("needs firefox: apt-get install firefox-esr")
    window = Firefox(tmp_path_factory.mktemp("firefox") / "profile")
    yield window
    window.close()


@with_runtime
def test_the_page_predicts_as_the_predictor_and_without_a_connection(firefox, bundle_file, jpeg, tmp_path):
    image = tmp_path / "lesion.jpg"
    image.write_bytes(jpeg)
    call("web", bundle_file, "--out", tmp_path / "page")
    with serve_folder(tmp_path / "page") as address:
        shown = firefox.predict(address, image)
        firefox.wait("document.querySelector('#offline').innerText.includes('without a connection')")
    for probability in Predictor(bundle_file).predict(image).probabilities.values():
        assert f"{100 * probability:.1f}" in shown
    # The web server is gone.
    again = firefox.predict(address, image)
    assert again.splitlines()[0] == shown.splitlines()[0]
