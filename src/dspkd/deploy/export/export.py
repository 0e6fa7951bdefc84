"""Make a bundle of a finished run: convert, quantise, choose on validation, evaluate on test, write the bundle."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from dspkd.data.table import Table
from dspkd.data.transforms import CentreCrop
from dspkd.deploy.bundle import preprocess
from dspkd.deploy.bundle.advice import ReferralRule
from dspkd.deploy.bundle.reader import SPEC, Bundle, open_bundle
from dspkd.deploy.bundle.spec import BundleClass, Preprocessing, describe, parse
from dspkd.deploy.bundle.writer import as_json, pack
from dspkd.deploy.convert import kept_images
from dspkd.deploy.convert.kept_images import KeptImages
from dspkd.deploy.export import (
    certificate,
    class_names,
    duration,
    golden,
    image_sets,
    int8_gate,
    onnx_graph,
    quantise,
    thresholds,
)
from dspkd.deploy.export.image_sets import ImageSet
from dspkd.deploy.export.int8_gate import Change
from dspkd.deploy.export.model_card import card
from dspkd.deploy.export.places import located
from dspkd.deploy.export.quantise import QuantTrial
from dspkd.evaluation.classes import Malignancy, in_words, malignancies
from dspkd.evaluation.metrics import summarise
from dspkd.evaluation.predictions import Predictions
from dspkd.models.tapped import Tapped
from dspkd.recipes.schema import Recipe
from dspkd.runs import build, evaluate
from dspkd.runs.files import RunFiles
from dspkd.runs.run_folder import Run
from dspkd.runtime.files import require_file

NOT_A_DIAGNOSIS = (
    "For research. This is no diagnosis, and no decision about a person's health may rest on it. See a doctor."
)
CALIBRATION_IMAGES = 256
"""Training images from which the ranges of activations are computed (inferred)."""

_NOT_CHECKABLE = (
    "Default: fp32. The best int8 model ({}) is not in the bundle: on another machine its logits may differ by half of "
    "their range or more, so that no check would find a fault."
)

Log = Callable[[str], None]


@dataclass(frozen=True)
class ExportSource:
    """A finished run, ready to be converted."""

    run: Path
    network: Tapped
    recipe: Recipe
    classes: tuple[str, ...]
    crop: CentreCrop
    steps: Preprocessing
    kinds: tuple[Malignancy, ...]
    data: Path | None = None

    def part(self, name: str) -> ImageSet:
        """Return a part of the run's own images; a test-set evaluation is counted."""
        table, rows = self._rows(name)
        return image_sets.read(table.take(rows), self.steps)

    def training(self) -> ImageSet:
        """Return the training images for int8 calibration."""
        table, rows = self._rows("train")
        return image_sets.read(image_sets.sample(table.take(rows), CALIBRATION_IMAGES), self.steps)

    def _rows(self, part: str) -> tuple[Table, NDArray[np.int64]]:
        recipe = located(self.run, self.recipe, self.data)
        return evaluate.own_part(self.run, recipe, self.classes, part, purpose="export")

    def plan(self, validation: ImageSet, decoding: float, predicting: float) -> str:
        """Return what remains to be done, and how long it will take, from the seconds that validation took."""
        images = len(validation.table)
        counts = {name: sum(n for n, _ in of.values()) for name, of in Run(self.run).data.counts.items()}
        calibration = min(CALIBRATION_IMAGES, counts["train"])
        seconds = duration.expected(
            decoding / images,
            predicting / images,
            trials=quantise.TRIALS,
            validation=images,
            calibration=calibration,
            test=counts["test"],
        )
        return (
            f"to do: {quantise.TRIALS} settings of int8 on {calibration:,} training and {images:,} validation images, "
            f"then {counts['test']:,} test images, and latencies: {duration.roughly(seconds)} in all"
        )

    def predictions(self, image_set: ImageSet, name: str, models: Mapping[str, bytes]) -> dict[str, Predictions]:
        """Return the predictions for a part: the run's saved ones, the network's in torch, and each ONNX model's."""
        eager = onnx_graph.LogitsOnly(self.network).eval()
        with torch.inference_mode():
            logits = [eager(torch.from_numpy(batch)).numpy() for batch in quantise.batches(image_set.images)]
        return {
            "run": Run(self.run).predictions(name),
            "torch": image_set.predictions(logits),
            **{precision: image_set.predict(model) for precision, model in models.items()},
        }


