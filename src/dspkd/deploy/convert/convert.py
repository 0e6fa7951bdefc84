"""Convert a bundle to the formats of phones; each file is run on images here before it is written."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from dspkd.deploy.bundle.advice import rule_of
from dspkd.deploy.bundle.golden_cases import GOLDEN, array
from dspkd.deploy.bundle.json_values import at
from dspkd.deploy.bundle.limits import CERTIFICATE
from dspkd.deploy.bundle.predictor import Predictor
from dspkd.deploy.bundle.reader import SPEC, Bundle
from dspkd.deploy.convert import certificate, folder, measured, single_image
from dspkd.deploy.convert.environments import python_for
from dspkd.deploy.convert.formats import named
from dspkd.deploy.convert.kept_images import KeptImages
from dspkd.deploy.convert.kept_images import load as load_images
from dspkd.deploy.convert.measured import Measured
from dspkd.deploy.convert.worker_process import Worker
from dspkd.deploy.export import int8_gate, thresholds
from dspkd.errors import BundleError, DspkdError
from dspkd.evaluation.classes import Malignancy
from dspkd.evaluation.predictions import Predictions

MAX_LOSS = 0.02
"""Recall that a class may lose where a bundle's certificate names no other; see `dspkd.deploy.export.export.export`."""

Log = Callable[[str], None]


@dataclass(frozen=True, eq=False)
class Reference:
    """What the bundle itself computes in float32, with which converted files are compared.

    Attributes
    ----------
    images, logits
        The golden images, ``[N, 3, S, S]`` in 8 bits, and their logits ``[N, K]``.
    kept, validation
        The kept images, and the bundle's predictions for the validation images; None where none were kept.
    max_loss
        Share of its recall that a class may lose.
    milliseconds
        Median latency of ONNX Runtime for an image, one thread.
    """

    bundle: Bundle
    images: NDArray[np.uint8]
    logits: NDArray[np.float32]
    kept: KeptImages | None
    validation: Predictions | None
    max_loss: float
    milliseconds: float


def convert(
    bundle: Bundle,
    formats: Sequence[str],
    out: Path,
    *,
    smaller: bool = False,
    images: Path | None = None,
    pythons: Mapping[str, Path] | None = None,
    keep_failed: bool = False,
    log: Log = lambda _: None,
) -> list[Measured]:
    """Write a bundle's network in other formats, with a certificate of what was measured of each file.

    A file in float32 passes if its logits are within `measured.LARGEST_ERROR` of the bundle's for every image; a
    smaller one if it passes the bundle's own test for int8 on the validation images. A file that fails is not written.
    One that cannot be run on this machine is written, and marked so.

    Parameters
    ----------
    bundle
        An opened bundle.
    formats
        Names of `FORMATS`.
    out
        Folder for the files, ``conversion.json``, ``conversion.md``, ``spec.json`` and the golden images; all are put
        in together at the end, in place of those of an earlier conversion of the same bundle.
    smaller
        Also write the smaller form of each format: int8, or weights in 16 bits. Needs `images`.
    images
        A file that `dspkd export --keep-images` wrote for this bundle.
    pythons
        ``{format: Python that has its converter}``; for the others an environment is made, once.
    keep_failed
        Also write files that fail, under a name that says so.
    log
        Called with lines about the progress.

    Returns
    -------
    list
        A record for each file, also for those that fail.

    Raises
    ------
    BundleError
        A format is unknown, the images are missing or of another bundle, the bundle needs steps that no phone has, or
        files that are not made again would stay in the folder, of another bundle perhaps; see `folder.check`.
    """
    chosen = named(formats)
    if unused := sorted((pythons or {}).keys() - {each.name for each in chosen}):
        raise BundleError(
            f"--python {unused[0]}=...: that format is not converted to; name it in --to, or leave it out"
        )
    if smaller and images is None:
        raise BundleError(
            "int8 must be measured before it is used, on images that the bundle does not have: export the run with "
            "--keep-images FILE, then convert with --images FILE"
        )
    if kinds := bundle.spec.preprocessing.artefacts:
        raise BundleError(
            f"{bundle.path}: removes {', '.join(kinds)} before it predicts, for which phones have no code"
        )
    folder.check(out, bundle, chosen, smaller=smaller)
    reference = _reference(bundle, None if images is None else load_images(images, bundle))
    out.mkdir(parents=True, exist_ok=True)
    records: list[Measured] = []
    with tempfile.TemporaryDirectory() as work, tempfile.TemporaryDirectory(prefix=".unfinished.", dir=out) as made:
        onnx, ready = Path(work, "network.onnx"), Path(made)
        onnx.write_bytes(single_image.fixed(bundle.read(bundle.spec.models["fp32"].file)))
        for each in chosen:
            worker = Worker(each, python_for(each, (pythons or {}).get(each.name), log), Path(work))
            for precision in folder.precisions(each, smaller=smaller):
                records.append(_one(reference, worker, onnx, precision, ready, keep_failed=keep_failed))
                log(f"{each.title}, {precision}: {records[-1].verdict}")
        (ready / SPEC).write_bytes(bundle.read(SPEC))
        certificate.write(ready, bundle, records, reference.images, reference.logits)
        folder.put(ready, out, chosen, smaller=smaller)
    return records


