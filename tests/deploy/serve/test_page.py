"""The page in Chromium: words, keyboard, screen readers, phones, errors, token, any web server."""

import colorsys
import json
import re
from hashlib import sha256

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from browsing import open_page, predict, serve_folder, with_runtime
from command import call
from dspkd.deploy import Predictor
from dspkd.deploy.bundle import limits
from dspkd.deploy.bundle.advice import NOT_REACHED, REFER
from dspkd.deploy.bundle.reader import open_bundle
from serving import CLASSES, NOTICE, make_bundle, start_server, stop


def test_the_page_shows_the_prediction_in_plain_words(page, server, bundle_file, jpeg):
    open_page(page, server, "server")
    assert "no diagnosis and no medical device" in page.inner_text("header")
    predict(page, "lesion.jpg", jpeg)
    expected = Predictor(bundle_file).predict(jpeg)
    plain = {each["id"]: each for each in CLASSES}
    assert page.inner_text("#advice-sentence") == expected.advice.sentence == NOT_REACHED
    assert page.locator("#advice-reasons li").all_inner_texts() == list(expected.advice.reasons)
    assert page.locator("#limits p").all_inner_texts() == list(limits.lines(open_bundle(bundle_file)))
    ranked = sorted(expected.probabilities, key=lambda key: -expected.probabilities[key])
    rows = [
        row.split("\n")[0].split("\t")[0].removesuffix(" malignant")
        for row in page.locator("#rows th").all_inner_texts()
    ]
    assert rows == [plain[key]["name"] for key in ranked]
    assert NOTICE in page.inner_text("#provenance")
    assert "computed on the server by the fp32 network" in page.inner_text("#provenance")
    marks = [row.locator(".mark").all_inner_texts() for row in page.locator("#rows th").all()]
    assert marks == [["malignant"] * (plain[key]["malignancy"] == "malignant") for key in ranked]
    assert page.inner_text("#prediction").startswith(NOT_REACHED)
    assert page.text_content("[role=status][aria-live=polite]").startswith(NOT_REACHED)
    page.click("text=Model card")
    card = page.locator("#model-card")
    assert card.locator("td").all_inner_texts() == ["MEL", "0.25", "a | b", "0.50"]
    assert "<script>alert(1)</script>" in card.inner_text()  # text, and nothing that runs
    assert card.locator("script, a").count() == 0
    assert card.locator("strong, em").all_inner_texts() == ["random weights", "not trained"]


UNKNOWN = [{**each, "malignancy": "unknown"} for each in CLASSES]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"refer_from": 0.05}, "Malignant or possibly malignant classes together have"),
        ({"refer_below": 1.0}, "Not sure: the highest probability"),
        ({"refer_from": None, "rule": "Too few lesions."}, "The advice is always to refer: too few lesions."),
        (
            {"classes": UNKNOWN, "refer_from": 1.0005},
            "The most probable class, Melanocytic naevus, is not known to be benign.",
        ),
    ],
)
def test_each_reason_to_refer_leads_before_a_class_name_that_may_reassure(page, tmp_path, jpeg, changes, reason):
    path = make_bundle(tmp_path / "refer.dspkd", **changes)
    process, address = start_server(path)
    open_page(page, address, "server")
    predict(page, "lesion.jpg", jpeg)
    stop(process)
    assert Predictor(path).predict(jpeg).top == "NV"
    assert page.inner_text("#advice.refer #advice-sentence") == REFER
    (only,) = page.locator("#advice-reasons li").all_inner_texts()
    assert only.startswith(reason)
    assert page.inner_text("#prediction").startswith(REFER)
    assert page.text_content("#status").startswith(f"{REFER} {only}")


@pytest.mark.parametrize("refer_from", [0.05, 0.5])
def test_nothing_about_a_prediction_is_green(browser, tmp_path, jpeg, refer_from):
    """Green: the hue lies between yellow and blue, and the colour is no near grey."""
    process, address = start_server(make_bundle(tmp_path / "colour.dspkd", refer_from=refer_from))
    used = {}
    for scheme in ("light", "dark"):
        context = browser.new_context(color_scheme=scheme)
        page = open_page(context.new_page(), address, "server")
        predict(page, "lesion.jpg", jpeg)
        used[scheme] = page.evaluate("""() => [...document.querySelectorAll("body, body *")].flatMap((e) => {
            const style = getComputedStyle(e);
            return [style.color, style.backgroundColor, style.borderLeftColor, style.backgroundImage]; })""")
        context.close()
    stop(process)
    for scheme, styles in used.items():
        colours = {tuple(map(int, rgb)) for text in styles for rgb in re.findall(r"rgba?\((\d+), (\d+), (\d+)", text)}
        assert len(colours) > 5
        for red, green, blue in colours:
            hue, _, colour = colorsys.rgb_to_hsv(red / 255, green / 255, blue / 255)
            if max(red, green, blue) - min(red, green, blue) > 25 and colour > 0.1:
                assert not 65 / 360 < hue < 195 / 360, (scheme, red, green, blue)


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


def test_after_an_invalid_image_nothing_of_an_earlier_one_stays(page, server, jpeg):
    open_page(page, server, "server")
    predict(page, "lesion.jpg", jpeg)
    page.set_input_files(
        "#file", {"name": "a.heic", "mimeType": "image/heic", "buffer": b"\0\0\0\x18ftypheic" + bytes(200)}
    )
    page.wait_for_selector("#error:not([hidden])")
    for part in ("#preview", "#canvas", "#heat-toggle", "#heat-text", "#prediction", "#advice"):
        assert not page.is_visible(part), part
    assert page.inner_text("#empty") == "No prediction."
    assert page.inner_text("#status") == ""


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
    shown = page.locator("#advice-reasons li").all_inner_texts()
    assert shown == list(Predictor(bundle_file).predict(jpeg).advice.reasons)


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
            "The network is not that of this page's bundle",
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
