"""The page as files: for `dspkd serve`, and for a folder that any web server can serve."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

from dspkd.deploy.bundle import limits
from dspkd.deploy.bundle.reader import Bundle
from dspkd.errors import BundleError

HERE = Path(__file__).parent / "static"
VENDOR = "static/vendor"
SERVICE_WORKER, MANIFEST = "service-worker.js", "manifest.json"
"""Files beside index.html that keep a written page on the device, and let it be installed."""

RUNTIME = (f"{VENDOR}/ort.wasm.bundle.min.js", f"{VENDOR}/ort-wasm-simd-threaded.wasm")
"""ONNX Runtime for browsers: fetched by ``make web``, not in the repository. Its licence and notices are."""

_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".wasm": "application/wasm",
    ".onnx": "application/octet-stream",
}


@dataclass(frozen=True)
class File:
    """A file of the page: its path, and its bytes."""

    path: str
    data: bytes

    @property
    def media_type(self) -> str:
        """The content type, by the suffix of the path."""
        return _TYPES.get(Path(self.path).suffix, "text/plain; charset=utf-8")

    @cached_property
    def tag(self) -> str:
        """The entity tag (ETag) of HTTP."""
        return f'"{sha256(self.data).hexdigest()[:32]}"'

    @cached_property
    def gzipped(self) -> bytes:
        """The compressed bytes, computed once; ONNX Runtime's 14 MB become 4."""
        return gzip.compress(self.data, compresslevel=6, mtime=0)


def runtime_missing() -> str:
    """Return "" if ONNX Runtime for browsers is installed, else what is missing and how to get it."""
    if missing := [name for name in RUNTIME if not (HERE.parent / name).is_file()]:
        return f"{Path(missing[0]).name} is missing from the page; in a clone of dspkd, `make web` fetches it"
    return ""


def runs_on_device(bundle: Bundle) -> str:
    """Return "" if browsers can run this bundle, else the reason."""
    if reason := runtime_missing():
        return reason
    if bundle.spec.preprocessing.artefacts:
        return f"its preprocessing removes {', '.join(bundle.spec.preprocessing.artefacts)}, which only Python can do"
    return ""


def files(bundle: Bundle, *, server: bool) -> Iterator[File]:
    """Yield the files of the page.

    Parameters
    ----------
    bundle
        Its specification, model card and, if browsers can run it, its default network become files of the page.
    server
        Whether a server that predicts is beside the page.
    """
    device = not runs_on_device(bundle)
    modes = " ".join(["device"] * device + ["server"] * server)
    page = (HERE / "index.html").read_text(encoding="utf-8").replace('data-modes=""', f'data-modes="{modes}"')
    manifest = "" if server else f'<link rel="manifest" href="{MANIFEST}">\n'
    yield File("index.html", page.replace("<!-- manifest -->\n", manifest).encode())
    for path in sorted(HERE.rglob("*")):
        name = f"static/{path.relative_to(HERE).as_posix()}"
        if (
            path.is_file()
            and path.name not in ("index.html", SERVICE_WORKER)
            and (device or not name.startswith(VENDOR))
        ):
            yield File(name, path.read_bytes())
    model = bundle.spec.models[bundle.spec.default].file if device else ""
    for name in ("spec.json", "card.md", *([model] if device else [])):
        yield File(f"bundle/{name}", bundle.read(name))
    about: dict[str, Any] = {
        "digest": bundle.digest,
        "limits": limits.lines(bundle),
        "spec_sha256": bundle.files["spec.json"].sha256,
        "card_sha256": bundle.files["card.md"].sha256,
    }
    if device:
        load = bundle.files[model].bytes + sum((HERE.parent / name).stat().st_size for name in RUNTIME)
        about |= {
            "model": model,
            "precision": bundle.spec.default,
            "sha256": bundle.files[model].sha256,
            "device_bytes": load,
        }
    yield File("bundle/about.json", json.dumps(about).encode())


def offline(bundle: Bundle, page: Sequence[File]) -> list[File]:
    """Return what makes a written page installable, and usable without a connection: its manifest and service worker.

    The version of the service worker is the digest of all files, so that a change of any of them replaces the cache.
    """
    icons = [{"src": f"static/icon-{side}.png", "sizes": f"{side}x{side}", "type": "image/png"} for side in (192, 512)]
    manifest = {
        "name": f"Skin lesion classifier {bundle.spec.name}: research only",
        "short_name": "Skin lesions",
        "description": bundle.spec.not_a_diagnosis,
        "start_url": "./",
        "scope": "./",
        "display": "standalone",
        "background_color": "#ffffff",
        "theme_color": "#1d4f91",
        "icons": icons,
    }
    described = File(MANIFEST, json.dumps(manifest, indent=2).encode())
    digests = {file.path: sha256(file.data).hexdigest() for file in (*page, described)}
    version = sha256(json.dumps(digests).encode()).hexdigest()[:16]
    worker = (HERE / SERVICE_WORKER).read_text(encoding="utf-8")
    worker = worker.replace('VERSION = ""', f'VERSION = "{version}"', 1)
    worker = worker.replace("FILES = {}", f"FILES = {json.dumps(digests, indent=2)}", 1)
    return [described, File(SERVICE_WORKER, worker.encode())]


def check_folder(folder: Path) -> None:
    """Check that the page can be written into a folder, before a bundle for it is made.

    Raises
    ------
    BundleError
        ONNX Runtime for browsers is missing, or the folder is not empty.
    """
    if reason := runtime_missing():
        raise BundleError(f"{folder}: no page can be written: {reason}")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise BundleError(f"{folder}: exists already, and nothing is overwritten; name a new folder")


def write(bundle: Bundle, folder: Path) -> list[Path]:
    """Write the page into a folder, for any web server; no image is uploaded from it.

    Opened once by https or from localhost, it is kept on the device and works there without a connection.

    Raises
    ------
    BundleError
        Browsers cannot run this bundle, or the folder is not empty.
    """
    if reason := runs_on_device(bundle):
        raise BundleError(f"{bundle.path}: cannot run in a browser: {reason}")
    check_folder(folder)
    written = []
    page = list(files(bundle, server=False))
    for file in (*page, *offline(bundle, page)):
        target = folder / file.path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(file.data)
        written.append(target)
    return written
