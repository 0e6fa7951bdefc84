"""One image in every form gives one prediction; unreadable files are refused by name; no torch is needed."""

import io
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from PIL import Image

from bundles import contents, edited, write
from dspkd.data import decode as training
from dspkd.deploy import Predictor
from dspkd.deploy.bundle import preprocess
from dspkd.deploy.bundle.predictor import softmax
from dspkd.deploy.bundle.preprocess import FORMATS, resized_to
from dspkd.deploy.bundle.spec import Preprocessing
from dspkd.errors import BundleError, DataError


@pytest.fixture(scope="module")
def predictor(bundle):
    return Predictor(bundle, "fp32")


@pytest.fixture
def rgb():
    return np.random.default_rng(5).integers(0, 256, (60, 90, 3), dtype=np.uint8)


def saved(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def test_predictions_are_those_of_the_network_in_the_bundle(predictor, bundle, photographs):
    """By hand: Pillow, the raw session, and a softmax in Python."""
    session = ort.InferenceSession(contents(bundle)["model.fp32.onnx"], providers=["CPUExecutionProvider"])
    for path in photographs[:3]:
        image = Image.open(path).convert("RGB").resize((37, 37), Image.Resampling.BILINEAR).crop((2, 2, 34, 34))
        pixels = (np.asarray(image).astype(np.float32) / np.float32(255)).transpose(2, 0, 1)
        (logits,) = session.run(None, {"images": pixels[None]})
        prediction = predictor.predict(path)
        assert np.array_equal(prediction.logits, logits[0])
        weights = [float(np.exp(np.float64(x) / predictor.bundle.spec.temperature)) for x in logits[0]]
        expected = [weight / sum(weights) for weight in weights]
        assert list(prediction.probabilities) == [each.id for each in predictor.classes]
        assert list(prediction.probabilities.values()) == pytest.approx(expected, abs=1e-12)
        assert (
            prediction.confidence == max(prediction.probabilities.values()) == prediction.probabilities[prediction.top]
        )
        advice = predictor.rule.advise(expected)
        assert (prediction.refer, prediction.advice.reasons) == (advice.refer, advice.reasons)
        assert prediction.advice.not_benign == pytest.approx(advice.not_benign)
        assert set(prediction.seconds) == {"decode", "resize", "network"}
        assert all(0 < taken < 60 for taken in prediction.seconds.values())


def test_probabilities_of_very_large_logits_are_finite():
    assert softmax(np.float32([[2000, 0, -2000]]), 0.5).tolist() == [[1, 0, 0]]


def test_the_advice_follows_the_thresholds_of_the_bundle(bundle, photographs, tmp_path):
    def predict(refer_below, refer_from):
        def change(spec):
            spec["thresholds"].update(refer_below=refer_below, refer_from=refer_from)
            for each in spec["classes"]:
                each["malignancy"] = "benign" if each["id"] == top else "malignant"

        return Predictor(edited(tmp_path / "model.dspkd", contents(bundle), "spec.json", change)).predict(
            photographs[0]
        )

    before = Predictor(bundle).predict(photographs[0])
    top, confidence = before.top, before.confidence
    others = sum(p for name, p in before.probabilities.items() if name != top)
    assert not predict(confidence, float(np.nextafter(others, 2)) + 1e-12).refer
    assert predict(float(np.nextafter(confidence, 2)), 1.0).refer
    assert predict(0.0, others - 1e-12).refer
    assert predict(0.0, 1.0).advice.not_benign == pytest.approx(others)


def test_the_default_precision_is_the_bundles(bundle):
    default = Predictor(bundle)
    assert default.precision == default.bundle.spec.default
    assert Predictor(default.bundle, "int8").precision == "int8"
    with pytest.raises(BundleError, match="has no 'fp16' model; it has fp32, int8"):
        Predictor(bundle, "fp16")


def test_path_bytes_image_and_array_give_one_prediction(predictor, photographs, tmp_path):
    path = photographs[0]
    pixels = np.array(Image.open(path))
    forms = [path, str(path), path.read_bytes(), memoryview(path.read_bytes()), Image.open(path), pixels]
    logits = [prediction.logits for prediction in predictor.predict_many(forms)]
    assert all(np.array_equal(logits[0], other) for other in logits[1:])


def test_a_batch_is_predicted_as_its_images_one_by_one(predictor, photographs):
    images = np.stack([predictor.preprocess(path) for path in photographs[:9]])
    assert images.shape == (9, 3, 32, 32)
    together = predictor.probabilities(images)
    alone = [list(prediction.probabilities.values()) for prediction in predictor.predict_many(photographs[:9])]
    np.testing.assert_allclose(together, alone, atol=1e-5)  # other sums, other rounding
    for bad in (images[0], images.astype(np.float64), images[:, :, :-1], images[:0]):
        with pytest.raises(DataError, match=r"want float32 \[N, 3, 32, 32\], N >= 1"):
            predictor.logits(bad)
    for bad in (255 * images, 2 * images - 1, images + np.float32(0.1), np.where(images > 0.5, np.nan, images)):
        with pytest.raises(DataError, match=r"images: from .*; want \[0, 1\]"):
            predictor.logits(bad)


@pytest.mark.parametrize("threads", [1, 3])
def test_files_are_predicted_in_order_with_errors_in_their_place(predictor, photographs, tmp_path, threads):
    (tmp_path / "bad.jpg").write_bytes(b"no image")
    paths = [*photographs[:2], tmp_path / "bad.jpg", *photographs[2:12]]
    pairs = list(predictor.predict_files(iter(paths), threads=threads))
    assert [path for path, _ in pairs] == paths
    assert isinstance(pairs[2][1], DataError)
    for path, prediction in pairs[:2] + pairs[3:]:
        assert prediction.probabilities == predictor.predict(path).probabilities


def test_few_files_are_in_memory_at_a_time(predictor, photographs):
    taken = []
    next(predictor.predict_files(taken.append(path) or path for path in photographs[:12]))
    assert len(taken) <= 5


def test_threads_share_a_predictor(predictor, photographs):
    expected = [prediction.logits for prediction in map(predictor.predict, photographs[:8])]
    with ThreadPoolExecutor(4) as pool:
        logits_of_all = [each.logits for each in pool.map(predictor.predict, photographs[:8] * 5)]
    for number, logits in enumerate(logits_of_all):
        assert np.array_equal(logits, expected[number % 8])


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
def test_exif_orientation_is_applied_first(rgb, orientation, kind):
    """The eight orientations, each undone by hand."""
    rotated = {
        1: rgb, 2: rgb[:, ::-1], 3: rgb[::-1, ::-1], 4: rgb[::-1], 5: rgb.transpose(1, 0, 2),
        6: np.rot90(rgb), 7: np.rot90(rgb, 2).transpose(1, 0, 2), 8: np.rot90(rgb, -1),
    }[orientation]  # fmt: skip
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if kind == "WEBP" else {}
    content = saved(Image.fromarray(np.ascontiguousarray(rotated)), kind, exif=exif, **options)
    upright = np.asarray(preprocess.decode(content))
    assert np.array_equal(upright, rgb)
    image = Image.open(io.BytesIO(content))
    assert np.array_equal(np.asarray(preprocess.decode(image)), upright)
    if kind != "TIFF":  # which Pillow itself rotates on loading
        assert image.getexif()[0x0112] == orientation  # the caller's image is not changed


def test_other_kinds_of_pixels_become_rgb(rgb):
    grey = rgb[..., 0]
    repeated = np.repeat(grey[..., None], 3, axis=2)
    assert np.array_equal(np.asarray(preprocess.decode(saved(Image.fromarray(grey), "PNG"))), repeated)
    deep = saved(Image.fromarray(grey.astype(np.uint16) * 257), "PNG")
    assert np.array_equal(np.asarray(preprocess.decode(deep)), repeated)
    bits = Image.fromarray(grey).convert("1")
    assert set(np.unique(np.asarray(preprocess.decode(saved(bits, "PNG"))))) == {0, 255}
    palette = Image.fromarray(rgb).quantize(8)
    assert np.array_equal(np.asarray(preprocess.decode(saved(palette, "PNG"))), np.asarray(palette.convert("RGB")))


def test_transparent_pixels_are_laid_over_black(rgb):
    alpha = np.random.default_rng(1).integers(0, 256, rgb.shape[:2], dtype=np.uint8)
    decoded = preprocess.decode(saved(Image.fromarray(np.dstack([rgb, alpha])), "PNG"))
    expected = rgb * (alpha[..., None] / 255)
    assert np.abs(np.asarray(decoded) - expected).max() <= 1  # rounded once in integers


def test_cmyk_becomes_rgb_by_multiplication(rgb):
    cmyk = np.dstack([rgb, rgb[..., ::-1][..., :1]])
    decoded = np.asarray(preprocess.decode(saved(Image.fromarray(cmyk, "CMYK"), "TIFF")))
    expected = (255.0 - rgb) * (255.0 - cmyk[..., 3:]) / 255
    assert np.abs(decoded - expected).max() <= 0.5


def test_of_several_frames_the_first_is_shown(rgb):
    first, second = Image.fromarray(rgb), Image.fromarray(255 - rgb)
    for kind in ("TIFF", "PNG"):
        content = saved(first, kind, save_all=True, append_images=[second])
        assert np.array_equal(np.asarray(preprocess.decode(content)), rgb)
    film = saved(first.quantize(16), "GIF", save_all=True, append_images=[second.quantize(16)])
    assert np.array_equal(np.asarray(preprocess.decode(film)), np.asarray(first.quantize(16).convert("RGB")))


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (b"", "an image: not an image of a known format; known: JPEG, MPO"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not an image of a known format"),
        (np.zeros((4, 4), np.uint8), r"an array: uint8 \[4, 4\]; want uint8 \[H, W, 3\]"),
        (np.zeros((4, 4, 3), np.float32), r"an array: float32 \[4, 4, 3\]; want uint8"),
        (np.zeros((0, 4, 3), np.uint8), r"an array: uint8 \[0, 4, 3\]; want uint8"),
        (np.zeros((1, 33, 3), np.uint8), "33 x 1 pixels; an image may be 32 times as long as wide"),
        (Image.new("RGB", (2, 65)), "an image: 2 x 65 pixels"),
        (Image.new("F", (40, 40)), "floating-point pixels have no known range"),
        (Image.fromarray(np.full((40, 40), 70_000, np.int32)), "are not 16-bit"),
        ([b"", b""], "list; several images are for predict_many"),
        (None, "NoneType; want a file or an image"),
        ("nowhere.jpg", r"nowhere\.jpg: there is no such file"),
    ],
)
def test_a_file_that_is_not_an_image_is_refused(predictor, image, message):
    with pytest.raises(DataError, match=message):
        predictor.predict(image)


