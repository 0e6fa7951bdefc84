"""Both modes of the page in Chromium against the Predictor, and to whom an image is sent."""

import numpy as np
import pytest
from PIL import Image

from browsing import open_page, predict, with_runtime
from dspkd.deploy import Predictor
from serving import encoded, lesion, make_bundle, start_server, stop

TOLERANCE = 1e-3
"""The documented limit. Measured: no pixel differs, probabilities by less than 1e-5."""

NETS = """async (mode) => {
  const { onDevice } = await import("/static/device.js");
  const { onServer } = await import("/static/server.js");
  const { decode, preprocess } = await import("/static/image.js");
  const fetchJson = async (name) => (await fetch(`/bundle/${name}.json`)).json();
  const [spec, about] = [await fetchJson("spec"), await fetchJson("about")];
  const net = mode === "device" ? onDevice(spec, about, () => ({})) : onServer(() => ({}), about.digest);
  const results = [];
  await net.load();
  for (const file of document.getElementById("probe").files) {
    try {
      const prediction = await net.predict(file);
      const pixels = preprocess(await decode(file), spec.preprocessing).map((v) => Math.round(255 * v));
      const heat = await net.heatMap(file, prediction.top, () => {});
      results.push({ ...prediction, pixels: Array.from(pixels), heat });
    } catch (error) { results.push({ error: error.message }); }
  }
  return results;
}"""


def predict_files(page, address, mode, files):
    """Return a mode's predictions for files, by the modules that the page uses."""
    open_page(page, address)
    page.evaluate(
        "() => document.body.append(Object.assign(document.createElement('input'), "
        "{ type: 'file', multiple: true, id: 'probe' }))"
    )
    page.set_input_files("#probe", [str(file) for file in files])
    return page.evaluate(NETS, mode)


def kinds(folder):
    """Write one image in each form that phones and cameras write; return the files."""
    image = lesion(5, size=380).crop((0, 0, 380, 287))
    rotated = Image.Exif()
    alpha = image.convert("RGBA")
    alpha.putalpha(Image.fromarray(np.tile(np.linspace(0, 255, 380).astype(np.uint8), (287, 1))))
    written = {
        "420.jpg": encoded(image, quality=85),
        "444.jpg": encoded(image, subsampling=0),
        "progressive.jpg": encoded(image, progressive=True),
        "grey.jpg": encoded(image.convert("L")),
        "small.jpg": encoded(image.resize((43, 33))),
        "mpo.jpg": encoded(image, "MPO"),
        "rgb.png": encoded(image, "PNG"),
        "tall.png": encoded(image.crop((100, 0, 225, 287)), "PNG"),
        "alpha.png": encoded(alpha, "PNG"),
        "1bit.png": encoded(image.convert("1"), "PNG"),
        "palette.png": encoded(image.quantize(64), "PNG"),
        "lossy.webp": encoded(image, "WEBP", quality=80),
        "alpha.webp": encoded(alpha, "WEBP", lossless=True),
    }
    for orientation in (3, 6, 7):
        rotated[274] = orientation
        written[f"rotated{orientation}.jpg"] = encoded(image, exif=rotated)
        written[f"rotated{orientation}.png"] = encoded(image, "PNG", exif=rotated)
    for name, data in written.items():
        (folder / name).write_bytes(data)
    return [folder / name for name in written]


def compare(predictions, files, predictor, *, exact=True):
    for one, file in zip(predictions, files, strict=True):
        expected = predictor.predict(file)
        assert "error" not in one or one["error"] is None, (file.name, one["error"])
        assert one["probabilities"] == pytest.approx(dict(expected.probabilities), abs=TOLERANCE), file.name
        assert (one["top"], one["refer"]) == (expected.top, expected.refer), file.name
        assert (one["advice"], one["reasons"]) == (expected.advice.sentence, list(expected.advice.reasons)), file.name
        assert one["not_benign"] == pytest.approx(expected.advice.not_benign, abs=TOLERANCE)
        pixels = np.rint(predictor.preprocess(file) * 255).astype(int).ravel()
        difference = abs(np.array(one["pixels"]) - pixels).max()
        assert difference <= (0 if exact else 3), (file.name, difference)


