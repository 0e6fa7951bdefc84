"""No image ever stands beside the prediction or the heat map of another, whichever step is late or fails."""

import numpy as np
import pytest
from PIL import Image

from browsing import open_page, predict, with_runtime
from dspkd.deploy import Predictor
from serving import encoded, lesion

LARGE, SMALL = encoded(lesion(1, size=200).resize((300, 200))), encoded(lesion(2, size=60))
MODES = ["server", pytest.param("device", marks=with_runtime)]

HOLD = """(() => {
  window.hold = null;  // the step whose next call is late
  window.release = null;
  const late = async (name, result) => {
    const mine = window.hold === name;
    if (mine) window.hold = null;
    const value = await result;
    if (mine) await new Promise((resolve) => (window.release = resolve));
    return value;
  };
  const { fetch, createImageBitmap, Worker } = window;
  const { arrayBuffer } = Blob.prototype;
  Blob.prototype.arrayBuffer = function () { return late("read", arrayBuffer.call(this)); };
  window.createImageBitmap = (...all) => late("decode", createImageBitmap(...all));
  window.fetch = (url, ...all) => {
    const name = ["heatmap", "predict"].find((path) => String(url).startsWith(path));
    return name ? late(name, fetch(url, ...all)) : fetch(url, ...all);
  };
  window.Worker = class extends Worker {
    set onmessage(receive) {
      super.onmessage = async (event) => {
        const { result } = event.data;
        const name = "result" in event.data && (Array.isArray(result) ? "heatmap" : result ? "predict" : "load");
        receive(await late(name, event));
      };
    }
  };
})()"""


def held(page, server, mode, step):
    """Open the page, and choose a large image whose `step` is late."""
    page.add_init_script(HOLD)
    open_page(page, server, mode)
    page.evaluate("(name) => { window.hold = name; }", step)
    choose(page, LARGE)
    page.wait_for_function("() => window.release")


def choose(page, data):
    page.set_input_files("#file", {"name": "a.jpg", "mimeType": "image/jpeg", "buffer": data})


def let_go(page):
    page.evaluate("() => window.release()")
    page.wait_for_timeout(300)


def shown(page):
    """Return all that the page shows of an image and its prediction."""
    return page.evaluate("""() => {
      const get = (id) => document.getElementById(id);
      return {
        canvas: get("preview").hidden ? null : get("canvas").toDataURL(),
        size: [get("canvas").width, get("canvas").height],
        prediction: get("prediction").hidden ? null : get("prediction").innerText,
        heat: get("preview").hidden ? null : get("heat-text").textContent,
        error: get("error").hidden ? null : get("error").textContent,
        status: get("status").textContent,
        progress: get("progress").hidden,
      };
    }""")


def assert_nothing_but_an_error(page):
    state = shown(page)
    assert state["error"]
    assert (state["canvas"], state["prediction"], state["heat"]) == (None, None, None)
    assert (state["size"], state["status"], state["progress"]) == ([0, 0], "", True)
    assert page.locator("#rows tr").count() == 0


@pytest.mark.parametrize(
    ("mode", "step"),
    [("server", step) for step in ("read", "decode", "predict", "heatmap")]
    + [pytest.param("device", step, marks=with_runtime) for step in ("decode", "load", "predict", "heatmap")],
)
def test_a_late_step_of_an_earlier_image_changes_nothing(page, server, bundle_file, mode, step):
    held(page, server, mode, step)
    choose(page, SMALL)
    if step == "load":  # of which the second image has to wait, too
        page.wait_for_timeout(100)
        assert shown(page)["prediction"] is None
        page.evaluate("() => window.release()")
    page.wait_for_selector("#heat-toggle:not([hidden])")
    before = shown(page)
    assert before["size"] == [60, 60]
    let_go(page)
    assert shown(page) == before
    expected = Predictor(bundle_file).predict(SMALL)
    assert page.locator("#advice-reasons li").all_inner_texts() == list(expected.advice.reasons)


@pytest.mark.parametrize("step", ["read", "decode", "predict", "heatmap"])
def test_while_a_step_is_late_nothing_of_an_earlier_image_is_shown(page, server, step):
    page.add_init_script(HOLD)
    open_page(page, server, "server")
    predict(page, "a.jpg", SMALL)
    page.evaluate("(name) => { window.hold = name; }", step)
    choose(page, LARGE)
    page.wait_for_function("() => window.release")
    state = shown(page)
    assert state["size"] == ([0, 0] if step in ("read", "decode") else [300, 200])
    assert (state["prediction"] is None) == (step != "heatmap")
    assert not page.is_visible("#heat-toggle")
    let_go(page)


@pytest.mark.parametrize("step", ["read", "decode", "predict", "heatmap"])
def test_a_file_that_is_refused_meanwhile_ends_what_is_late(page, server, step):
    held(page, server, "server", step)
    choose(page, b"GIF89a" + bytes(50))
    page.wait_for_selector("#error:not([hidden])")
    let_go(page)
    assert_nothing_but_an_error(page)


@with_runtime
def test_a_change_of_mode_ends_what_is_late(page, server):
    held(page, server, "server", "predict")
    page.check("input[value=device]")
    page.wait_for_selector("#heat-toggle:not([hidden])")
    before = shown(page)
    assert "computed on this device" in before["prediction"]
    let_go(page)
    assert shown(page) == before