def test_a_truncated_file_is_refused(predictor, rgb, tmp_path):
    for kind in ("JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP"):
        content = saved(Image.fromarray(rgb), kind)
        assert Image.open(io.BytesIO(content)).format in FORMATS
        for share in (0.3, 0.7):
            (tmp_path / "cut").write_bytes(content[: int(len(content) * share)])
            with pytest.raises(DataError, match="cut: not a"):
                predictor.predict(tmp_path / "cut")


def test_an_image_of_too_many_pixels_is_refused_before_it_is_decoded(predictor, monkeypatch):
    huge = saved(Image.new("1", (9000, 9000)), "PNG")
    assert len(huge) < 20_000
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 9000 * 9000 - 1)
    with pytest.raises(DataError, match=r"not a readable image: (9000 x 9000 pixels|Image size .81000000)"):
        predictor.predict(huge)


@pytest.mark.parametrize("size", [(3, 2), (2, 3), (600, 450), (601, 449), (1022, 767), (7, 7), (1, 32)])
def test_the_longer_side_is_rounded_half_up(size):
    width, height = resized_to(*size, 73)
    short, long = sorted(size)
    assert min(width, height) == 73
    assert (width <= height) == (size[0] <= size[1])
    exact = long * 73 / short
    assert max(width, height) == int(exact + 0.5)


