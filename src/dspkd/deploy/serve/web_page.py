"""The page as files: for the server to send, and for a folder that any web server can send."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path

from dspkd.deploy.bundle.reader import Bundle
from dspkd.errors import BundleError

HERE = Path(__file__).parent / "static"
VENDOR = "static/vendor"
RUNTIME = (f"{VENDOR}/ort.wasm.bundle.min.mjs", f"{VENDOR}/ort-wasm-simd-threaded.wasm")
"""ONNX Runtime for browsers; fetched by ``make web``, not part of the repository. Its licence and notices are."""

_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".wasm": "application/wasm",
    ".onnx": "application/octet-stream",
}


@dataclass(frozen=True)
class File:
    """A file of the page: its path there, and its bytes."""

    path: str
    data: bytes

    @property
    def media_type(self) -> str:
        """The content type by the end of the path."""
        return _TYPES.get(Path(self.path).suffix, "text/plain; charset=utf-8")

    @cached_property
    def tag(self) -> str:
        """What HTTP calls an entity tag."""
        return f'"{sha256(self.data).hexdigest()[:32]}"'

    @cached_property
    def gzipped(self) -> bytes:
        """The bytes compressed, once; ONNX Runtime's 14 MB become 4."""
        return gzip.compress(self.data, compresslevel=6, mtime=0)


def runtime_missing() -> str:
    """Return "" where ONNX Runtime for browsers is there, else what is missing and how to get it."""
    if missing := [name for name in RUNTIME if not (HERE.parent / name).is_file()]:
        return f"{Path(missing[0]).name} is missing from the page; in a clone of dspkd, `make web` fetches it"
    return ""


def runs_on_device(bundle: Bundle) -> str:
    """Return "" where browsers can run this bundle, else why not."""
    if why := runtime_missing():
        return why
    if bundle.spec.preprocessing.artefacts:
        return f"its preprocessing takes out {', '.join(bundle.spec.preprocessing.artefacts)}, which only Python can"
    return ""


def files(bundle: Bundle, *, server: bool) -> Iterator[File]:
    """Yield the files of the page.

    Parameters
    ----------
    bundle
        Its specification, model card and, where browsers can run it, its default network become files of the page.
    server
        Whether there is a server beside the page that answers about images.
    """
    device = not runs_on_device(bundle)
    modes = " ".join(["device"] * device + ["server"] * server)
    page = (HERE / "index.html").read_text(encoding="utf-8").replace('data-modes=""', f'data-modes="{modes}"')
    yield File("index.html", page.encode())
    for path in sorted(HERE.rglob("*")):
        name = f"static/{path.relative_to(HERE).as_posix()}"
        if path.is_file() and name != "static/index.html" and (device or not name.startswith(VENDOR)):
            yield File(name, path.read_bytes())
    model = bundle.spec.models[bundle.spec.default].file if device else ""
    for name in ("spec.json", "card.md", *([model] if device else [])):
        yield File(f"bundle/{name}", bundle.read(name))
    about: dict[str, str | int] = {"digest": bundle.digest}
    if device:
        load = bundle.files[model].bytes + sum((HERE.parent / name).stat().st_size for name in RUNTIME)
        about |= {
            "model": model,
            "precision": bundle.spec.default,
            "sha256": bundle.files[model].sha256,
            "device_bytes": load,
        }
    yield File("bundle/about.json", json.dumps(about).encode())


def check_folder(folder: Path) -> None:
    """Refuse a folder that the page cannot be written into, before a bundle for it is made.

    Raises
    ------
    BundleError
        ONNX Runtime for browsers is missing, or the folder has files already.
    """
    if why := runtime_missing():
        raise BundleError(f"{folder}: no page can be written: {why}")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise BundleError(f"{folder}: is there already; nothing is overwritten")


def write(bundle: Bundle, folder: Path) -> list[Path]:
    """Write the page into a folder, for any web server to send; nothing is uploaded from it.

    Raises
    ------
    BundleError
        Browsers cannot run this bundle, or the folder has files already.
    """
    if why := runs_on_device(bundle):
        raise BundleError(f"{bundle.path}: cannot run in a browser: {why}")
    check_folder(folder)
    written = []
    for file in files(bundle, server=False):
        target = folder / file.path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(file.data)
        written.append(target)
    return written
