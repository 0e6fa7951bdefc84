"""The page on web servers that send its files wrongly, and on paper, in other languages and directions."""

import http.server
import re

import pytest

from browsing import Quiet, open_page, predict, serve_folder, with_runtime
from command import call
from dspkd.deploy.bundle.reader import open_bundle
from dspkd.deploy.serve import web_page
from serving import CLASSES, make_bundle, network, start_server, stop


@pytest.fixture(scope="module")
def folder(bundle_file, tmp_path_factory):
    """The page in a folder."""
    path = tmp_path_factory.mktemp("page") / "page"
    call("web", bundle_file, "--out", path)
    return path


def host(*, types=None, policy=None, login=()):
    """Return a web server's handler with other content types, a policy, and a login page in place of some files."""

    class Handler(Quiet):
        extensions_map = http.server.SimpleHTTPRequestHandler.extensions_map | (types or {})

        def do_GET(self):  # noqa: N802, the name that http.server calls
            if self.path.endswith(tuple(login)) and login:
                body = b"<!doctype html><title>Log in</title>"
                self.send_response(200)
                self.send_header("Content-Type", "text/html; charset=utf-8")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)
            else:
                super().do_GET()

        def end_headers(self):
            if policy:
                self.send_header("Content-Security-Policy", policy)
            super().end_headers()

    return Handler


OCTETS = "application/octet-stream"


@with_runtime
def test_the_page_works_where_wasm_mjs_and_json_are_sent_as_octets(page, folder, jpeg):
    types = dict.fromkeys([".wasm", ".mjs", ".json", ".md", ".onnx"], OCTETS)
    with serve_folder(folder, host(types=types)) as address:
        predict(open_page(page, address), "a.jpg", jpeg)


def test_no_file_of_the_page_has_a_suffix_that_plain_web_servers_do_not_know(bundle_file):
    names = {each.path for each in web_page.files(open_bundle(bundle_file), server=True)} | set(web_page.RUNTIME)
    assert [name for name in names if name.endswith(".mjs")] == []


STRICT = "default-src 'self'"
NEEDED = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; img-src 'self' blob:; "


@with_runtime
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"types": {".js": "text/plain"}}, r"sends \.js files as text/plain.* text/javascript"),
        ({"types": {".js": OCTETS}}, r"sends \.js files as application/octet-stream.* text/javascript"),
        ({"policy": "script-src 'none'"}, r"Content-Security-Policy.*script-src 'self'"),
        ({"policy": NEEDED + "worker-src 'self'"}, r"Content-Security-Policy.*connect-src must have 'self'"),
        ({"policy": NEEDED + "connect-src 'self'; worker-src 'none'"}, r"worker-src must have 'self'"),
        ({"policy": STRICT}, r"Content-Security-Policy.*'wasm-unsafe-eval'"),
        ({"login": ["page.js"]}, "perhaps a login"),
        ({"login": ["spec.json"]}, r"In place of .*spec\.json .*login"),
        ({"login": [".onnx"]}, r"In place of the network .*login"),
        ({"login": [".wasm"]}, r"In place of ONNX Runtime .*login"),
        ({"login": ["ort.wasm.bundle.min.js"]}, r"ort\.wasm\.bundle\.min\.js .*login"),
    ],
)
def test_what_a_web_server_does_wrong_is_named_with_its_remedy(page, traffic, folder, jpeg, options, message):
    with serve_folder(folder, host(**options)) as address:
        page.goto(address)
        page.wait_for_selector("body[data-ready], #error:not([hidden]), #start:visible", state="attached")
        if page.locator("body[data-ready]").count():
            page.set_input_files("#file", {"name": "a.jpg", "mimeType": "image/jpeg", "buffer": jpeg})
        shown = page.locator("#error:visible, #start:visible")
        shown.wait_for()
        assert re.search(message, shown.inner_text(), re.DOTALL | re.IGNORECASE), shown.inner_text()
        assert not page.is_visible("#prediction")
        page.close()  # before the server stops, which the page would report
    traffic.console.clear()


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (413, r"refuses a file of this size.*client_max_body_size"),
        (502, "status 502"),
        (504, "status 504"),
        (200, "perhaps a login"),
        (403, "perhaps a login"),
    ],
)
def test_a_web_page_of_a_proxy_in_place_of_a_prediction_is_named(page, traffic, server, jpeg, status, message):
    open_page(page, server, "server")
    sent = {"status": status, "content_type": "text/html", "body": "<title>nginx</title>"}
    page.route("**/predict", lambda route: route.fulfill(**sent))
    page.set_input_files("#file", {"name": "a.jpg", "mimeType": "image/jpeg", "buffer": jpeg})
    shown = page.locator("#error:visible")
    shown.wait_for()
    assert re.search(message, shown.inner_text())
    assert ("login" in shown.inner_text()) == (status in {200, 403})
    traffic.console.clear()


@with_runtime
def test_a_page_that_is_opened_as_a_file_says_how_to_open_it(page, traffic, folder):
    page.goto(f"file://{folder}/index.html")
    page.wait_for_selector("#start.now")
    assert "python -m http.server" in page.inner_text("#start")
    traffic.console.clear()


@pytest.fixture(scope="module")
def eight_classes(tmp_path_factory):
    """The address of a server of a network with eight classes."""
    long = "A benign growth whose description goes on for a while, so that it takes more than one line on a phone."
    others = [{**each, "id": f"{each['id']}2", "name": f"{each['name']} 2", "meaning": long} for each in CLASSES]
    options = {"classes": CLASSES + others, "model": network(classes=8)}
    path = make_bundle(tmp_path_factory.mktemp("eight") / "m.dspkd", **options)
    process, address = start_server(path)
    yield address
    stop(process)


@pytest.mark.parametrize("paper", ["A4", "Letter"])
def test_a_prediction_prints_on_one_page(page, eight_classes, jpeg, paper):
    predict(open_page(page, eight_classes, "server"), "a.jpg", jpeg)
    assert len(re.findall(rb"/Type\s*/Page\b", page.pdf(format=paper))) == 1


@pytest.mark.parametrize("width", [320, 1280])
def test_from_right_to_left_nothing_scrolls_sideways(page, eight_classes, jpeg, width):
    page.set_viewport_size({"width": width, "height": 844})
    predict(open_page(page, eight_classes, "server"), "a.jpg", jpeg)
    page.evaluate("document.documentElement.dir = 'rtl'")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.keyboard.press("Tab")
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("locale", ["de-DE", "ar-EG"])
def test_numbers_and_dates_are_written_as_the_page_is(browser, server, jpeg, locale):
    context = browser.new_context(locale=locale)
    page = open_page(context.new_page(), server, "server")
    predict(page, "a.jpg", jpeg)
    assert re.match(r"\d{1,2} [A-Z][a-z]+ \d{4} at \d\d:\d\d, computed", page.inner_text("#provenance"))
    assert all(re.search(r"\d\.\d+ %", text) for text in page.locator("#rows td").all_inner_texts())
    context.close()