@with_runtime
def test_of_two_images_in_the_worker_the_heat_map_is_that_of_the_last(page, server):
    open_page(page, server)
    maps = page.evaluate(
        """async ([large, small]) => {
          const { onDevice } = await import("/static/device.js");
          const fetched = (name) => fetch(`/bundle/${name}.json`).then((response) => response.json());
          const [spec, about] = [await fetched("spec"), await fetched("about")];
          const [one, two] = [large, small].map((data) => new Blob([Uint8Array.from(data)]));
          const network = onDevice(spec, about, () => ({}));
          await network.load();
          const { top } = await network.predict(two);
          const alone = await network.heatMap(two, top, () => {});
          const late = network.predict(one).catch((error) => error.message);
          await network.predict(two);
          const beside = await network.heatMap(two, top, () => {});
          const wrong = await network.heatMap(one, top, () => {}).catch((error) => error.message);
          return { alone, beside, late: await late, wrong };
        }""",
        [list(encoded(lesion(1, size=900))), list(SMALL)],
    )
    assert maps["alone"] == maps["beside"]
    assert maps["late"] == maps["wrong"] == "Another image has been chosen."


def huge():
    """Return a PNG whose header has 51 megapixels."""
    data = bytearray(encoded(Image.new("1", (1, 1)), "PNG"))
    data[16:24] = (10_200).to_bytes(4, "big") + (5_000).to_bytes(4, "big")
    return bytes(data)


REFUSED = {
    "heic": (b"\0\0\0\x18ftypheic" + bytes(200), "not a JPEG, PNG or WebP"),
    "empty": (b"", "not a JPEG, PNG or WebP"),
    "gif": (b"GIF89a" + bytes(50), "not a JPEG, PNG or WebP"),
    "text": (b"%PDF-1.4", "not a JPEG, PNG or WebP"),
    "cut": (SMALL[:300], "damaged"),
    "header": (b"\xff\xd8\xff\xe0", "damaged"),
    "png": (b"\x89PNG\r\n\x1a\n" + bytes(60), "damaged"),
    "webp": (b"RIFF\0\0\0\0WEBPVP8X", "damaged"),
    "huge": (huge(), "50,000,000"),
    "small": (encoded(lesion(2, size=60).resize((31, 40))), "too small"),
    "narrow": (encoded(Image.new("RGB", (990, 30))), "too long and narrow"),
}


@pytest.mark.parametrize("mode", MODES)
def test_a_refused_file_clears_the_image_the_heat_map_and_the_prediction(page, server, mode):
    open_page(page, server, mode)
    for name, (data, message) in REFUSED.items():
        predict(page, "a.jpg", SMALL)
        choose(page, data)
        page.wait_for_selector("#error:not([hidden])")
        assert_nothing_but_an_error(page)
        assert message in page.inner_text("#error"), name


@with_runtime
def test_an_image_that_the_network_refuses_is_no_longer_shown(page, server):
    open_page(page, server, "device")
    predict(page, "a.jpg", SMALL)
    choose(page, encoded(Image.fromarray(np.zeros((64, 64), np.uint16)), "PNG"))
    page.wait_for_selector("#error:not([hidden])")
    assert_nothing_but_an_error(page)
    assert "16 bits" in page.inner_text("#error")


DROP = """([kind, texts, files]) => {
  const data = new DataTransfer();
  for (const [type, text] of texts) data.setData(type, text);
  for (const name of files) data.items.add(new File(["x"], name, { type: "image/png" }));
  const event = kind === "paste" ? new ClipboardEvent(kind, { clipboardData: data, bubbles: true })
    : new DragEvent(kind, { dataTransfer: data, bubbles: true, cancelable: true });
  document.body.dispatchEvent(event);
}"""


@pytest.mark.parametrize(
    ("kind", "texts", "files", "message"),
    [
        ("drop", [["text/uri-list", "https://example.org/a.jpg"]], [], "link"),
        ("drop", [], ["a.png", "b.png", "c.png"], "3 files"),
        ("paste", [["text/plain", "words"]], [], "no image in the clipboard"),
        ("paste", [], ["a.png", "b.png"], "2 files"),
    ],
)
def test_what_is_no_single_file_is_named(page, server, kind, texts, files, message):
    open_page(page, server, "server")
    predict(page, "a.jpg", SMALL)
    page.evaluate(DROP, [kind, texts, files])
    assert message in page.inner_text("#error")
    assert_nothing_but_an_error(page)
    page.check("input[value=server]")
    assert message in page.inner_text("#error")


def test_another_bundle_on_the_server_gives_no_prediction(page, server):
    page.route("**/bundle/about.json", lambda route: route.fulfill(json=route.fetch().json() | {"digest": "0" * 64}))
    open_page(page, server, "server")
    choose(page, SMALL)
    page.wait_for_selector("text=another network")
    assert_nothing_but_an_error(page)


def test_without_its_heat_map_a_prediction_stays(page, traffic, server):
    page.route("**/heatmap?*", lambda route: route.fulfill(status=503, json={"detail": "busy"}))
    open_page(page, server, "server")
    choose(page, SMALL)
    page.wait_for_selector("text=There is no heat map.")
    assert page.is_visible("#prediction")
    assert not page.is_visible("#error")
    assert not page.is_visible("#progress")
    traffic.console.clear()  # the 503
