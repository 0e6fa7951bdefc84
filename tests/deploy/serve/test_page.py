"""The page in Chromium: words, keyboard, screen readers, phones, errors, token, any web server."""

import json
from hashlib import sha256

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from browsing import open_page, predict, serve_folder, with_runtime
from command import call
from dspkd.deploy import Predictor
from serving import CLASSES, NOTICE, make_bundle, start_server, stop


def test_the_page_shows_the_prediction_in_plain_words(page, server, bundle_file, jpeg):
    open_page(page, server, "server")
    assert "no diagnosis and no medical device" in page.inner_text("header")
    predict(page, "lesion.jpg", jpeg)
    expected = Predictor(bundle_file).predict(jpeg)
    plain = {each["id"]: each for each in CLASSES}
    assert page.inner_text("#top-name") == plain[expected.top]["name"]
    assert page.inner_text("#top-meaning") == plain[expected.top]["meaning"]
    assert page.inner_text("#top-share") == f"{100 * expected.confidence:.1f} %"
    ranked = sorted(expected.probabilities, key=lambda key: -expected.probabilities[key])
    rows = [row.split("\n")[0].split("\t")[0] for row in page.locator("#rows th").all_inner_texts()]
    assert rows == [plain[key]["name"] for key in ranked]
    assert NOTICE in page.inner_text("#provenance")
    assert "computed on the server by the fp32 network" in page.inner_text("#provenance")
    assert not expected.refer
    text = page.inner_text("#prediction")
    assert text.index("Most probable") < text.index("Confidence above this network's threshold.")
    assert f"Most probable: {plain[expected.top]['name']}" in page.text_content("[role=status][aria-live=polite]")
    page.click("text=Model card")
    card = page.locator("#model-card")
    assert card.locator("td").all_inner_texts() == ["MEL", "0.25"]
    assert "<script>alert(1)</script>" in card.inner_text()  # text, and nothing that runs
    assert card.locator("script, a").count() == 0
    assert card.locator("strong, em").all_inner_texts() == ["random weights", "not trained"]


def test_an_unsure_prediction_advises_to_refer(page, tmp_path, jpeg):
    process, address = start_server(make_bundle(tmp_path / "unsure.dspkd", refer_below=1.0))
    open_page(page, address, "server")
    predict(page, "lesion.jpg", jpeg)
    assert "Not sure: refer to a dermatologist." in page.inner_text("#advice.refer")
    text = page.inner_text("#prediction")
    assert text.index("Not sure") < text.index("Most probable")  # before a class name that may reassure
    assert "refer to a dermatologist" in page.text_content("#status")
    stop(process)


def test_the_page_works_by_keyboard_alone(page, server, jpeg):
    open_page(page, server)
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


def test_every_control_has_a_name_for_screen_readers(page, server, jpeg):
    open_page(page, server, "server")
    predict(page, "lesion.jpg", jpeg)
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
def test_the_page_fits_a_phone(page, server, jpeg, width):
    page.set_viewport_size({"width": width, "height": 844})
    open_page(page, server, "server")
    predict(page, "lesion.jpg", jpeg)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    heights = page.evaluate(
        "[...document.querySelectorAll('.button, button')].map((b) => b.offsetHeight).filter(Boolean)"
    )
    assert min(heights) >= 44


def test_a_photograph_can_be_taken_on_touch_devices(browser, server):
    visible = []
    for touch in (True, False):
        context = browser.new_context(has_touch=touch)
        page = open_page(context.new_page(), server)
        visible.append(page.is_visible("text=Take a photograph"))
        assert page.get_attribute("#camera", "capture") == "environment"
        context.close()
    assert visible == [True, False]


@pytest.mark.parametrize("mode", [pytest.param("device", marks=with_runtime), "server"])
def test_an_invalid_image_is_an_error_and_the_next_image_works(page, server, jpeg, mode):
    open_page(page, server, mode)
    page.set_input_files("#file", {"name": "notes.jpg", "mimeType": "image/jpeg", "buffer": b"no image"})
    page.wait_for_selector("#error:not([hidden])")
    assert "not a JPEG, PNG or WebP" in page.inner_text("[role=alert]")
    predict(page, "lesion.jpg", jpeg)
    assert not page.is_visible("#error")


def test_the_token_is_requested_and_sent_to_the_server(page, traffic, bundle_file, jpeg):
    process, address = start_server(bundle_file, DSPKD_TOKEN="s3cret")
    page.goto(address)
    page.fill("#token", "wrong")
    page.keyboard.press("Enter")
    page.wait_for_selector("text=This token is wrong")
    page.fill("#token", "s3cret")
    page.keyboard.press("Enter")
    page.wait_for_selector("body[data-ready]")
    page.check("input[value=server]")
    predict(page, "lesion.jpg", jpeg)
    stop(process)
    assert {text.split(":")[0] for text in traffic.console} == {"Failed to load resource"}  # the 401 before
    traffic.console.clear()


@with_runtime
def test_the_written_page_works_from_a_plain_web_server(page, bundle_file, jpeg, tmp_path):
    call("web", bundle_file, "--out", tmp_path / "page")
    with serve_folder(tmp_path / "page") as address:
        open_page(page, address)
        assert page.locator("#modes label:visible").count() == 1
        predict(page, "lesion.jpg", jpeg)
    assert page.inner_text("#top-share") == f"{100 * Predictor(bundle_file).predict(jpeg).confidence:.1f} %"


def not_finite(model):
    """Return a network whose logits are not finite."""
    graph = onnx.load_from_string(model)
    bias = next(value for value in graph.graph.initializer if value.name == "b")
    bias.CopyFrom(numpy_helper.from_array(np.full(4, np.nan, np.float32), "b"))
    return graph.SerializeToString()


@with_runtime
@pytest.mark.parametrize(
    ("damage", "update_sha256", "message"),
    [
        (
            lambda model: model[:-1] + bytes([model[-1] ^ 1]),
            False,
            "The loaded network is not the one in the bundle.",
        ),
        (not_finite, True, "The network's output for this image is not finite."),
        (None, False, "The network could not be loaded (404)."),
    ],
)
def test_a_damaged_network_gives_no_prediction(
    page, traffic, bundle_file, jpeg, tmp_path, damage, update_sha256, message
):
    call("web", bundle_file, "--out", tmp_path / "page")
    model, about = tmp_path / "page/bundle/model.fp32.onnx", tmp_path / "page/bundle/about.json"
    damaged = damage(model.read_bytes()) if damage else None
    model.unlink() if damaged is None else model.write_bytes(damaged)
    if update_sha256:
        about.write_text(json.dumps(json.loads(about.read_text()) | {"sha256": sha256(damaged).hexdigest()}))
    with serve_folder(tmp_path / "page") as address:
        open_page(page, address)
        page.set_input_files("#file", {"name": "a.jpg", "mimeType": "image/jpeg", "buffer": jpeg})
        page.wait_for_selector("#error:not([hidden])")
        assert page.inner_text("#error").startswith(message)
        assert not page.is_visible("#prediction")
    if damage is None:
        traffic.console.clear()  # the 404