def _reference(bundle: Bundle, kept: KeptImages | None) -> Reference:
    predictor = Predictor(bundle, "fp32")
    golden_N3SS = np.rint(255 * array(bundle, at(bundle.read_json(GOLDEN), "pictures", dict, GOLDEN))).astype(np.uint8)
    classes = [each.id for each in bundle.spec.classes]
    validation = None
    if kept is not None:
        validation = kept.predictions(classes, _logits(predictor, kept.images))
    conversion = bundle.read_json(CERTIFICATE).get("conversion", {}) if CERTIFICATE in bundle.files else {}
    return Reference(
        bundle=bundle,
        images=golden_N3SS,
        logits=_logits(predictor, golden_N3SS),
        kept=kept,
        validation=validation,
        max_loss=float(conversion.get("max_loss", MAX_LOSS)),
        milliseconds=_latency(predictor, golden_N3SS[:1]),
    )


def _logits(predictor: Predictor, images_N3SS: NDArray[np.uint8]) -> NDArray[np.float32]:
    return np.concatenate([predictor.logits(_scaled(image_3SS[None])) for image_3SS in images_N3SS])


def _scaled(images_N3SS: NDArray[np.uint8]) -> NDArray[np.float32]:
    return np.divide(images_N3SS, np.float32(255), dtype=np.float32)


def _latency(predictor: Predictor, image_13SS: NDArray[np.uint8], rounds: int = 30) -> float:
    pixels_13SS, seconds = _scaled(image_13SS), []
    for _ in range(rounds + 3):
        started = time.perf_counter()
        predictor.logits(pixels_13SS)
        seconds.append(time.perf_counter() - started)
    return 1000 * float(np.median(seconds[3:]))


def _one(
    reference: Reference, worker: Worker, onnx: Path, precision: str, ready: Path, *, keep_failed: bool
) -> Measured:
    """Convert to one format and precision, measure, and move the files to `ready` if they pass."""
    target, name = worker.phone_format, f"model.{precision}"
    kept = reference.kept
    calibration = reference.images if kept is None else kept.calibration
    file = worker.folder / (name if len(target.suffixes) > 1 else name + target.suffixes[0])
    try:
        worker.convert(onnx, file, precision, calibration)
        parts = [worker.folder / (name + suffix) for suffix in target.suffixes]
        if missing := [part.name for part in parts if not part.exists()]:
            raise BundleError(f"the converter wrote no {missing[0]}")
        record = partial(
            Measured,
            format=target.name,
            precision=precision,
            files={part.name: _bytes(part) for part in parts},
            of_default=reference.bundle.spec.default == "fp32" and reference.bundle.spec.refer_from is not None,
        )
        measured_file = _measured(reference, worker, file, precision, record)
    except DspkdError as error:  # DataError: a validation image without finite logits
        return Measured(format=target.name, precision=precision, files={}, error=float("inf"), problems=(str(error),))
    if not measured_file.problems or keep_failed:
        for part in parts:
            shutil.move(part, ready / (f"{folder.FAILED}{part.name}" if measured_file.problems else part.name))
    return measured_file


def _measured(
    reference: Reference, worker: Worker, file: Path, precision: str, record: Callable[..., Measured]
) -> Measured:
    if not worker.phone_format.runs_here:
        return record()
    outputs = worker.run(file, precision, reference.images)
    error, problems = measured.of_golden(outputs, reference.logits, precision)
    record = partial(
        record,
        error=error,
        layouts=measured.layouts(outputs),
        milliseconds=float(np.median(outputs.milliseconds)),
        onnx_milliseconds=reference.milliseconds,
    )
    if reference.kept is None or reference.validation is None or problems:
        return record(problems=tuple(problems))
    after = reference.kept.predictions(
        reference.validation.classes, worker.run(file, precision, reference.kept.images).logits
    )
    changes = _changes(reference, after) if precision != "fp32" else []
    agreement, recall, found = measured.of_validation(
        reference.validation, after, changes, precision, reference.max_loss
    )
    return record(images=len(after), agreement=agreement, recall=recall, changes=changes, problems=(*problems, *found))


def _changes(reference: Reference, after: Predictions) -> list[int8_gate.Change]:
    spec = reference.bundle.spec
    kinds = [cast("Malignancy", each.malignancy) for each in spec.classes]  # the reader checked them
    referred = partial(thresholds.referred, rule_of(spec, spec.default), spec.temperature)
    assert reference.validation is not None, "only called with kept images"
    return int8_gate.changes(reference.validation, after, kinds, referred)


def _bytes(path: Path) -> int:
    """Return the bytes of a file, or of all files of a package, which is a folder."""
    files = [each for each in path.rglob("*") if each.is_file()] if path.is_dir() else [path]
    return sum(each.stat().st_size for each in files)
