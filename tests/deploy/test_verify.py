"""Errors in a bundle that its manifest does not show are found by its golden cases, without a crash."""

import io
import json
import re

import numpy as np
import pytest
from PIL import Image

from bundles import contents, edited, write
from dspkd.deploy.bundle.golden_cases import GOLDEN
from dspkd.deploy.bundle.reader import open_bundle
from dspkd.deploy.bundle.verify import verify


@pytest.fixture(scope="module")
def files(bundle):
    return contents(bundle)


def failures(path):
    """Return ``{check: detail}`` of the checks that fail."""
    return {check.name: check.detail for check in verify(open_bundle(path)) if not check.passed}


def png(pixels):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def test_an_unchanged_bundle_passes(files, tmp_path):
    assert failures(write(tmp_path / "same.dspkd", files)) == {}


def test_a_changed_pixel_of_a_golden_image_fails_preprocessing_alone(files, tmp_path):
    pixels = np.array(Image.open(io.BytesIO(files["golden/lying.png"])))
    height, width = pixels.shape[:2]
    pixels[height // 2, width // 2, 1] ^= 64
    failed = failures(write(tmp_path / "bad.dspkd", {**files, "golden/lying.png": png(pixels)}))
    assert set(failed) == {"preprocessing"}
    assert "golden/lying.png: " in failed["preprocessing"]
    assert "values differ, by up to" in failed["preprocessing"]


def test_an_expected_image_one_bit_off_fails_preprocessing(files, tmp_path):
    images = np.frombuffer(files["golden/pictures.f32"], "<f4").copy()
    images[500] = np.nextafter(images[500], 2)
    failed = failures(write(tmp_path / "bad.dspkd", {**files, "golden/pictures.f32": images.tobytes()}))
    assert set(failed) == {"preprocessing"}


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_a_logit_or_probability_beyond_the_tolerance_fails_and_one_within_passes(files, tmp_path, precision):
    name = f"golden/logits.{precision}.f32"
    golden = json.loads(files[GOLDEN])["answers"][precision]
    logits = np.frombuffer(files[name], "<f4").reshape(golden["shape"])
    for share, names in ((0.5, set()), (2.0, {precision})):
        moved = logits.copy()
        moved[1, 2] += np.float32(share * golden["tolerance"])
        assert set(failures(write(tmp_path / "moved.dspkd", {**files, name: moved.tobytes()}))) == names

    by = golden["tolerance"] / (2 * json.loads(files["spec.json"])["temperature"]) + 1e-6
    for share, names in ((0.5, set()), (1.5, {precision})):

        def shift(golden, by=share * by):
            golden["answers"][precision]["probabilities"][0][0] += by

        assert set(failures(edited(tmp_path / "shifted.dspkd", files, GOLDEN, shift))) == names

    def endless(golden):
        golden["answers"][precision]["probabilities"][0][0] = 10**400

    failed = failures(edited(tmp_path / "endless.dspkd", files, GOLDEN, endless))
    assert "probabilities: want a list of numbers" in failed[precision]


def test_a_file_changed_after_opening_fails(files, tmp_path):
    opened = open_bundle(write(tmp_path / "model.dspkd", files))
    write(tmp_path / "model.dspkd", {**files, "card.md": files["card.md"].swapcase()})
    assert [check.name for check in verify(opened) if not check.passed] == ["files"]


def test_too_many_golden_images_fail_before_any_is_read(files, tmp_path):
    golden = json.loads(files[GOLDEN])
    images = np.frombuffer(files["golden/pictures.f32"], "<f4").reshape(golden["pictures"]["shape"])
    golden["images"] = golden["images"][:1] * 65
    golden["pictures"]["shape"][0] = 65
    many = {GOLDEN: json.dumps(golden).encode(), "golden/pictures.f32": np.repeat(images[:1], 65, axis=0).tobytes()}
    failed = failures(write(tmp_path / "many.dspkd", files | many))
    assert "65 images, 65 preprocessed; want as many, 1 to 16" in failed["preprocessing"]


def test_swapped_models_fail(files, tmp_path):
    def swap(spec):
        spec["models"]["fp32"], spec["models"]["int8"] = spec["models"]["int8"], spec["models"]["fp32"]

    assert "fp32" in failures(edited(tmp_path / "bad.dspkd", files, "spec.json", swap))


def test_another_short_side_fails(files, tmp_path):
    change = {"short_side": 36}
    path = edited(
        tmp_path / "bad.dspkd", files, "spec.json", lambda spec: spec["preprocessing"]["resize"].update(change)
    )
    assert set(failures(path)) == {"preprocessing"}


@pytest.mark.parametrize(
    ("change", "name", "message"),
    [
        (lambda g: g.pop("images"), "golden cases", "images is missing"),
        (lambda g: g["pictures"].update(shape=[10**12, 10**12]), "golden cases", "bytes, which are not"),
        (lambda g: g["pictures"].update(shape=[-4, -3, 32, 32]), "golden cases", "want positive whole numbers"),
        (lambda g: g["pictures"].update(shape=[True, 4]), "golden cases", "want positive whole numbers"),
        (lambda g: g["pictures"].update(file="../../etc/passwd"), "golden cases", "has no ../../etc/passwd"),
        (lambda g: g["answers"].pop("int8"), "golden cases", "answers and models do not match: int8"),
        (lambda g: g["answers"].update(fp16={}), "golden cases", "answers and models do not match: fp16"),
        (lambda g: g.update(images=[]), "preprocessing", "0 images, 5 preprocessed; want as many, 1 to 16"),
        (lambda g: g.update(images=["spec.json"] * 5), "preprocessing", "not an image of a known format"),
        (lambda g: g["answers"]["fp32"].update(tolerance="all"), "fp32", "tolerance: 'all'; want a number"),
        (
            lambda g: g["answers"]["fp32"].update(probabilities=[["a"]]),
            "fp32",
            "want a list of numbers for each image",
        ),
        (lambda g: g["answers"]["fp32"].update(probabilities=[[1.0], [1.0, 2.0]]), "fp32", "want a list of numbers"),
        (lambda g: g["answers"]["fp32"].update(shape=[8, 5]), "fp32", "[8, 5] logits; want [5, 8]"),
    ],
)
def test_broken_golden_cases_fail(files, tmp_path, change, name, message):
    failed = failures(edited(tmp_path / "bad.dspkd", files, GOLDEN, change))
    assert set(failed) == {name}
    assert message in failed[name]


def test_a_huge_golden_image_fails_before_it_is_decoded(files, tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100_000)
    huge = png(np.zeros((400, 400), np.uint8))
    failed = failures(write(tmp_path / "bad.dspkd", {**files, "golden/grey.png": huge}))
    assert re.search("400 x 400 pixels are more than|160000 pixels. exceeds limit", failed["preprocessing"])


def test_an_invalid_model_fails_and_the_other_is_still_checked(files, tmp_path):
    broken = {**files, "model.fp32.onnx": b"no model"}
    path = edited(tmp_path / "bad.dspkd", broken, "spec.json", lambda spec: spec["models"]["fp32"].update(bytes=8))
    assert "not a network as dspkd export writes it" in failures(path)["fp32"]
    assert [check.name for check in verify(open_bundle(path)) if check.passed] == ["files", "int8"]
