"""Make a bundle of a finished run: convert, quantise, choose on validation, evaluate on test, write the bundle."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dspkd.data.transforms import CentreCrop
from dspkd.deploy.bundle import preprocess
from dspkd.deploy.bundle.predictor import INPUT, OUTPUT, session, softmax
from dspkd.deploy.bundle.reader import SPEC, Bundle, open_bundle
from dspkd.deploy.bundle.spec import Preprocessing, describe, parse
from dspkd.deploy.bundle.writer import as_json, pack
from dspkd.deploy.export import certificate, class_names, golden, image_sets, onnx_graph, quantise
from dspkd.deploy.export.image_sets import ImageSet
from dspkd.deploy.export.model_card import card
from dspkd.deploy.export.quantise import QuantTrial
from dspkd.errors import BundleError
from dspkd.evaluation import calibration, selective
from dspkd.evaluation.classes import melanoma
from dspkd.evaluation.predictions import Predictions
from dspkd.models.tapped import Tapped
from dspkd.recipes.schema import Recipe
from dspkd.runs import build, evaluate
from dspkd.runs.run_folder import Run

NOT_A_DIAGNOSIS = (
    "For research. This is no diagnosis, and no decision about a person's health may rest on it. See a doctor."
)
COVERAGE = 0.9
"""The share of images answered where no class is melanoma, which sets the threshold otherwise (inferred)."""

CALIBRATION_IMAGES = 256
"""Training images from which the ranges of activations are computed (inferred)."""

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

    def part(self, name: str) -> ImageSet:
        """Return a part of the run's own images; a test-set evaluation is counted."""
        table, rows = evaluate.own_part(self.run, self.recipe, self.classes, name, purpose="export")
        return image_sets.read(table.take(rows), self.steps)

    def training(self) -> ImageSet:
        """Return the training images for int8 calibration."""
        table, rows = evaluate.own_part(self.run, self.recipe, self.classes, "train", purpose="export")
        return image_sets.read(image_sets.sample(table.take(rows), CALIBRATION_IMAGES), self.steps)

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


def source(run: Path) -> ExportSource:
    """Load a finished run's network with its preprocessing.

    Raises
    ------
    RunError
        There is no finished run.
    """
    made_by = Run(run)
    network = made_by.model
    crop = build.centre_crop(made_by.recipe.images)
    steps = Preprocessing(crop.decode_side, crop.size, crop.artefacts)
    return ExportSource(run, network, made_by.recipe, made_by.classes, crop, steps)


