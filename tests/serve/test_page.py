"""The page in Chromium: both modes against the Predictor, privacy, keyboard, phone, errors."""

import http.server
import threading
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from command import call
from dspkd.deploy import Predictor
from dspkd.serve import site
from serving import CLASSES, NOTICE, encoded, lesion, make_bundle, start_server, stop

TOLERANCE = 1e-3
"""What is promised. Measured: no pixel differs, probabilities by less than 1e-5."""

NETS = """async (mode) => {
  const { onDevice } = await import("/static/device.js");
  const { onServer } = await import("/static/server.js");
  const { decode, picture } = await import("/static/picture.js");
  const fetched = async (name) => (await fetch(`/bundle/${name}.json`)).json();
  const [spec, about] = [await fetched("spec"), await fetched("about")];
  const net = mode === "device" ? onDevice(spec, about, () => ({})) : onServer(() => ({}));
  const said = [];
  await net.ready();
  for (const file of document.getElementById("probe").files) {
    try {
      const answer = await net.answer(file);
      const pixels = picture(await decode(file), spec.preprocessing).map((v) => Math.round(255 * v));
      said.push({ ...answer, pixels: Array.from(pixels), heat: await net.heat(file, answer.top, () => {}) });
    } catch (error) { said.push({ error: error.message }); }
  }
  return said;
}"""

with_runtime = pytest.mark.skipif(
    not all((site.HERE.parent / name).is_file() for name in site.RUNTIME),
    reason="needs ONNX Runtime for browsers: make web",
)


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Any web server, less its log."""

    def log_message(self, *arguments):
        pass


@pytest.fixture
def heard():
    """Every request that the page makes, and every complaint of the browser."""
    return SimpleNamespace(asked=[], complaints=[])


@pytest.fixture
def page(browser, heard):
    """A page that fails the test on any complaint of the browser."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()

    def asked(request):  # playwright takes no method of a list
        heard.asked.append(request)

    page.on("request", asked)
    page.on("console", lambda message: heard.complaints.append(message.text))
    page.on("pageerror", lambda error: heard.complaints.append(str(error)))
    yield page
    context.close()
    assert heard.complaints == []


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


def ask(page, address, mode, files):
    """Return what a mode says of each file, by the modules that the page uses."""
    opened(page, address)
    page.evaluate(
        "() => document.body.append(Object.assign(document.createElement('input'), "
        "{ type: 'file', multiple: true, id: 'probe' }))"
    )
    page.set_input_files("#probe", [str(file) for file in files])
    return page.evaluate(NETS, mode)


def kinds(folder):
    """Write one picture in each form that phones and cameras write; return the files."""
    picture = lesion(5, size=380).crop((0, 0, 380, 287))
    turned = Image.Exif()
    alpha = picture.convert("RGBA")
    alpha.putalpha(Image.fromarray(np.tile(np.linspace(0, 255, 380).astype(np.uint8), (287, 1))))
    written = {
        "420.jpg": encoded(picture, quality=85),
        "444.jpg": encoded(picture, subsampling=0),
        "progressive.jpg": encoded(picture, progressive=True),
        "grey.jpg": encoded(picture.convert("L")),
        "small.jpg": encoded(picture.resize((19, 14))),
        "mpo.jpg": encoded(picture, "MPO"),
        "rgb.png": encoded(picture, "PNG"),
        "alpha.png": encoded(alpha, "PNG"),
        "1bit.png": encoded(picture.convert("1"), "PNG"),
        "palette.png": encoded(picture.quantize(64), "PNG"),
        "lossy.webp": encoded(picture, "WEBP", quality=80),
        "alpha.webp": encoded(alpha, "WEBP", lossless=True),
    }
    for orientation in (3, 6, 7):
        turned[274] = orientation
        written[f"turned{orientation}.jpg"] = encoded(picture, exif=turned)
        written[f"turned{orientation}.png"] = encoded(picture, "PNG", exif=turned)
    for name, data in written.items():
        (folder / name).write_bytes(data)
    return [folder / name for name in written]


def compare(said, files, predictor, *, exact=True):
    for one, file in zip(said, files, strict=True):
        wanted = predictor.predict(file)
        assert "error" not in one or one["error"] is None, (file.name, one["error"])
        assert one["probabilities"] == pytest.approx(dict(wanted.probabilities), abs=TOLERANCE), file.name
        assert (one["top"], one["refer"]) == (wanted.top, wanted.refer), file.name
        pixels = np.rint(predictor.preprocess(file) * 255).astype(int).ravel()
        far = abs(np.array(one["pixels"]) - pixels).max()
        assert far <= (0 if exact else 3), (file.name, far)


@with_runtime
@pytest.mark.parametrize("mode", ["device", "server"])
def test_a_mode_says_what_the_predictor_says_of_every_form(page, server, bundle_file, tmp_path, mode):
    files = kinds(tmp_path)
    compare(ask(page, server, mode, files), files, Predictor(bundle_file))


