"""The written page as an app: kept on the device, it opens and predicts without a connection, and nothing is sent."""

import json
import re
from hashlib import sha256

import pytest

from browsing import Quiet, open_page, predict, serve_folder, with_runtime
from command import call
from dspkd.deploy.bundle.reader import open_bundle
from dspkd.deploy.serve import web_page
from serving import make_bundle


@pytest.fixture
def with_stand_ins(monkeypatch):
    """Stand-ins for ONNX Runtime for browsers, whether or not `make web` was run."""
    monkeypatch.setattr(web_page, "RUNTIME", ("static/page.js", "static/page.css"))


@pytest.fixture
def service_workers():
    return "allow"


def service_worker(folder):
    """Return the version and the digests that the service worker of a page has."""
    text = (folder / "service-worker.js").read_text()
    version, files = re.search(r'VERSION = "(\w+)";\nconst FILES = (\{.*?\});', text, re.DOTALL).groups()
    return version, json.loads(files)


def test_every_file_of_the_page_is_kept_with_its_digest(bundle_file, with_stand_ins, tmp_path):
    call("web", bundle_file, "--out", tmp_path / "page")
    written = {
        path.relative_to(tmp_path / "page").as_posix(): sha256(path.read_bytes()).hexdigest()
        for path in (tmp_path / "page").rglob("*")
        if path.is_file()
    }
    del written["service-worker.js"]
    version, files = service_worker(tmp_path / "page")
    assert files == written
    assert len(version) == 16
    manifest = json.loads((tmp_path / "page" / "manifest.json").read_text())
    assert all((tmp_path / "page" / icon["src"]).is_file() for icon in manifest["icons"])
    assert "research only" in manifest["name"]


def test_another_bundle_has_another_version(bundle_file, with_stand_ins, tmp_path):
    call("web", bundle_file, "--out", tmp_path / "one")
    call("web", make_bundle(tmp_path / "int8.dspkd", int8=True), "--out", tmp_path / "two")
    assert service_worker(tmp_path / "one")[0] != service_worker(tmp_path / "two")[0]


def test_a_page_of_a_server_is_not_kept(bundle_file):
    served = {file.path: file for file in web_page.files(open_bundle(bundle_file), server=True)}
    assert b'rel="manifest"' not in served["index.html"].data
    assert not {"manifest.json", "service-worker.js"} & set(served)


def shown(page):
    """Return the prediction on the page, without its date and time and how long it took."""
    return re.sub(r"in \d+ ms| at \d+:\d+", "", page.locator("#prediction").inner_text())


@with_runtime
def test_the_page_predicts_without_a_connection(page, traffic, bundle_file, jpeg, tmp_path):
    call("web", bundle_file, "--out", tmp_path / "page")
    with serve_folder(tmp_path / "page") as address:
        predict(open_page(page, address), "a.jpg", jpeg)
        first = shown(page)
        page.locator("#offline", has_text="without a connection").wait_for()
    # The web server is gone.
    page.context.set_offline(True)
    predict(open_page(page, address), "a.jpg", jpeg)
    assert shown(page) == first
    assert {request.method for request in traffic.requests} == {"GET"}


@with_runtime
def test_a_login_page_in_place_of_a_file_is_not_kept(page, bundle_file, tmp_path):
    """Portals of hotels and hospitals send one for everything; kept, the page would be broken for good."""
    call("web", bundle_file, "--out", tmp_path / "page")

    requested = []

    class Portal(Quiet):
        def do_GET(self):  # noqa: N802, the name that http.server calls
            requested.append(self.path)
            if self.path.endswith("card.md") and any(path.endswith("service-worker.js") for path in requested):
                self.path = "/index.html"
                del self.headers["If-Modified-Since"]
            super().do_GET()

    kept = "async () => [await caches.keys(), (await navigator.serviceWorker.getRegistration())?.active?.state]"
    with serve_folder(tmp_path / "page", Portal) as address:
        open_page(page, address)
        for _ in range(200):  # until the service worker has met it
            if requested.count("/bundle/card.md") == 2 and page.evaluate(kept) == [[], None]:
                break
            page.wait_for_timeout(50)
        assert requested.count("/bundle/card.md") == 2
        assert page.evaluate(kept) == [[], None]


@with_runtime
def test_a_newer_page_replaces_the_kept_one_as_a_whole(page, bundle_file, tmp_path):
    folder = tmp_path / "page"
    call("web", bundle_file, "--out", folder)
    with serve_folder(folder) as address:
        open_page(page, address)
        page.locator("#offline", has_text="without a connection").wait_for()
        digest = page.locator("#bundle-digest").inner_text()
        call("web", make_bundle(tmp_path / "int8.dspkd", int8=True), "--out", tmp_path / "newer")
        folder.rename(tmp_path / "older")
        (tmp_path / "newer").rename(folder)
        open_page(page, address)
        assert page.locator("#bundle-digest").inner_text() == digest  # all of the old version
        page.locator("#offline", has_text="newer version").wait_for()
        context = page.context
        page.close()
        again = open_page(context.new_page(), address)
        assert again.locator("#bundle-digest").inner_text() != digest
        assert len(again.evaluate("() => caches.keys()")) == 1