def export(
    run: Path,
    out: Path,
    *,
    max_loss: float = 0.02,
    coverage: float | None = None,
    licence: str | None = None,
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
        Share of the validation images to answer; those with lower confidence are referred. By default the threshold is
        set so that 95 % of the melanomas are found or referred; 0.9 where there is no class MEL.
    licence
        Terms of the weights, in place of those of the data set.
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
    exported = source(run)
    fp32 = onnx_graph.to_onnx(exported.network, exported.steps.size)
    images = golden.paint(exported.steps.short_side)
    pixels = np.stack([preprocess.apply(preprocess.decode(image), exported.steps) for image in images.values()])
    difference = onnx_graph.largest_difference(exported.network, fp32, pixels)
    log(f"float32: {len(fp32):,} bytes, logits within {difference:.1e} of torch's")

    validation = exported.part("val")
    reference = validation.predict(fp32)
    best, trials = quantise.search(
        fp32, reference, exported.training().images, validation.predict, max_loss=max_loss, log=log
    )
    models = {"fp32": fp32, "int8": best.model}
    default = "int8" if best.passes else "fp32"
    temperature, threshold, rule = _thresholds(best.predictions if best.passes else reference, coverage)
    spec = {
        "name": exported.recipe.name,
        "classes": [vars(each) for each in class_names.classes(exported.classes)],
        "preprocessing": describe(exported.steps),
        "temperature": temperature,
        "thresholds": {"refer_below": threshold, "rule": rule},
        "models": {name: {"file": f"model.{name}.onnx", "bytes": len(model)} for name, model in models.items()},
        "default": default,
        "not_a_diagnosis": NOT_A_DIAGNOSIS,
    }
    origins = certificate.origins(run, exported.recipe)
    parts = {
        "validation": exported.predictions(validation, "val", models),
        "test": exported.predictions(exported.part("test"), "test", models),
    }
    evaluate.count_test_evaluations(run)
    measured = {
        "parts": {
            name: certificate.part(predictions, temperature, threshold, default) for name, predictions in parts.items()
        },
        "conversion": {
            "verdict": _verdict(best, max_loss),
            "max_loss": max_loss,
            "fp32": {"largest difference of a logit from torch": difference},
            "int8": {"chosen": str(best.setting), "tried": [trial.to_json() for trial in trials]},
        },
        "decoder": certificate.decoders(validation, exported.crop),
        "referral rule": rule,
        "size": certificate.size(exported.network, exported.steps.size, models),
        "latency": certificate.times(exported.network, models, pixels[:1]),
        "origins": origins,
        "licence": certificate.licence(
            origins["data"]["layout"], synthetic=origins["data"]["synthetic"], stated=licence
        ),
    }
    files = {f"model.{name}.onnx": model for name, model in models.items()}
    files |= {SPEC: as_json(spec), "certificate.json": as_json(measured)}
    files |= _golden(images, pixels, models, temperature)
    files["card.md"] = card(parse(files[SPEC]), measured).encode()
    pack(out, files)
    return open_bundle(out)


def _silent(text: str) -> None:
    pass


def _thresholds(validation: Predictions, coverage: float | None) -> tuple[float, float, str]:
    """Return the temperature, the confidence below which to refer, and a sentence on how that was chosen."""
    temperature = calibration.temperature(validation)
    calibrated = calibration.scaled(validation, temperature)
    number = melanoma(validation.classes)
    if coverage is None and number is not None and (validation.labels == number).any():
        name = validation.classes[number]
        rule = f"With it, {selective.SENSITIVITY:.0%} of the {name} images in validation are found or referred."
        return temperature, selective.threshold_for(calibrated, number), rule
    share = COVERAGE if coverage is None else coverage
    if not 0 < share <= 1:
        raise BundleError(f"coverage: {share}; want a share of the images to answer, above 0 and up to 1")
    rule = f"With it, {share:.0%} of the validation images are answered."
    return temperature, selective.threshold_at(calibrated, share), rule


def _verdict(best: QuantTrial, max_loss: float) -> str:
    """Return which model is the default, and the class that decided it, in a sentence or two."""
    labels, classes = best.predictions.labels, best.predictions.classes
    images = {name: int((labels == number).sum()) for number, name in enumerate(classes)}
    worst = max(best.lost, key=lambda name: best.lost[name] / quantise.allowed(images[name], max_loss))
    lost = f"{best.lost[worst]} of the {images[worst]} validation images of {worst}"
    rule = (
        f"a class may lose {max_loss:.0%} of its validation images, or a single one "
        f"({math.floor(quantise.allowed(images[worst], max_loss))} of {worst})"
    )
    if best.passes:
        return f"Default: int8 ({best.setting}). Closest to its limit is {worst}: it loses {lost}; {rule}."
    return (
        f"Default: fp32. The best int8 model ({best.setting}) loses {lost}; {rule}. It is in the bundle for expert use."
    )


def _golden(
    images: Mapping[str, Any], images_N3SS: NDArray[np.float32], models: Mapping[str, bytes], temperature: float
) -> dict[str, bytes]:
    """Return the golden files.

    The tolerance of a logit is four times the difference between fused and plain operators on this machine, and
    at least two quantisation steps.
    """
    logits, tolerances = {}, {}
    for precision, model in models.items():
        (logits[precision],) = session(model).run([OUTPUT], {INPUT: images_N3SS})
        (plain,) = session(model, fused=False).run([OUTPUT], {INPUT: images_N3SS})
        difference = float(np.abs(plain - logits[precision]).max())
        tolerances[precision] = round(max(1e-3, 4 * difference, 2 * quantise.step(model)), 6)
    probabilities = {precision: softmax(logits_NK, temperature) for precision, logits_NK in logits.items()}
    return golden.files(images, images_N3SS, logits, probabilities, tolerances)
