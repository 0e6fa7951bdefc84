"""The page's files are of one bundle, its words those of Python, its frame where the network sees the image."""

import json
from hashlib import sha256

import numpy as np
import pytest
from PIL import Image

from browsing import open_page
from dspkd.deploy.bundle.advice import ReferralRule
from dspkd.deploy.bundle.refusals import NARROWEST
from dspkd.deploy.bundle.spec import BundleClass
from serving import CLASSES, encoded


def evaluate(page, server, module, body, argument):
    """Return what a function with this body returns on the page, with a module of the page as `it`."""
    open_page(page, server)
    return page.evaluate(f"async (given) => {{ const it = await import('/static/{module}'); {body} }}", argument)


def test_the_advice_is_python_s_word_for_word(page, server):
    shares = [0, 1e-30, 1e-9, 4e-5, 0.00999, 0.01, 0.0625, 0.125, 0.3, 0.30001, 0.5, 0.9994, 0.9996, 1 - 1e-12, 1]
    classes = CLASSES[1:3]
    cases = [([share, 1 - share], below, share_from) for share in shares for below in shares for share_from in shares]
    rule = [BundleClass(**each) for each in classes]
    expected = [ReferralRule(tuple(rule), below, of, "Why.").advise(p).to_json() for p, below, of in cases]
    specs = [
        {"classes": classes, "thresholds": {"refer_below": below, "refer_from": of, "refer_from_rule": "Why."}}
        for _, below, of in cases
    ]
    given = [[p for p, _, _ in cases], specs]
    shown = evaluate(page, server, "advice.js", "return given[0].map((p, n) => it.advise(p, given[1][n]));", given)
    assert shown == expected


def test_sha_256_is_computed_where_the_browser_does_not_offer_it(page, server):
    draw = np.random.default_rng(0)
    contents = [draw.bytes(length) for length in (0, 1, 55, 56, 63, 64, 65, 1000, 100_003)]
    body = "return given.map((bytes) => it.computed(Uint8Array.from(bytes).buffer));"
    digests = evaluate(page, server, "sha256.js", body, [list(content) for content in contents])
    assert digests == [sha256(content).hexdigest() for content in contents]


@pytest.mark.parametrize("name", ["spec.json", "card.md"])
def test_a_file_of_another_bundle_is_refused(page, server, name):
    page.route(f"**/bundle/{name}", lambda route: route.fulfill(body=route.fetch().text() + " "))
    page.goto(server)
    page.wait_for_selector("#error:not([hidden])")
    assert f"bundle/{name} is not that of this page's bundle" in page.inner_text("#error")
    assert not page.locator("body[data-ready]").count()


def test_no_copy_that_the_browser_kept_is_used_unchecked(page, traffic, server):
    open_page(page, server)
    kept = {"spec.json", "about.json", "card.md"}
    sent = {r.url.rsplit("/", 1)[1]: r.all_headers().get("cache-control") for r in traffic.requests}
    assert {sent[name] for name in kept} <= {"no-cache", "max-age=0"}


def test_a_heat_map_of_another_bundle_is_not_shown(page, server, jpeg):
    page.route("**/heatmap?*", lambda route: route.fulfill(json=route.fetch().json() | {"bundle": "0" * 64}))
    open_page(page, server, "server")
    page.set_input_files("#file", {"name": "a.jpg", "mimeType": "image/jpeg", "buffer": jpeg})
    page.wait_for_selector("text=There is no heat map. The server has another network now.")


def test_a_black_image_has_no_prediction(page, traffic, server):
    open_page(page, server, "server")
    black = encoded(Image.new("RGB", (60, 60)))
    page.set_input_files("#file", {"name": "a.jpg", "mimeType": "image/jpeg", "buffer": black})
    page.wait_for_selector("text=shows nothing: of one colour within 0 of 255")
    assert not page.is_visible("#prediction")
    traffic.console.clear()  # the 422


@pytest.mark.parametrize("high", [NARROWEST - 1, NARROWEST])
def test_the_device_refuses_one_colour_as_the_server_does(page, server, high):
    pixels = np.zeros((60, 60, 3), np.uint8)
    pixels[:, 30:, 1] = high
    body = """
      const file = new File([Uint8Array.from(given)], "a.png");
      const steps = { resize: { short_side: 37 }, crop: { size: 32 } };
      try { it.preprocess(await it.decode(file), steps); return ""; } catch (error) { return error.message; }
    """
    message = evaluate(page, server, "image.js", body, list(encoded(Image.fromarray(pixels), "PNG")))
    assert ("shows nothing" in message) == (high < NARROWEST)


def test_where_dark_corners_are_cut_off_there_is_no_frame_and_no_heat_map(page, traffic, server, jpeg):
    spec = json.loads(page.request.get(f"{server}/bundle/spec.json").text())
    spec["preprocessing"]["artefacts"] = ["dark_corner"]
    edited = json.dumps(spec)
    named = {"spec_sha256": sha256(edited.encode()).hexdigest()}
    page.route("**/bundle/spec.json", lambda route: route.fulfill(body=edited))
    page.route("**/bundle/about.json", lambda route: route.fulfill(json=route.fetch().json() | named))
    open_page(page, server, "server")
    page.set_input_files("#file", {"name": "a.jpg", "mimeType": "image/jpeg", "buffer": jpeg})
    page.wait_for_selector("#prediction:not([hidden])")
    assert "no frame and no heat map" in page.inner_text("#heat-text")
    assert not page.is_visible("[data-framed]")
    assert not any("/heatmap" in request.url for request in traffic.requests)
