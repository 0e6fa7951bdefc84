import importlib.util
from pathlib import Path

import pytest

spec = importlib.util.spec_from_file_location("web", Path(__file__).with_name("web.py"))
web = importlib.util.module_from_spec(spec)
spec.loader.exec_module(web)


@pytest.fixture
def serve(monkeypatch):
    """What serves ``{name: bytes}`` on this machine, past any proxy."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    return web.served