def source(run: Path, data: Path | None = None) -> ExportSource:
    """Load a finished run's network with its preprocessing; `data` is where its images are, by default as recorded.

    Raises
    ------
    RunError
        There is no finished run.
    """
    made_by = Run(run)
    network = made_by.model
    _ = made_by.result  # which training writes last
    crop = build.centre_crop(made_by.recipe.images)
    steps = Preprocessing(crop.decode_side, crop.size, crop.artefacts)
    stated = made_by.recipe.data
    kinds = malignancies(made_by.classes, stated.malignant, stated.benign)
    return ExportSource(run, network, made_by.recipe, made_by.classes, crop, steps, kinds, data)


def export(
    run: Path,
    out: Path,
    *,
    max_loss: float = 0.02,
    coverage: float | None = None,
    licence: str | None = None,
    data: Path | None = None,
    keep_images: Path | None = None,
    log: Log | None = None,
) -> Bundle:
    """Write the bundle of a finished run.

    Int8 is chosen, and temperature and threshold are fitted, on the run's validation images; after that its test set is
    evaluated once. All with the bundle's own preprocessing.

    Parameters
    ----------
    run, out
        The run's folder, and the file to write.
    max_loss
        The share of a class's validation images by which its recall may fall from float32 to int8 if int8 is to be the
        default; a single image is always allowed.
    coverage
        Share of the validation images that the threshold of confidence alone does not refer. By default 95 % of the
        melanoma images are found or referred; 0.9 without any, or where that refers more, with fewer than 30 lesions.
    licence
        Terms of the weights, in place of those of the data set.
    data
        Where the run's images are; by default where its recipe says, from the folder in which training was started.
    keep_images
        A file for the calibration and validation images, with which `dspkd convert` checks converted files. It has
        photographs of the data set, and is not part of the bundle.
    log
        Called with lines about the progress.

    Raises
    ------
    RunError, DataError
        There is no finished run, or its images have gone or changed.
    BundleError
        The network cannot be converted faithfully.
    """
    log = log or _silent
    require_file(out)
    exported = source(run, data)
    place = Path(located(run, exported.recipe, data).data.path)
    for line in in_words(exported.classes, exported.kinds, str(RunFiles(run).recipe)):
        log(line)
    fp32 = onnx_graph.to_onnx(exported.network, exported.steps.size)
    images = golden.paint(exported.steps.short_side)
    pixels = np.stack([preprocess.apply(preprocess.decode(image), exported.steps) for image in images.values()])
    difference = onnx_graph.largest_difference(exported.network, fp32, pixels)
    log(f"float32: {len(fp32):,} bytes, logits within {difference:.1e} of torch's")

    started = time.perf_counter()
    validation = exported.part("val")
    decoded = time.perf_counter()
    reference = validation.predict(fp32)
    log(exported.plan(validation, decoded - started, time.perf_counter() - decoded))
    of_fp32 = thresholds.fit(reference, exported.kinds, coverage)
    calibration = exported.training().images
    best, trials = quantise.search(fp32, reference, calibration, validation.predict, max_loss=max_loss, log=log)
    checkable = golden.checkable(best.model, pixels)
    models = {"fp32": fp32} | ({"int8": best.model} if checkable else {})
    classes = class_names.classes(exported.classes, exported.kinds)
    gate = int8_gate.changes(reference, best.predictions, exported.kinds, _referral(classes, of_fp32))
    for line in (_accuracy(reference, best.predictions), *map(str, gate)):
        log(f"int8 on validation: {line}")
    default = "int8" if checkable and best.passes and all(change.passes for change in gate) else "fp32"
    fitted = of_fp32 if default == "fp32" else thresholds.fit(best.predictions, exported.kinds, coverage)
    spec = {
        "name": exported.recipe.name,
        "classes": [vars(each) for each in classes],
        "preprocessing": describe(exported.steps),
        "temperature": fitted.temperature,
        "thresholds": fitted.to_json(),
        "models": {name: {"file": f"model.{name}.onnx", "bytes": len(model)} for name, model in models.items()},
        "default": default,
        "not_a_diagnosis": NOT_A_DIAGNOSIS,
    }
    origins = certificate.origins(run, exported.recipe, place)
    parts = {
        "validation": exported.predictions(validation, "val", models),
        "test": exported.predictions(exported.part("test"), "test", models),
    }
    evaluate.count_test_evaluations(run)
    measured = {
        "parts": {
            name: certificate.part(predictions, fitted, default)
            | {"advice": certificate.advised(predictions[default], exported.kinds, _referral(classes, fitted))}
            for name, predictions in parts.items()
        },
        "conversion": {
            "verdict": _verdict(best, max_loss, gate) if checkable else _NOT_CHECKABLE.format(best.setting),
            "max_loss": max_loss,
            "gate": {"margin": int8_gate.MARGIN, "changes": [change.to_json() for change in gate]},
            "fp32": {"largest difference of a logit from torch": difference},
            "int8": {"chosen": str(best.setting), "tried": [trial.to_json() for trial in trials]},
        },
        "decoder": certificate.decoders(validation, exported.crop),
        "referral rule": fitted.rule,
        "size": certificate.size(exported.network, exported.steps.size, models),
        "latency": certificate.times(exported.network, models, pixels[:1]),
        "origins": origins,
        "licence": certificate.licence(origins, stated=licence),
    }
    files = {f"model.{name}.onnx": model for name, model in models.items()}
    files |= {SPEC: as_json(spec), "certificate.json": as_json(measured)}
    files |= golden.computed(images, pixels, models, fitted.temperature)
    files["card.md"] = card(parse(files[SPEC]), measured).encode()
    pack(out, files)
    bundle = open_bundle(out)
    if keep_images is not None:
        of = validation.table
        kept_images.save(keep_images, bundle, KeptImages(calibration, validation.images, of.ids, of.groups, of.labels))
    return bundle


