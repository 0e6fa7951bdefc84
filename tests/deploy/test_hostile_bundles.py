"""Bundles that were made to harm: refused with one line by everything that opens them."""

import json
import subprocess
import sys

import numpy as np
import pytest
from onnx import helper

from bundles import contents, edited, write
from command import call, refused
from dspkd.deploy import Predictor
from dspkd.deploy.bundle import network as runtime
from dspkd.deploy.bundle import reader
from dspkd.deploy.bundle.golden_cases import GOLDEN
from dspkd.errors import BundleError
from hostile_networks import four, of
from serving import encoded, lesion, make_bundle


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A bundle of a random network, with golden cases for its tolerance alone."""
    members = contents(make_bundle(tmp_path_factory.mktemp("plain") / "model.dspkd"))
    logits = np.float32([[0, 1, 2, 3]])
    golden = {
        "images": ["golden/a.png"],
        "pictures": {"file": "golden/pictures.f32", "shape": [1, 3, 32, 32]},
        "answers": {"fp32": {"file": "golden/logits.f32", "shape": [1, 4], "tolerance": 0.001, "probabilities": []}},
    }
    return members | {
        GOLDEN: json.dumps(golden).encode(),
        "golden/a.png": encoded(lesion(), "PNG"),
        "golden/pictures.f32": bytes(4 * 3 * 32 * 32),
        "golden/logits.f32": logits.tobytes(),
    }


def change(*keys, to):
    def apply(content):
        for key in keys[:-1]:
            content = content[key]
        content[keys[-1]] = to

    return apply


SPECS = {
    "never refers": change("thresholds", "refer_below", to=-1e308),
    "never refers by the sum": change("thresholds", "refer_from", to=1e308),
    "threshold of many digits": change("thresholds", "refer_from", to=10**400),
    "infinite threshold": change("thresholds", "refer_below", to=float("inf")),
    "flat": change("temperature", to=1e300),
    "sharp": change("temperature", to=1e-300),
    "escape sequence": change("classes", 0, "id", to="\x1b[2J\x1b[1;1HBenign"),
    "half of a pair": change("classes", 0, "name", to="\ud800"),
    "backwards": change("classes", 0, "name", to="\u202egnineb"),
    "several lines": change("classes", 0, "name", to="a\nno diagnosis"),
    "end of a line": change("classes", 0, "id", to="MEL\n"),
    "carriage return": change("classes", 0, "name", to="MEL\r"),
    "tab": change("classes", 0, "id", to="M\tEL"),
    "tab in a sentence": change("not_a_diagnosis", to="No\tdiagnosis."),
    "line separator": change("name", to="a\u2028b"),
    "a long name": change("classes", 0, "name", to="x" * 100_000),
    "another model": change("models", "fp16", to={"file": "model.fp32.onnx", "bytes": 1}),
    "huge": change("preprocessing", "crop", "size", to=10**300),
    "a hidden key": lambda content: content.update({"\x1b[2J": 1}),
    "a long value": change("preprocessing", "scale", to="y" * 500_000),
}


@pytest.mark.parametrize("name", SPECS)
def test_a_hostile_specification_is_one_short_line(files, tmp_path, name):
    path = edited(tmp_path / "bad.dspkd", files, "spec.json", SPECS[name])
    for command in (["verify", path], ["predict", path, tmp_path / "a.png"], ["serve", path]):
        line = refused(*command)
        assert "bad.dspkd: " in line
        assert line.isprintable()
        assert len(line) < 500


@pytest.mark.parametrize("tolerance", [1e308, 1e6, 2.0, -1.0, float("nan"), float("inf"), 10**400])
def test_a_tolerance_with_which_any_output_would_pass_is_refused(files, tmp_path, tolerance):
    path = edited(tmp_path / "bad.dspkd", files, GOLDEN, change("answers", "fp32", "tolerance", to=tolerance))
    with pytest.raises(BundleError, match=r"tolerance|golden\.json: not JSON"):
        Predictor(path)
    out, _ = call("verify", path, code=1)
    assert "NOT VERIFIED" in out


def test_a_shape_of_many_sides_is_refused(files, tmp_path):
    path = edited(tmp_path / "bad.dspkd", files, GOLDEN, change("answers", "fp32", "shape", to=[9] * 100_000))
    with pytest.raises(BundleError, match=r"shape .* at most 4"):
        Predictor(path)


def with_network(files, tmp_path, model):
    members = files | {"model.fp32.onnx": model}
    return edited(tmp_path / "bad.dspkd", members, "spec.json", change("models", "fp32", "bytes", to=len(model)))


def slicing(shape):
    """Return a network that declares four logits for each image, and computes others."""
    nodes = [
        helper.make_node("Flatten", ["images"], ["pixels"]),
        helper.make_node("Slice", ["pixels", "starts", "ends", "axes"], ["logits"]),
    ]
    starts = {"starts": np.int64([0, 0]), "axes": np.int64([0, 1])}
    return of(nodes, starts | {"ends": np.int64(shape)})


@pytest.mark.parametrize(("shape", "message"), [([1, 3], "want"), ([0, 4], "want"), ([1, 0], "want")])
def test_a_network_that_computes_something_else_than_it_declares_is_refused(files, tmp_path, shape, message):
    path = with_network(files, tmp_path, slicing(shape))
    with pytest.raises(BundleError, match=rf"not a model that ONNX Runtime|{message}"):
        Predictor(path)
    assert "bad.dspkd" in refused("predict", path, tmp_path / "a.png")


def test_a_network_that_fails_or_gives_no_numbers_is_refused(files, tmp_path):
    reshaped = four("r", {"s": np.int64([7])}, before=[helper.make_node("Reshape", ["images", "s"], ["r"])])
    nan = four("n", {"zero": np.float32([0])}, before=[helper.make_node("Div", ["images", "zero"], ["n"])])
    for model in (reshaped, nan):
        with pytest.raises(BundleError, match=r"does not run|not a model|not finite"):
            Predictor(with_network(files, tmp_path, model))


def test_images_are_computed_one_by_one_as_the_first_was_tried(files, tmp_path):
    predictor = Predictor(with_network(files, tmp_path, four("images")))  # which would mix the images of a batch
    images = np.random.default_rng(0).random((3, 3, 32, 32), np.float32)
    alone = np.concatenate([predictor.logits(image[None]) for image in images])
    assert np.array_equal(predictor.logits(images), alone)


def test_libraries_are_imported_before_memory_is_limited(tmp_path):
    program = """