def test_square_images_are_preprocessed_as_in_training(photographs):
    """Images too small for the scaled decoding of training: the same bits."""
    steps = Preprocessing(37, 32, ())
    for path in photographs[:5]:
        pixels = training.decode(path, short_side=37)[2:34, 2:34].transpose(2, 0, 1)
        assert np.array_equal(preprocess.apply(preprocess.decode(path), steps), pixels / np.float32(255))


def test_artefacts_are_removed_between_resize_and_crop(rgb):
    steps = Preprocessing(37, 32, ("shading",))
    from dspkd.data.artefacts import removed

    small = np.array(Image.fromarray(rgb).resize((56, 37), Image.Resampling.BILINEAR))
    expected = removed(small, ["shading"])[2:34, 12:44].transpose(2, 0, 1) / np.float32(255)
    assert np.array_equal(preprocess.apply(Image.fromarray(rgb), steps), expected)


def test_a_bundle_whose_artefacts_cannot_be_removed_is_refused(bundle, tmp_path, monkeypatch):
    steps = {"artefacts": ["hair"]}
    files = contents(bundle)
    path = edited(tmp_path / "model.dspkd", files, "spec.json", lambda spec: spec["preprocessing"].update(steps))
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(DataError, match=r"OpenCV, which is not installed; pip install 'dspkd\[artefacts\]'"):
        Predictor(path)


def sides(value):
    return value.type.tensor_type.shape.dim


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda model: setattr(sides(model.graph.input[0])[2], "dim_value", 33), "inputs and outputs are|not a model"),
        (lambda model: setattr(sides(model.graph.input[0])[0], "dim_value", 1), "inputs and outputs are"),
        (lambda model: setattr(model.graph.input[0], "name", "x"), "inputs images are not computed"),
        (lambda model: setattr(model.graph.node[0], "op_type", "Evil"), "operator 'Evil' is not one"),
        (
            lambda model: onnx.external_data_helper.set_external_data(model.graph.initializer[0], "/etc/passwd"),
            "weights outside of the file",
        ),
    ],
)  # fmt: skip
def test_a_model_that_does_not_match_the_specification_is_refused(bundle, tmp_path, change, message):
    files = contents(bundle)
    model = onnx.load_from_string(files["model.fp32.onnx"])
    change(model)
    files["model.fp32.onnx"] = model.SerializeToString()
    size = len(files["model.fp32.onnx"])
    write(tmp_path / "bad.dspkd", files)
    edited(tmp_path / "bad.dspkd", files, "spec.json", lambda spec: spec["models"]["fp32"].update(bytes=size))
    with pytest.raises(BundleError, match=message) as refused:
        Predictor(tmp_path / "bad.dspkd", "fp32")
    assert str(refused.value).startswith(f"{tmp_path / 'bad.dspkd'}: model.fp32.onnx: ")
