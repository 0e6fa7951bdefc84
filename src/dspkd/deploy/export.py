"""Make a bundle of a finished run."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dspkd import build
from dspkd.data.transforms import CentreCrop
from dspkd.deploy import golden, graph, meanings, preprocess
from dspkd.deploy.bundle import SPEC
from dspkd.deploy.pack import as_json, pack
from dspkd.deploy.predictor import INPUT, OUTPUT, session
from dspkd.deploy.spec import Preprocessing, describe
from dspkd.evaluate import abstention, calibration
from dspkd.evaluate.predictions import Predictions

NOT_A_DIAGNOSIS = (
    "For research. This is no diagnosis, and no decision about a person's health may rest on it. See a doctor."
)


def export(run: Path, out: Path) -> Path:
    """Write the bundle of a finished run."""
    network, recipe, classes = build.trained(run)
    crop: CentreCrop = build.centre_crop(recipe.pictures)
    steps = Preprocessing(crop.decode_side, crop.size, crop.artefacts)
    fp32 = graph.to_onnx(network, crop.size)
    images = golden.paint(crop.decode_side)
    pictures = np.stack([preprocess.picture(preprocess.decode(image), steps) for image in images.values()])
    graph.largest_difference(network, fp32, pictures)
    validation = Predictions.load(run / "predictions" / "val.csv")
    temperature = calibration.temperature(validation)
    number = classes.index("MEL") if "MEL" in classes else 0
    threshold = abstention.threshold_for(calibration.scaled(validation, temperature), number)
    (logits,) = session(fp32).run([OUTPUT], {INPUT: pictures})
    scaled = np.exp((logits - logits.max(1, keepdims=True)).astype(np.float64) / temperature)
    spec = {
        "name": recipe.name,
        "classes": [vars(known) for known in meanings.classes(classes)],
        "preprocessing": describe(steps),
        "temperature": temperature,
        "thresholds": {"refer_below": threshold},
        "models": {"fp32": {"file": "model.fp32.onnx", "bytes": len(fp32)}},
        "default": "fp32",
        "not_a_diagnosis": NOT_A_DIAGNOSIS,
    }
    probabilities = scaled / scaled.sum(1, keepdims=True)
    files = {"model.fp32.onnx": fp32, SPEC: as_json(spec)}
    files |= golden.files(images, pictures, {"fp32": logits}, {"fp32": probabilities}, {"fp32": 1e-3})
    files["certificate.json"] = as_json({})
    files["card.md"] = b"# to come\n"
    pack(out, files)
    return out