@with_runtime
def test_both_modes_say_what_the_predictor_says_of_real_pictures(page, server, bundle_file, shared):
    files = []
    for folder in ("dermoscopy-224-mini", "dermoscopy-288-mini", "clinical-mini"):
        files += sorted((shared / "data" / folder).rglob("*.jpg"))[::60][:4]
        files += sorted((shared / "data" / folder).rglob("*.png"))[::60][:4]
    said = {mode: ask(page, server, mode, files) for mode in ("device", "server")}
    for answers in said.values():
        compare(answers, files, Predictor(bundle_file), exact=False)  # decoders of JPEG may differ by a unit or two
    for device, on_server in zip(said["device"], said["server"], strict=True):
        np.testing.assert_allclose(device["heat"], on_server["heat"], atol=TOLERANCE)


@with_runtime
def test_of_an_int8_bundle_the_device_runs_fp32_and_the_server_what_the_bundle_names(page, tmp_path):
    path = make_bundle(tmp_path / "int8.dspkd", int8=True)
    files = kinds(tmp_path)
    fp32, default = Predictor(path, "fp32"), Predictor(path)
    assert default.precision == "int8"
    apart = [
        max(abs(fp32.predict(file).probabilities[key] - p) for key, p in default.predict(file).probabilities.items())
        for file in files
    ]
    assert max(apart) > TOLERANCE  # else the test could not tell the networks apart
    process, address = start_server(path)
    said = {mode: ask(page, address, mode, files) for mode in ("device", "server")}
    stop(process)
    compare(said["device"], files, fp32)
    compare(said["server"], files, default)


@with_runtime
def test_what_browsers_decode_differently_is_refused_on_the_device(page, server, tmp_path):
    turned = Image.Exif()
    turned[274] = 6
    grey16 = Image.fromarray(np.arange(64 * 64, dtype=np.uint16).reshape(64, 64) * 16)
    written = {
        "CMYK": encoded(lesion().convert("CMYK")), "16 bits": encoded(grey16, "PNG"),
        "to be turned": encoded(lesion(), "WEBP", exif=turned), "too long": encoded(lesion().resize((990, 30))),
        "no JPEG": b"GIF89a", "damaged": b"\xff\xd8\xff" + bytes(50),
    }  # fmt: skip
    for name, data in written.items():
        (tmp_path / name).write_bytes(data)
    said = ask(page, server, "device", [tmp_path / name for name in written])
    for name, one in zip(written, said, strict=True):
        assert name in one.get("error", ""), (name, one)


@with_runtime
def test_on_the_device_the_picture_is_sent_nowhere(page, heard, server, jpeg):
    opened(page, server, "device")
    answered(page, "lesion.jpg", jpeg)
    assert {request.url.split("/")[2] for request in heard.asked} == {server.split("/")[2]}
    assert {request.method for request in heard.asked} == {"GET"}
    assert all("?" not in request.url for request in heard.asked)
    before = len(heard.asked)
    answered(page, "lesion.jpg", encoded(lesion(2)))
    assert len(heard.asked) == before  # the network is there: nothing at all is asked for


def test_on_the_server_it_is_sent_to_it_alone_without_its_name(page, heard, server, jpeg):
    opened(page, server, "server")
    answered(page, "Jane Doe.jpg", jpeg)
    posted = [request for request in heard.asked if request.method == "POST"]
    assert {request.url.removeprefix(server).split("?")[0] for request in posted} == {"/predict", "/heatmap"}
    assert {request.url.split("/")[2] for request in heard.asked} == {server.split("/")[2]}
    assert all(b"Jane" not in (request.post_data_buffer or b"") for request in posted)


def test_the_page_shows_the_answer_in_plain_words(page, server, bundle_file, jpeg):
    opened(page, server, "server")
    assert "no diagnosis and no medical device" in page.inner_text("header")
    answered(page, "lesion.jpg", jpeg)
    wanted = Predictor(bundle_file).predict(jpeg)
    plain = {known["id"]: known for known in CLASSES}
    assert page.inner_text("#top-name") == plain[wanted.top]["name"]
    assert page.inner_text("#top-meaning") == plain[wanted.top]["meaning"]
    assert page.inner_text("#top-share") == f"{100 * wanted.confidence:.1f} %"
    ranked = sorted(wanted.probabilities, key=lambda key: -wanted.probabilities[key])
    rows = [row.split("\n")[0].split("\t")[0] for row in page.locator("#rows th").all_inner_texts()]
    assert rows == [plain[key]["name"] for key in ranked]
    assert NOTICE in page.inner_text("#made")
    assert wanted.refer == ("Not sure: refer" in page.inner_text("#advice"))
    assert f"Most probable: {plain[wanted.top]['name']}" in page.text_content("[role=status][aria-live=polite]")
    page.click("text=Model card")
    card = page.locator("#model-card")
    assert card.locator("td").all_inner_texts() == ["MEL", "0.25"]
    assert "<script>alert(1)</script>" in card.inner_text()  # text, and nothing that runs
    assert card.locator("script, a").count() == 0


