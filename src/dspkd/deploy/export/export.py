"""Make a bundle of a finished run: convert, quantise, choose on validation, judge on test, write down everything."""

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
from dspkd.runs import build
from dspkd.runs import evaluate as judge

NOT_A_DIAGNOSIS = (
    "For research. This is no diagnosis, and no decision about a person's health may rest on it. See a doctor."
)
COVERAGE = 0.9
"""The class that decides when to refer, and the share of images answered where there is no such class (inferred)."""

CALIBRATION_IMAGES = 256
"""Training images on which ranges of activations are found (inferred)."""

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
        """Return a part of the run's own images; an opening of the test part is counted."""
        table, rows = judge.own_part(self.run, self.recipe, self.classes, name, purpose="export")
        return image_sets.read(table.take(rows), self.steps)

    def training(self) -> ImageSet:
        """Return the training images on which to calibrate."""
        table, rows = judge.own_part(self.run, self.recipe, self.classes, "train", purpose="export")
        return image_sets.read(image_sets.drawn(table.take(rows), CALIBRATION_IMAGES), self.steps)

    def answers(self, shown: ImageSet, name: str, models: Mapping[str, bytes]) -> dict[str, Predictions]:
        """Return what the run said, and what the network in torch and each model say of a part."""
        eager = onnx_graph.LogitsOnly(self.network).eval()
        with torch.inference_mode():
            logits = [eager(torch.from_numpy(batch)).numpy() for batch in quantise.batches(shown.images)]
        return {
            "run": Predictions.load(self.run / "predictions" / f"{name}.csv"),
            "torch": shown.predictions(logits),
            **{precision: shown.ask(model) for precision, model in models.items()},
        }


def source(run: Path) -> ExportSource:
    """Return a finished run's network, and what it needs to be asked rightly.

    Raises
    ------
    RunError
        There is no finished run.
    """
    network, recipe, classes = build.trained(run)
    crop = build.centre_crop(recipe.images)
    return ExportSource(
        run, network.eval(), recipe, classes, crop, Preprocessing(crop.decode_side, crop.size, crop.artefacts)
    )


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

    Int8 is chosen, and temperature and threshold are fitted, on the run's validation images; its test images are
    looked at once, after that. All through the bundle's own preprocessing.

    Parameters
    ----------
    run, out
        The run's folder, and the file to write.
    max_loss
        The share of its recall that a class may lose from float32 to int8 on validation if int8 is to be the default;
        a single image is always allowed.
    coverage
        Refer what is less sure than this share of the validation images. By default what is needed for 95 % of the
        melanomas to be found or referred; 0.9 where there is no class MEL.
    licence
        Terms of the weights, where those of the data set are not the last word.
    log
        Is told what is being done.

    Raises
    ------
    RunError, DataError
        There is no finished run, or its images have gone or changed.
    BundleError
        The network cannot be converted faithfully.
    """
    log = log or _silent
    made_of = source(run)
    fp32 = onnx_graph.to_onnx(made_of.network, made_of.steps.size)
    images = golden.paint(made_of.steps.short_side)
    pixels = np.stack([preprocess.apply(preprocess.decode(image), made_of.steps) for image in images.values()])
    difference = onnx_graph.largest_difference(made_of.network, fp32, pixels)
    log(f"float32: {len(fp32):,} bytes, logits within {difference:.1e} of torch's")

    shown = made_of.part("val")
    reference = shown.ask(fp32)
    best, tries = quantise.search(fp32, reference, made_of.training().images, shown.ask, max_loss=max_loss, log=log)
    models = {"fp32": fp32, "int8": best.model}
    default = "int8" if best.passes else "fp32"
    temperature, threshold, rule = _thresholds(best.predictions if best.passes else reference, coverage)
    spec = {
        "name": made_of.recipe.name,
        "classes": [vars(known) for known in class_names.classes(made_of.classes)],
        "preprocessing": describe(made_of.steps),
        "temperature": temperature,
        "thresholds": {"refer_below": threshold, "rule": rule},
        "models": {name: {"file": f"model.{name}.onnx", "bytes": len(model)} for name, model in models.items()},
        "default": default,
        "not_a_diagnosis": NOT_A_DIAGNOSIS,
    }
    origins = certificate.origins(run, made_of.recipe)
    validation = made_of.answers(shown, "val", models)
    test = made_of.answers(made_of.part("test"), "test", models)
    judge.count_test_evaluations(run)
    measured = {
        "parts": {
            name: certificate.part(answers, temperature, threshold, default)
            for name, answers in (("validation", validation), ("test", test))
        },
        "conversion": {
            "verdict": _verdict(best, max_loss),
            "max_loss": max_loss,
            "fp32": {"largest difference of a logit from torch": difference},
            "int8": {"chosen": str(best.setting), "tried": [tried.to_json() for tried in tries]},
        },
        "decoder": certificate.decoders(shown, made_of.crop),
        "referral rule": rule,
        "size": certificate.size(made_of.network, made_of.steps.size, models),
        "latency": certificate.times(made_of.network, models, pixels[:1]),
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
    """Return the temperature, the confidence below which to refer, and how that was chosen."""
    temperature = calibration.temperature(validation)
    sharp = calibration.scaled(validation, temperature)
    number = melanoma(validation.classes)
    if coverage is None and number is not None and (validation.labels == number).any():
        name = validation.classes[number]
        rule = f"So {selective.SENSITIVITY:.0%} of the {name} images in validation are found or referred."
        return temperature, selective.threshold_for(sharp, number), rule
    share = COVERAGE if coverage is None else coverage
    if not 0 < share <= 1:
        raise BundleError(f"coverage: {share}; want a share of the images to answer, above 0 and up to 1")
    return temperature, selective.threshold_at(sharp, share), f"So {share:.0%} of the validation images are answered."


def _verdict(best: QuantTrial, max_loss: float) -> str:
    """Return in a sentence or two which model is the default, and the class that decided it."""
    told = best.predictions
    images = {name: int((told.labels == number).sum()) for number, name in enumerate(told.classes)}
    worst = max(best.lost, key=lambda name: best.lost[name] / quantise.allowed(images[name], max_loss))
    lost = f"{best.lost[worst]} of the {images[worst]} validation images of {worst}"
    rule = (
        f"a class may lose {max_loss:.0%} of its validation images, or a single one "
        f"({math.floor(quantise.allowed(images[worst], max_loss))} of {worst})"
    )
    if best.passes:
        return f"Default: int8 ({best.setting}). Nearest to its limit is {worst}: it loses {lost}; {rule}."
    return (
        f"Default: fp32. The best int8 model ({best.setting}) loses {lost}; {rule}. "
        "It is in the bundle for those who know what they do."
    )


def _golden(
    images: Mapping[str, Any], images_N3SS: NDArray[np.float32], models: Mapping[str, bytes], temperature: float
) -> dict[str, bytes]:
    """Return the golden files.

    Another machine may be off by four times what other arithmetic is off here, and by two steps of a rounded logit.
    """
    logits, tolerances = {}, {}
    for precision, model in models.items():
        (logits[precision],) = session(model).run([OUTPUT], {INPUT: images_N3SS})
        (plain,) = session(model, fused=False).run([OUTPUT], {INPUT: images_N3SS})
        apart = float(np.abs(plain - logits[precision]).max())
        tolerances[precision] = round(max(1e-3, 4 * apart, 2 * quantise.step(model)), 6)
    probabilities = {precision: softmax(told, temperature) for precision, told in logits.items()}
    return golden.files(images, images_N3SS, logits, probabilities, tolerances)
