"""Converting a bundle: what passes, what fails and is not written, and what is said of each file."""

import json
import re
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dspkd.deploy.bundle.reader import open_bundle
from dspkd.deploy.convert import environments, formats, kept_images
from dspkd.deploy.convert.convert import convert
from dspkd.deploy.convert.kept_images import KeptImages
from dspkd.errors import BundleError

FAKE = formats.PhoneFormat(
    "fake", "Fake", (), str(Path(__file__).parent / "fake_worker.py"), "int8", (".fake",), advice="Mind the gap."
)


@pytest.fixture(autouse=True)
def fake(monkeypatch):
    """Add a format whose converter copies the graph and whose runtime is ONNX Runtime; FAULT makes it wrong."""
    monkeypatch.setitem(formats.FORMATS, "fake", FAKE)
    return monkeypatch


@pytest.fixture
def converted(bundle, tmp_path, monkeypatch):
    """Return a function that converts with a fault, and returns the records and the folder."""

    def run(fault="", **options):
        monkeypatch.setenv("FAULT", fault)
        options = {"formats": ["fake"], "pythons": {"fake": Path(sys.executable)}} | options
        return convert(open_bundle(bundle), out=tmp_path / "out", **options), tmp_path / "out"

    return run


@pytest.fixture
def kept(bundle, tmp_path):
    """Keep 60 noise images in three classes, as lesions of two images."""
    opened = open_bundle(bundle)
    side = opened.spec.preprocessing.size
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (60, 3, side, side), dtype=np.uint8)
    names = tuple(f"I{n}" for n in range(60))
    groups = tuple(f"L{n // 2}" for n in range(60))
    path = tmp_path / "images.npz"
    kept_images.save(path, opened, KeptImages(images[:9], images, names, groups, np.arange(60) % 3))
    return path


def test_a_right_file_is_written_with_its_certificate(converted):
    (record,), out = converted("off by little")
    assert record.verdict == "passes"
    assert record.error == pytest.approx(2e-5, rel=0.1)
    assert record.files == {"model.fp32.fake": (out / "model.fp32.fake").stat().st_size}
    assert set(record.layouts.values()) == {"right"}
    assert record.milliseconds > 0
    assert record.onnx_milliseconds > 0
    page = (out / "conversion.md").read_text()
    assert "Mind the gap." in page
    assert "no validation images were given" in page
    assert json.loads((out / "conversion.json").read_text())["files"][0]["verdict"] == "passes"
    assert json.loads((out / "spec.json").read_text())["classes"]


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        ("off", "differs by 0.0002, more than 0.0001"),
        ("nan", "not finite"),
        ("crash", "cannot convert: .*unknown operator"),
        ("nothing written", r"wrote no model\.fp32\.fake"),
    ],
)
def test_a_wrong_file_is_not_written_unless_it_is_asked_for(converted, fault, why):
    (record,), out = converted(fault)
    assert record.verdict.startswith("FAILS")
    assert re.search(why, record.verdict)
    assert not list(out.glob("*.fake"))
    assert "**FAILS**" in (out / "conversion.md").read_text()
    if fault == "off":
        _, out = converted(fault, keep_failed=True)
        assert [path.name for path in out.glob("*.fake")] == ["FAILED.model.fp32.fake"]


def test_a_file_of_an_earlier_conversion_does_not_stay_beside_a_certificate_that_fails(converted):
    _, out = converted()
    assert (out / "model.fp32.fake").exists()
    converted("off")
    assert not list(out.glob("*.fake"))


def test_a_runtime_that_misreads_a_layout_is_marked(converted):
    (record,), out = converted("reads memory in order")
    assert record.verdict == "passes"
    assert record.layouts["contiguous, [1, 3, S, S] float32"] == "right"
    assert record.layouts["channels last"].startswith("WRONG WITHOUT AN ERROR, by ")
    assert "| channels last | **WRONG WITHOUT AN ERROR" in (out / "conversion.md").read_text()


def test_a_runtime_that_refuses_a_layout_is_quoted(converted):
    (record,), _ = converted("refuses views")
    assert record.layouts["channels last"] == "refused: not contiguous"


def test_kept_images_measure_recall_and_the_gate_decides_about_int8(converted, kept):
    (fp32, int8), out = converted("no calibration", smaller=True, images=kept)
    assert fp32.verdict == "passes"
    assert fp32.images == int8.images == 60
    assert int8.agreement == 1.0
    assert all(each.before == each.after for each in int8.recall.values())
    assert "rests on too few images" in int8.verdict  # equal, but 60 images do not show it
    assert not (out / "model.int8.fake").exists()
    assert "## Recall on the validation images" in (out / "conversion.md").read_text()


def test_a_file_in_float32_must_be_right_on_validation_images_too(converted, kept, monkeypatch):
    from dspkd.deploy.convert import measured

    def right(outputs, *_):
        return 0.0, []

    monkeypatch.setattr(measured, "of_golden", right)
    (record,), _ = converted("off", images=kept)
    assert "a logit of a validation image differs by 0.0002" in record.verdict


