"""A bundle made by hand, a server in a process of its own."""

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
    """The address of a server of that bundle, in a process of its own."""
    process, address = start_server(bundle_file)
    yield address
    stop(process)


@pytest.fixture
def heard():
    """Every request that the page makes, and every complaint of the browser."""
    return SimpleNamespace(asked=[], complaints=[])


@pytest.fixture
def page(browser, heard):
    """A page that fails the test on any complaint of the browser."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()

    def asked(request):  # playwright takes no method of a list
        heard.asked.append(request)

    page.on("request", asked)
    page.on("console", lambda message: heard.complaints.append(message.text))
    page.on("pageerror", lambda error: heard.complaints.append(str(error)))
    yield page
    context.close()
    assert heard.complaints == []
