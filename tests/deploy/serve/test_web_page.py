"""The page as files, and the command that writes them."""

import gzip
import json
import re
import tomllib
from hashlib import sha256
from pathlib import Path

import pytest

from command import call, refused
from dspkd.deploy.bundle.reader import open_bundle
from dspkd.deploy.serve import web_page
from dspkd.deploy.serve.security import CONTENT_SECURITY_POLICY
from serving import make_bundle

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def with_runtime(monkeypatch):
    """Stand-ins for ONNX Runtime for browsers, whether or not `make web` was run."""
    monkeypatch.setattr(web_page, "RUNTIME", ("static/page.js", "static/page.css"))


def test_the_served_page_has_both_modes_and_the_written_one_the_device(bundle_file, with_runtime, tmp_path):
    bundle = open_bundle(bundle_file)
    served = {file.path: file for file in web_page.files(bundle, server=True)}
    assert b'data-modes="device server"' in served["index.html"].data
    out, _ = call("web", bundle_file, "--out", tmp_path / "page")
    written = {
        path.relative_to(tmp_path / "page").as_posix() for path in (tmp_path / "page").rglob("*") if path.is_file()
    }
    assert written == set(served) | {web_page.MANIFEST, web_page.SERVICE_WORKER}
    assert out.startswith(f"{len(written)} files, ")
    assert 'data-modes="device"' in (tmp_path / "page" / "index.html").read_text()
    assert (tmp_path / "page" / "bundle" / "model.fp32.onnx").read_bytes() == bundle.read("model.fp32.onnx")
    about = json.loads((tmp_path / "page" / "bundle" / "about.json").read_text())
    assert (about["precision"], about["sha256"]) == ("fp32", bundle.files["model.fp32.onnx"].sha256)


def test_the_page_names_the_digests_of_specification_and_card(bundle_file):
    bundle = open_bundle(bundle_file)
    served = {file.path: file.data for file in web_page.files(bundle, server=True)}
    about = json.loads(served["bundle/about.json"])
    for key, name in {"spec_sha256": "spec.json", "card_sha256": "card.md"}.items():
        assert about[key] == sha256(served[f"bundle/{name}"]).hexdigest()


def test_the_page_contains_the_default_network_alone(with_runtime, tmp_path):
    bundle = open_bundle(make_bundle(tmp_path / "int8.dspkd", int8=True))
    served = {file.path: file.data for file in web_page.files(bundle, server=False)}
    assert [name for name in served if name.endswith(".onnx")] == ["bundle/model.int8.onnx"]
    about = json.loads(served["bundle/about.json"])
    assert (about["model"], about["precision"]) == ("model.int8.onnx", "int8")
    assert about["sha256"] == sha256(served["bundle/model.int8.onnx"]).hexdigest()


def test_the_runtimes_licence_and_notices_are_in_the_page(bundle_file, with_runtime, tmp_path):
    call("web", bundle_file, "--out", tmp_path / "page")
    vendor = tmp_path / "page" / web_page.VENDOR
    assert "MIT License" in (vendor / "LICENSE").read_text()
    assert "abseil" in (vendor / "ThirdPartyNotices.txt").read_text()
    linked = re.findall(r'href="(static/vendor/[^"]+)"', (tmp_path / "page" / "index.html").read_text())
    assert [name for name in linked if not (tmp_path / "page" / name).is_file()] == []
    assert len(linked) == 2


def test_the_notices_are_those_of_the_fetched_version():
    """After a change of the version, fetch its notices: they are in the Python package onnxruntime, not in npm's."""
    (version,) = re.findall(r"onnxruntime-web@(\S+)", (ROOT / "Makefile").read_text())
    digest = sha256((web_page.HERE / "vendor" / "ThirdPartyNotices.txt").read_bytes()).hexdigest()
    assert (version, digest) == ("1.30.0", "143764b952fdb1a7c69ce653bfba74a7744d6a8a573bfb73e235fba356c83de3")


