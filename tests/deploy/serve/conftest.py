"""A bundle made by hand, and a server in its own process."""

from types import SimpleNamespace

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
    """The address of a server of that bundle, in its own process."""
    process, address = start_server(bundle_file)
    yield address
    stop(process)


@pytest.fixture
def traffic():
    """Return the lists of all requests of the page, and of all messages on the browser's console."""
    return SimpleNamespace(requests=[], console=[])


@pytest.fixture
def service_workers():
    """Keep written pages from being stored on the device, which goes on after a test; `test_offline` allows it."""
    return "block"


@pytest.fixture
def page(browser, traffic, service_workers):
    """A page that fails the test on any message on the browser's console."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, service_workers=service_workers)
    page = context.new_page()

    def record(request):  # playwright takes no method of a list
        traffic.requests.append(request)

    page.on("request", record)

    def log(message):
        if message.text != "Service Worker registration blocked by Playwright":
            traffic.console.append(message.text)

    page.on("console", log)
    page.on("pageerror", lambda error: traffic.console.append(str(error)))
    yield page
    context.close()
    assert traffic.console == []