import sys
from pathlib import Path
from dspkd.cli.bundle_limits import limited

with limited(Path("model.dspkd")):
    print(sorted({"numpy", "onnxruntime"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", program], check=True, timeout=100, capture_output=True, text=True)
    assert done.stdout == "['numpy', 'onnxruntime']\n"


def test_a_network_that_takes_too_long_is_stopped(files, tmp_path, monkeypatch):
    monkeypatch.setattr(runtime, "TRIAL_SECONDS", 0.3)
    weights = {"column": np.ones((900, 1), np.float32), "row": np.ones((1, 900), np.float32)}
    before = [
        helper.make_node("ReduceMean", ["images"], ["high"], keepdims=0),
        helper.make_node("Add", ["column", "high"], ["tall"]),
        helper.make_node("MatMul", ["tall", "row"], ["m0"]),
        *(helper.make_node("MatMul", [f"m{n}", "m0"], [f"m{n + 1}"]) for n in range(400)),
    ]
    with pytest.raises(BundleError, match="takes more than"):
        Predictor(with_network(files, tmp_path, four("m400", weights, before=before)))


def test_a_directory_of_too_many_members_is_refused_before_it_is_read(files, tmp_path, monkeypatch):
    path = write(tmp_path / "many.dspkd", {f"m{number}": b"" for number in range(70_000)})
    monkeypatch.setattr(reader.zipfile, "ZipFile", lambda *_: pytest.fail("the directory was read"))
    with pytest.raises(BundleError, match="members; a bundle has at most 256"):
        reader.open_bundle(path)
    path.write_bytes(path.read_bytes() + b"more")
    with pytest.raises(BundleError, match="does not end as a zip file"):
        reader.open_bundle(path)