@with_runtime
@pytest.mark.parametrize("mode", ["device", "server"])
def test_each_mode_predicts_as_the_predictor_for_every_format(page, server, bundle_file, tmp_path, mode):
    files = kinds(tmp_path)
    compare(predict_files(page, server, mode, files), files, Predictor(bundle_file))


@with_runtime
def test_both_modes_predict_as_the_predictor_for_real_images(page, server, bundle_file, shared):
    files = []
    for folder in ("dermoscopy-224-mini", "dermoscopy-288-mini", "clinical-mini"):
        files += sorted((shared / "data" / folder).rglob("*.jpg"))[::60][:4]
        files += sorted((shared / "data" / folder).rglob("*.png"))[::60][:4]
    predictions = {mode: predict_files(page, server, mode, files) for mode in ("device", "server")}
    for of_mode in predictions.values():
        compare(of_mode, files, Predictor(bundle_file), exact=False)  # decoders of JPEG may differ by a unit or two
    for device, on_server in zip(predictions["device"], predictions["server"], strict=True):
        np.testing.assert_allclose(device["heat"], on_server["heat"], atol=TOLERANCE)


@with_runtime
def test_of_an_int8_bundle_both_modes_run_int8(page, tmp_path, shared):
    path = make_bundle(tmp_path / "int8.dspkd", int8=True, size=37, short_side=41)  # no number of cells divides it
    files = kinds(tmp_path) + sorted((shared / "data" / "dermoscopy-224-mini").rglob("*.jpg"))[:4]
    fp32, default = Predictor(path, "fp32"), Predictor(path)
    assert default.precision == "int8"
    differences = [
        max(abs(fp32.predict(file).probabilities[key] - p) for key, p in default.predict(file).probabilities.items())
        for file in files
    ]
    assert max(differences) > TOLERANCE  # else the test could not distinguish the networks
    process, address = start_server(path)
    predictions = {mode: predict_files(page, address, mode, files) for mode in ("device", "server")}
    stop(process)
    for of_mode in predictions.values():
        compare(of_mode, files, default)
        assert {one["precision"] for one in of_mode} == {"int8"}
    for device, on_server in zip(predictions["device"], predictions["server"], strict=True):
        np.testing.assert_allclose(device["heat"], on_server["heat"], atol=TOLERANCE)


@with_runtime
def test_files_that_browsers_decode_differently_are_refused_on_the_device(page, server, tmp_path):
    rotated = Image.Exif()
    rotated[274] = 6
    grey16 = Image.fromarray(np.arange(64 * 64, dtype=np.uint16).reshape(64, 64) * 16)
    written = {
        "CMYK": encoded(lesion().convert("CMYK")), "16 bits": encoded(grey16, "PNG"),
        "too long": encoded(lesion().resize((990, 30))),
        "not a JPEG": b"GIF89a", "damaged": b"\xff\xd8\xff" + bytes(50),
    }  # fmt: skip
    for name, data in written.items():
        (tmp_path / name).write_bytes(data)
    results = predict_files(page, server, "device", [tmp_path / name for name in written])
    for name, one in zip(written, results, strict=True):
        assert name in one.get("error", ""), (name, one)


@with_runtime
def test_on_the_device_the_image_is_not_sent(page, traffic, server, jpeg):
    open_page(page, server, "device")
    predict(page, "lesion.jpg", jpeg)
    assert {request.url.split("/")[2] for request in traffic.requests} == {server.split("/")[2]}
    assert {request.method for request in traffic.requests} == {"GET"}
    assert all("?" not in request.url for request in traffic.requests)
    before = len(traffic.requests)
    predict(page, "lesion.jpg", encoded(lesion(2)))
    assert len(traffic.requests) == before  # the network is loaded: no further request


def test_the_image_is_sent_to_the_server_alone_without_its_name(page, traffic, server, jpeg):
    open_page(page, server, "server")
    predict(page, "Jane Doe.jpg", jpeg)
    posted = [request for request in traffic.requests if request.method == "POST"]
    assert {request.url.removeprefix(server).split("?")[0] for request in posted} == {"/predict", "/heatmap"}
    assert {request.url.split("/")[2] for request in traffic.requests} == {server.split("/")[2]}
    assert all(b"Jane" not in (request.post_data_buffer or b"") for request in posted)
