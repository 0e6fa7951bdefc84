"""What may lie together in a folder of converted files: networks and the specification of one bundle, nothing else."""

import json
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bundles import contents, edited
from dspkd.deploy.bundle.reader import open_bundle
from dspkd.deploy.convert import certificate, formats
from dspkd.deploy.convert import convert as conversion
from dspkd.deploy.convert.convert import convert
from dspkd.deploy.convert.measured import ClassRecall, Measured
from dspkd.deploy.export.int8_gate import Change
from dspkd.errors import BundleError, DataError

FAKE = formats.PhoneFormat("fake", "Fake", (), str(Path(__file__).parent / "fake_worker.py"), "int8", (".fake",))
OTHER = replace(FAKE, name="other", title="Other", suffixes=(".other",))
PYTHONS = {each.name: Path(sys.executable) for each in (FAKE, OTHER)}


@pytest.fixture(autouse=True)
def fakes(monkeypatch):
    for each in (FAKE, OTHER):
        monkeypatch.setitem(formats.FORMATS, each.name, each)


def to(bundle, out, *names):
    return convert(open_bundle(bundle), names, out, pythons={name: PYTHONS[name] for name in names})


@pytest.fixture
def second(bundle, tmp_path):
    """Return a bundle that differs in the order of its classes."""
    return edited(tmp_path / "second.dspkd", contents(bundle), "spec.json", lambda spec: spec["classes"].reverse())


@pytest.mark.parametrize("name", ["fake", "other"])
def test_a_folder_of_another_bundle_is_refused_and_stays_as_it_was(bundle, second, tmp_path, name):
    out = tmp_path / "phone"
    to(bundle, out, "fake")
    before = {path.name: path.read_bytes() for path in out.glob("*.*") if path.is_file()}
    with pytest.raises(BundleError, match=r"has files of the bundle .*another folder"):
        to(second, out, name)
    assert {path.name: path.read_bytes() for path in out.glob("*.*") if path.is_file()} == before


def test_a_file_that_the_certificate_would_not_name_is_refused(bundle, tmp_path):
    to(bundle, tmp_path, "fake")
    with pytest.raises(BundleError, match=r"has model\.fp32\.fake, which this conversion does not make again"):
        to(bundle, tmp_path, "other")
    to(bundle, tmp_path, "fake", "other")
    assert {path.name for path in tmp_path.glob("model.*.*")} == {"model.fp32.fake", "model.fp32.other"}


def test_a_folder_without_a_readable_certificate_is_refused(bundle, tmp_path):
    (tmp_path / "conversion.json").write_text("[]")
    with pytest.raises(BundleError, match="not a certificate"):
        to(bundle, tmp_path, "fake")
    (tmp_path / "conversion.json").unlink()
    (tmp_path / "model.int8.other").write_text("of whom?")
    with pytest.raises(BundleError, match=r"has model\.int8\.other"):
        to(bundle, tmp_path, "fake")


def test_a_conversion_that_is_stopped_changes_nothing(bundle, tmp_path, monkeypatch):
    to(bundle, tmp_path, "fake", "other")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}

    def stop(line):
        if line.startswith("Fake"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        convert(open_bundle(bundle), ["fake", "other"], tmp_path, pythons=PYTHONS, log=stop)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()} == before
    assert not list(tmp_path.glob(".unfinished*"))


@pytest.mark.parametrize("moved", range(1, 8))
def test_wherever_moving_is_stopped_no_network_lies_without_its_certificate(bundle, tmp_path, monkeypatch, moved):
    put, left = Path.replace, [moved]

    def stop(self, target):
        if self.parent.name.startswith(".unfinished"):
            left[0] -= 1
            if left[0] < 0:
                raise KeyboardInterrupt
        return put(self, target)

    monkeypatch.setattr(Path, "replace", stop)
    with suppress(KeyboardInterrupt):
        to(bundle, tmp_path, "fake")
    assert not list(tmp_path.glob("model.*.*")) or {"conversion.json", "spec.json"} <= {
        p.name for p in tmp_path.iterdir()
    }


def test_the_golden_images_of_the_bundle_lie_beside_the_files_for_an_app_to_compare(bundle, tmp_path):
    to(bundle, tmp_path, "fake")
    golden = {name: content for name, content in contents(bundle).items() if name.startswith("golden/")}
    assert {Path(name).suffix for name in golden} == {".json", ".png", ".f32"}
    for name, content in golden.items():
        assert (tmp_path / name).read_bytes() == content


def made(**changes):
    values = {"format": "fake", "precision": "fp32", "files": {}, "error": 0.0, "of_default": True} | changes
    return Measured(**values)


CHANGE = Change("recall of MEL", 90, 90, 0.9, 0.9, -0.02, 0.02)


@pytest.mark.parametrize(
    ("changes", "hold"),
    [
        ({}, True),
        ({"of_default": False}, False),
        ({"error": None}, False),
        ({"problems": ("wrong",)}, False),
        ({"precision": "int8"}, False),
        ({"precision": "int8", "changes": (CHANGE,)}, True),
        ({"precision": "int8", "changes": (CHANGE,), "of_default": False}, False),
    ],
)
def test_thresholds_hold_only_for_a_file_for_which_they_were_measured(changes, hold):
    expected = "yes" if hold else "no: always refer"
    record = made(**changes)
    assert record.to_json()["thresholds measured for this file"] == record.thresholds == expected


def test_a_bundle_without_thresholds_always_refers(bundle, tmp_path):
    opened = open_bundle(bundle)
    (record,) = to(bundle, tmp_path, "fake")
    holds = opened.spec.default == "fp32" and opened.spec.refer_from is not None
    assert record.thresholds == ("yes" if holds else "no: always refer")
    assert ("**no: always refer** |" in (tmp_path / "conversion.md").read_text()) == (not holds)


def test_a_class_name_with_a_bar_shifts_no_column(bundle, tmp_path):
    recall = {"nv | mole": ClassRecall(5000, 0.9998, 1.0)}
    record = made(files={"model.fp32.fake": 3}, recall=recall, milliseconds=1.0, onnx_milliseconds=1.0)
    certificate.write(tmp_path, open_bundle(bundle), [record], np.zeros((1, 3, 2, 2), np.uint8), np.zeros((1, 3)))
    page = (tmp_path / "conversion.md").read_text()
    assert r"| nv \| mole | 5,000 | more than 99.9 % | 100.0 % |" in page


def test_a_validation_image_without_a_finite_logit_fails_the_file_and_the_certificate_is_written(
    bundle, tmp_path, monkeypatch
):
    def broken(*_):
        raise DataError("logits of 1 of 60 images are not finite")

    monkeypatch.setattr(conversion, "_measured", broken)
    (record,) = to(bundle, tmp_path, "fake")
    assert record.verdict == "FAILS: logits of 1 of 60 images are not finite"
    assert json.loads((tmp_path / "conversion.json").read_text())["files"][0]["verdict"] == record.verdict
    assert not list(tmp_path.glob("model.*.*"))
