"""The page as tests use it in Chromium."""

import pytest

from dspkd.serve import site

with_runtime = pytest.mark.skipif(
    not all((site.HERE.parent / name).is_file() for name in site.RUNTIME),
    reason="needs ONNX Runtime for browsers: make web",
)


def opened(page, address, mode=None):
    page.goto(address)
    page.wait_for_selector("body[data-ready]")
    if mode:
        page.check(f"input[value={mode}]")
    return page


def answered(page, name, data):
    """Give the page a picture, and wait for the heat map."""
    page.set_input_files("#file", {"name": name, "mimeType": "image/jpeg", "buffer": data})
    page.wait_for_selector("#heat-toggle:not([hidden])")
