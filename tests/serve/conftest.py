"""A bundle made by hand, a server in a process of its own, a browser."""

import shutil

import pytest

from serving import encoded, lesion, make_bundle, start_server, stop


@pytest.fixture(scope="session")
def bundle_file(tmp_path_factory):
    return make_bundle(tmp_path_factory.mktemp("bundle") / "model.dspkd")


@pytest.fixture(scope="session")
def jpeg():
    return encoded(lesion(), quality=90)


@pytest.fixture(scope="session")
def server(bundle_file):
    """The address of a server of that bundle, in a process of its own."""
    process, address = start_server(bundle_file)
    yield address
    stop(process)


@pytest.fixture(scope="session")
def browser():
    """Chromium; tests that need it skip where it is not installed."""
    path = shutil.which("chromium")
    if path is None:
        pytest.skip("needs chromium: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    quiet = ["gpu", "quic", "background-networking", "component-update", "sync"]
    with sync_playwright() as playwright:
        flags = ["--no-sandbox", "--no-first-run", *(f"--disable-{name}" for name in quiet)]
        chromium = playwright.chromium.launch(executable_path=path, args=flags)
        yield chromium
        chromium.close()