def test_an_unsure_answer_says_refer(page, tmp_path, jpeg):
    process, address = start_server(make_bundle(tmp_path / "unsure.dspkd", refer_below=1.0))
    opened(page, address, "server")
    answered(page, "lesion.jpg", jpeg)
    assert "Not sure: refer to a dermatologist." in page.inner_text("#advice.refer")
    assert "refer to a dermatologist" in page.text_content("#status")
    stop(process)


def test_it_is_used_by_keyboard_alone(page, server, jpeg):
    opened(page, server)
    reached = []
    for _ in range(8):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("(({ id, className, value, textContent }) => id || className || value || "
                                     "textContent.trim())(document.activeElement)"))  # fmt: skip
    assert reached[0] == "skip"
    assert reached[1] in {"device", "server"}
    assert reached[2] == "file"
    assert any(name.startswith("Model card") for name in reached)
    page.check("input[value=server]")
    # A focused file input opens the browser's own dialogue at a key, which a headless browser does not do reliably.
    page.set_input_files("#file", {"name": "a.jpg", "mimeType": "image/jpeg", "buffer": jpeg})
    page.wait_for_selector("#heat-toggle:not([hidden])")
    page.focus("#show-heat")
    page.keyboard.press("Space")
    assert not page.is_checked("#show-heat")


def test_everything_that_is_used_has_a_name_for_screen_readers(page, server, jpeg):
    opened(page, server, "server")
    answered(page, "lesion.jpg", jpeg)
    unnamed = page.evaluate(
        """() => [...document.querySelectorAll("input, button, canvas, summary, section")]
        .filter((e) => !(e.labels?.length || e.ariaLabel || e.textContent.trim() || e.getAttribute("aria-labelledby")))
        .map((e) => e.id)"""
    )
    assert unnamed == []
    assert "heat map" in page.get_attribute("#canvas", "aria-label")
    assert page.get_attribute("html", "lang") == "en"
    assert page.locator("h1").count() == 1


@pytest.mark.parametrize("width", [320, 390])
def test_it_fits_a_phone(page, server, jpeg, width):
    page.set_viewport_size({"width": width, "height": 844})
    opened(page, server, "server")
    answered(page, "lesion.jpg", jpeg)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    heights = page.evaluate(
        "[...document.querySelectorAll('.button, button')].map((b) => b.offsetHeight).filter(Boolean)"
    )
    assert min(heights) >= 44


def test_where_there_is_touch_a_photograph_can_be_taken(browser, server):
    seen = []
    for touch in (True, False):
        context = browser.new_context(has_touch=touch)
        page = opened(context.new_page(), server)
        seen.append(page.is_visible("text=Take a photograph"))
        assert page.get_attribute("#camera", "capture") == "environment"
        context.close()
    assert seen == [True, False]


@pytest.mark.parametrize("mode", [pytest.param("device", marks=with_runtime), "server"])
def test_what_is_no_picture_is_told_and_the_next_picture_works(page, server, jpeg, mode):
    opened(page, server, mode)
    page.set_input_files("#file", {"name": "notes.jpg", "mimeType": "image/jpeg", "buffer": b"no picture"})
    page.wait_for_selector("#trouble:not([hidden])")
    assert "no JPEG, PNG or WebP" in page.inner_text("[role=alert]")
    answered(page, "lesion.jpg", jpeg)
    assert not page.is_visible("#trouble")


def test_the_token_is_asked_for_and_shown_to_the_server(page, heard, bundle_file, jpeg):
    process, address = start_server(bundle_file, DSPKD_TOKEN="s3cret")
    page.goto(address)
    page.fill("#token", "wrong")
    page.keyboard.press("Enter")
    page.wait_for_selector("text=That was not the token")
    page.fill("#token", "s3cret")
    page.keyboard.press("Enter")
    page.wait_for_selector("body[data-ready]")
    page.check("input[value=server]")
    answered(page, "lesion.jpg", jpeg)
    stop(process)
    assert {text.split(":")[0] for text in heard.complaints} == {"Failed to load resource"}  # the 401 before
    heard.complaints.clear()


@with_runtime
def test_the_written_page_works_from_any_web_server(page, bundle_file, jpeg, tmp_path):
    call("web", bundle_file, "--out", tmp_path / "page")
    handler = partial(Quiet, directory=tmp_path / "page")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as web:
        threading.Thread(target=web.serve_forever, daemon=True).start()
        opened(page, f"http://127.0.0.1:{web.server_port}/")
        assert page.locator("#modes label:visible").count() == 1
        answered(page, "lesion.jpg", jpeg)
        web.shutdown()
    assert page.inner_text("#top-share") == f"{100 * Predictor(bundle_file).predict(jpeg).confidence:.1f} %"