def test_a_class_may_not_lose_its_images():
    from dspkd.deploy.convert import measured
    from dspkd.evaluation.predictions import Predictions

    labels, names = np.repeat([0, 1], 50), tuple(map(str, range(100)))
    before = np.eye(2, dtype=np.float32)[labels]
    after = before.copy()
    after[:3] = [0, 1]
    of = [Predictions(("A", "B"), names, names, labels, logits) for logits in (before, after)]
    agreement, recall, problems = measured.of_validation(*of, [], "int8", 0.02)
    assert (agreement, recall["A"].after, recall["B"].after) == (0.97, 0.94, 1.0)
    assert problems == ["loses 3 of the 50 images of A"]
    after[1:3] = [1, 0]
    assert measured.of_validation(*of, [], "int8", 0.02)[2] == []


def test_images_of_another_bundle_are_refused(bundle, kept):
    other = replace(open_bundle(bundle), digest="0" * 64)
    with pytest.raises(BundleError, match="kept for the bundle"):
        kept_images.load(kept, other)


@pytest.mark.parametrize("damage", ["missing", "cut", "text", "shape", "label"])
def test_damaged_kept_images_are_refused(bundle, kept, damage):
    if damage == "missing":
        kept.unlink()
    elif damage == "cut":
        kept.write_bytes(kept.read_bytes()[:2000])
    elif damage == "text":
        kept.write_text("id,label")
    else:
        loaded = kept_images.load(kept, open_bundle(bundle))
        wrong = {"shape": {"images": loaded.images[:, :, :5]}, "label": {"labels": loaded.labels + 90}}[damage]
        kept_images.save(kept, open_bundle(bundle), replace(loaded, **wrong))
    with pytest.raises(BundleError, match=r"images\.npz"):
        kept_images.load(kept, open_bundle(bundle))


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"formats": ["litter"]}, "litert"),
        ({"formats": []}, "name at least one format"),
        ({"smaller": True}, "--keep-images"),
        ({"pythons": {"coreml": Path("python")}}, "--python coreml"),
        ({"pythons": {"fake": Path("/no/such/python")}}, "no such program"),
    ],
)
def test_wrong_requests_are_refused_before_anything_is_written(converted, tmp_path, options, why):
    with pytest.raises(BundleError, match=why):
        converted(**options)
    assert not list((tmp_path / "out").glob("*.*"))


def test_what_cannot_run_here_is_marked_and_can_be_run_elsewhere(converted, fake, tmp_path):
    fake.setitem(formats.FORMATS, "coreml", replace(FAKE, name="coreml", title="Core ML", runs_on=("elsewhere",)))
    (record,), out = converted(formats=["coreml"], pythons={"coreml": Path(sys.executable)})
    assert record.verdict == "NEVER RUN"
    assert (out / "model.fp32.fake").exists()
    assert "# NEVER RUN: model.fp32.fake" in (out / "conversion.md").read_text()
    stub = tmp_path / "stub"
    stub.mkdir()
    (stub / "coremltools.py").write_text(STUB)
    for scale, code, verdict in (("1", 0, "passes on golden images"), ("1.01", 1, "FAILS: a logit")):
        done = subprocess.run(
            [sys.executable, out / "run_on_a_mac.py"],
            check=False,
            env={"PYTHONPATH": str(stub), "SCALE": scale, "PATH": ""},
            capture_output=True,
            text=True,
        )
        assert done.returncode == code, done.stderr
        assert verdict in done.stdout
        assert verdict in (out / "conversion.md").read_text()
        assert json.loads((out / "conversion.json").read_text())["files"][0]["verdict"].startswith(verdict)


STUB = """
import os
import numpy as np
import onnxruntime as ort
__version__ = "0"
class models:
    class MLModel:
        def __init__(self, path):
            self.session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
        def predict(self, given):
            return {"logits": self.session.run(None, given)[0] * float(os.environ["SCALE"])}
"""


def test_an_environment_is_made_once_and_a_failed_installation_names_the_remedy(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    ran = []

    def install(step, **_):
        ran.append(step)
        if "venv" in step:
            Path(step[-1]).mkdir(parents=True, exist_ok=True)
        return subprocess.CompletedProcess(step, int("no-such-package" in step))

    monkeypatch.setattr(environments.subprocess, "run", install)
    logged = []
    first, second = (environments.python_for(FAKE, None, logged.append) for _ in range(2))
    assert first == second
    assert len(ran) == 2
    assert len(logged) == 1
    broken = replace(FAKE, requirements=("no-such-package",))
    for _ in range(2):
        with pytest.raises(BundleError, match="--python fake=PATH"):
            environments.python_for(broken, None, logged.append)
    assert len(ran) == 6  # a failed one is not taken for an installed one
    environments.python_for(replace(FAKE, requirements=("a",), alone=("b",)), None, logged.append)
    assert [step[-2:] for step in ran[-2:]] == [["--no-input", "a"], ["--no-deps", "b"]]


def test_a_worker_that_does_not_end_is_stopped(converted, monkeypatch):
    from dspkd.deploy.convert import worker_process

    monkeypatch.setattr(worker_process, "_HOURS", 1e-5)
    started = time.perf_counter()
    (record,), _ = converted()
    assert "not done after" in record.verdict
    assert time.perf_counter() - started < 20
