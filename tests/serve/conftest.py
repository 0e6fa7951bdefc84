"""A bundle made by hand, a server in a process of its own."""

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