def test_a_wheel_contains_the_runtime_with_its_licence_and_notices():
    """All of them are listed as artefacts, since version control ignores the runtime."""
    (artefacts,) = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["artifacts"]
    packaged = {path.relative_to(web_page.HERE.parent).as_posix() for path in ROOT.glob(artefacts)}
    present = {name for name in web_page.RUNTIME if (web_page.HERE.parent / name).is_file()}
    assert packaged >= {f"{web_page.VENDOR}/LICENSE", f"{web_page.VENDOR}/ThirdPartyNotices.txt"} | present


def test_nothing_is_overwritten(bundle_file, with_runtime, tmp_path):
    (tmp_path / "mine").write_text("x")
    assert "nothing is overwritten" in refused("web", bundle_file, "--out", tmp_path)
    assert "nothing is overwritten" in refused("web", bundle_file, "--out", tmp_path / "mine")


def test_a_bundle_that_browsers_cannot_run_has_the_server_mode_alone(with_runtime, tmp_path):
    path = make_bundle(tmp_path / "hair.dspkd", artefacts=["shading"])
    assert "removes shading, which only Python can do" in refused("web", path, "--out", tmp_path / "page")
    served = {file.path: file for file in web_page.files(open_bundle(path), server=True)}
    assert b'data-modes="server"' in served["index.html"].data
    assert not [name for name in served if name.endswith((".onnx", ".wasm"))]


def test_without_the_runtime_the_error_names_make_web(bundle_file, tmp_path, monkeypatch):
    monkeypatch.setattr(web_page, "RUNTIME", ("static/vendor/none.wasm",))
    error = refused("web", bundle_file, "--out", tmp_path / "page")
    assert "none.wasm is missing" in error
    assert "make web" in error


def test_the_page_and_the_header_have_the_same_policy(bundle_file):
    page = (web_page.HERE / "index.html").read_text()
    assert re.findall(r'http-equiv="Content-Security-Policy" content="([^"]+)"', page) == [CONTENT_SECURITY_POLICY]


def test_the_page_contains_no_external_address(bundle_file):
    for path in web_page.HERE.rglob("*"):
        if path.suffix in {".html", ".css", ".js", ".svg"} and "vendor" not in path.parts:
            text = path.read_text().replace("http://www.w3.org/2000/svg", "")
            assert not re.findall(r"https?:|//[a-z]+\.|@import|url\(", text), path.name


def test_a_file_is_compressed_and_has_an_etag_of_its_content():
    one, other = web_page.File("a.js", b"x" * 5000), web_page.File("b.js", b"x" * 4999)
    assert gzip.decompress(one.gzipped) == one.data
    assert one.tag != other.tag
    assert one.media_type == "text/javascript; charset=utf-8"
    assert web_page.File("m.wasm", b"").media_type == "application/wasm"


def variables(css):
    return dict(re.findall(r"--([a-z-]+): (#[0-9a-f]+)", css))


def luminance(colour):
    digits = colour[1:] if len(colour) == 7 else "".join(2 * d for d in colour[1:])
    linear = [(v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4)
              for v in (int(digits[k : k + 2], 16) / 255 for k in (0, 2, 4))]  # fmt: skip
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_enough_contrast(scheme):
    """WCAG 2.2, level AA: 4.5 to 1."""
    light, dark = (web_page.HERE / "page.css").read_text().split("@media screen and (prefers-color-scheme: dark)")
    colours = variables(light) | (variables(dark) if scheme == "dark" else {})
    pairs = {
        "page": ["ink", "muted", "accent"],
        "card": ["ink", "muted", "accent"],
        "chosen-card": ["ink", "muted"],
        "warn-card": ["warn"],
        "bad-card": ["bad"],
        "accent": ["on-accent"],
    }
    for text, behind in ((text, behind) for behind, texts in pairs.items() for text in texts):
        light_, dark_ = sorted((luminance(colours[text]), luminance(colours[behind])), reverse=True)
        assert (light_ + 0.05) / (dark_ + 0.05) >= 4.5, (scheme, text, behind)