def _silent(text: str) -> None:
    pass


def _referral(
    classes: tuple[BundleClass, ...], fitted: thresholds.Thresholds
) -> Callable[[Predictions], NDArray[np.bool_]]:
    """Return a function from predictions to ``[N]``, whether each image is referred."""
    rule = ReferralRule(classes, fitted.refer_below, fitted.refer_from, fitted.refer_from_rule)
    return partial(thresholds.referred, rule, fitted.temperature)


def _accuracy(fp32: Predictions, int8: Predictions) -> str:
    """Return the balanced accuracy and the accuracy before and after, in words."""
    before, after = (summarise(each) for each in (fp32, int8))
    return (
        f"balanced accuracy: {before.balanced_accuracy:.3f} in float32, {after.balanced_accuracy:.3f} in int8; "
        f"accuracy: {before.accuracy:.3f}, {after.accuracy:.3f}; {before.images:,} images"
    )


def _verdict(best: QuantTrial, max_loss: float, gate: Sequence[Change]) -> str:
    """Return which model is the default, and the class that decided it, in a sentence or two."""
    labels, classes = best.predictions.labels, best.predictions.classes
    images = {name: int((labels == number).sum()) for number, name in enumerate(classes)}
    worst = max(best.lost, key=lambda name: best.lost[name] / int8_gate.allowed(images[name], max_loss))
    lost = f"{best.lost[worst]} of the {images[worst]} validation images of {worst}"
    rule = (
        f"a class may lose {max_loss:.0%} of its validation images, or a single one "
        f"({math.floor(int8_gate.allowed(images[worst], max_loss))} of {worst})"
    )
    doubtful = [change for change in gate if not change.passes]
    if best.passes and doubtful:
        return (
            f"Default: fp32. The validation images do not show that int8 ({best.setting}) misses no more cancers: "
            f"{'; '.join(change.reason for change in doubtful)}. It is in the bundle for expert use."
        )
    if best.passes:
        return f"Default: int8 ({best.setting}). Closest to its limit is {worst}: it loses {lost}; {rule}."
    return (
        f"Default: fp32. The best int8 model ({best.setting}) loses {lost}; {rule}. It is in the bundle for expert use."
    )
