"""The certificate of converted files: ``conversion.json`` and, for readers, ``conversion.md``."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dspkd.deploy.bundle.limits import percent
from dspkd.deploy.bundle.reader import Bundle
from dspkd.deploy.convert.formats import FORMATS
from dspkd.deploy.convert.measured import ALWAYS_REFER, AS_MADE, LARGEST_ERROR, NEVER_RUN, Measured
from dspkd.deploy.export.model_card import table
from dspkd.runtime.files import atomic_open, readable, write_json, write_text

JSON, MARKDOWN, GOLDEN, ON_A_MAC = "conversion.json", "conversion.md", "golden.npz", "run_on_a_mac.py"


def write(
    out: Path,
    bundle: Bundle,
    records: Sequence[Measured],
    golden_N3SS: NDArray[np.uint8],
    golden_NK: NDArray[np.float32],
) -> None:
    """Write the certificate of these files, the golden images, and a program that runs on a Mac what was never run.

    The golden images are there twice: as 8-bit arrays with the logits in float32, for programs in Python, and as the
    bundle's own files, which an app compares its decoder and its preprocessing with.
    """
    with atomic_open(out / GOLDEN, "wb") as file:
        np.savez(file, images=golden_N3SS, logits=golden_NK)
    for name in bundle.files:
        if name.startswith("golden/"):
            (out / name).parent.mkdir(parents=True, exist_ok=True)
            (out / name).write_bytes(bundle.read(name))
    write_json(
        out / JSON,
        {
            "bundle": {
                "name": bundle.spec.name,
                "digest": bundle.digest,
                "default": bundle.spec.default,
                "always refers": bundle.spec.refer_from is None,
                "golden images": len(golden_N3SS),
            },
            "largest error": LARGEST_ERROR,
            "files": [record.to_json() for record in records],
        },
    )
    write_text(out / MARKDOWN, _page(bundle, records, len(golden_N3SS)))
    if any(record.error is None for record in records):
        shutil.copyfile(Path(__file__).parent / "workers" / ON_A_MAC, out / ON_A_MAC)


def _page(bundle: Bundle, records: Sequence[Measured], golden: int) -> str:
    images = max(record.images for record in records)
    on_validation = f", and {images:,} validation images" if images else "; no validation images were given"
    lines = [
        f"# {bundle.spec.name}: files for phones",
        "",
        f"Made from the bundle {bundle.digest[:12]}. Each file was run by its own runtime on {golden} golden images"
        f"{on_validation}. *Error*: largest difference of a logit from the bundle's in float32, on golden images; at "
        f"most {LARGEST_ERROR:g} where the precision is fp32. Latency: median of one image, one thread, on the machine "
        "that converted, beside ONNX Runtime's in float32.",
        "",
        *table(_HEAD, map(_row, records)),
        "",
        f"*Thresholds*: whether those in `spec.json` were measured for the file. Where it is **{ALWAYS_REFER}**, an "
        "app refers every image, whatever the probabilities.",
        "",
        *(f"- {_title(record)}: {record.verdict}." for record in records if record.problems),
        *[""] * any(record.problems for record in records),
        "## The layout of the input",
        "",
        f"Every file expects an image that is {AS_MADE}, RGB in [0, 1]; it normalises for itself. What its runtime "
        "does with another layout in memory:",
        "",
        *table(
            ("format", "precision", "layout", "what happens"),
            [
                (FORMATS[record.format].title, record.precision, layout, _marked(what))
                for record in records
                for layout, what in record.layouts.items()
            ],
        ),
        "",
        *(f"{FORMATS[name].title}: {FORMATS[name].advice}\n" for name in _formats(records) if FORMATS[name].advice),
        *_recalls(records),
        *_never_run(records),
        "`spec.json` has the class names, the preprocessing, the temperature and the thresholds; temperature and "
        f"thresholds were fitted for the bundle's {bundle.spec.default} network. {bundle.spec.not_a_diagnosis}",
        "",
    ]
    return "\n".join(lines)


_HEAD = ("format", "precision", "files", "size", "error", "same class", "latency (ONNX), ms", "thresholds", "verdict")


def _row(record: Measured) -> tuple[str, ...]:
    size = readable(sum(record.files.values())) if record.files else "-"
    error = "-" if record.error is None or np.isinf(record.error) else f"{record.error:.1e}"
    same = "-" if record.agreement is None else f"{percent(record.agreement, 1)}%"
    latency = "-" if record.milliseconds is None else f"{record.milliseconds:.2f} ({record.onnx_milliseconds:.2f})"
    names = ", ".join(record.files) or "-"
    verdict = _marked(record.verdict.partition(":")[0])
    thresholds = _marked(record.thresholds)
    return (FORMATS[record.format].title, record.precision, names, size, error, same, latency, thresholds, verdict)


def _title(record: Measured) -> str:
    return f"{FORMATS[record.format].title}, {record.precision}"


def _formats(records: Sequence[Measured]) -> list[str]:
    return list(dict.fromkeys(record.format for record in records))


def _marked(text: str) -> str:
    return f"**{text}**" if text.startswith(("FAILS", "WRONG", NEVER_RUN, ALWAYS_REFER)) else text


def _recalls(records: Sequence[Measured]) -> list[str]:
    """Return the recall of each class on the validation images, in the bundle and in each file."""
    shown = [record for record in records if record.recall]
    if not shown:
        return []
    rows = [
        (name, f"{each.images:,}", _recall(each.before), *(_recall(record.recall[name].after) for record in shown))
        for name, each in shown[0].recall.items()
    ]
    head = ("class", "images", "bundle, fp32", *map(_title, shown))
    return ["## Recall on the validation images", "", *table(head, rows), ""]


def _recall(share: float) -> str:
    return f"{percent(share, 1)} %"


def _never_run(records: Sequence[Measured]) -> list[str]:
    files = [name for record in records if record.error is None for name in record.files]
    if not files:
        return []
    return [
        f"# {NEVER_RUN}: {', '.join(files)}",
        "",
        "This machine has no runtime for it, so nobody knows whether it predicts what the bundle predicts. Do not ship "
        f"it. On a Mac, in this folder: `pip install coremltools numpy`, then `python {ON_A_MAC}`; it runs the golden "
        "images and adds the result to this certificate.",
        "",
    ]
