"""A real conversion to NCNN, and the trap of its Python binding, which reads an array's memory in order."""

import sys
from pathlib import Path

import pytest

from dspkd.deploy.bundle.reader import open_bundle
from dspkd.deploy.convert.convert import convert

pytest.importorskip("ncnn", reason="needs ncnn and pnnx")


@pytest.fixture(scope="module")
def converted(bundle, tmp_path_factory):
    out = tmp_path_factory.mktemp("ncnn")
    return convert(open_bundle(bundle), ["ncnn"], out, pythons={"ncnn": Path(sys.executable)})[0], out


def test_ncnn_computes_what_the_bundle_computes(converted):
    record, out = converted
    assert record.verdict == "passes"
    assert sorted(path.name for path in out.glob("model*")) == ["model.fp32.ncnn.bin", "model.fp32.ncnn.param"]


def test_views_that_ncnn_misreads_are_found(converted):
    record, out = converted
    for layout in ("channels last", "every second pixel of a larger image"):
        assert record.layouts[layout].startswith("WRONG WITHOUT AN ERROR")
    assert "copy it first" in (out / "conversion.md").read_text()
