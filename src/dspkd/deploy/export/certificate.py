"""What was measured of a bundle, and where it comes from, as plain data: `certificate.json`."""

from __future__ import annotations

import copy
import json
import platform
from collections.abc import Callable, Mapping
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dspkd import data
from dspkd.data import decode as images
from dspkd.data import leakage
from dspkd.data.download.catalog import SOURCES
from dspkd.data.transforms import CentreCrop
from dspkd.deploy.bundle.predictor import INPUT, OUTPUT, session
from dspkd.deploy.export import latency, onnx_graph
from dspkd.deploy.export.image_sets import ImageSet
from dspkd.evaluation.calibration import calibration, scaled
from dspkd.evaluation.metrics import summarise
from dspkd.evaluation.predictions import Predictions
from dspkd.evaluation.selective import refer
from dspkd.models.macs import count
from dspkd.models.tapped import Tapped
from dspkd.recipes.schema import Recipe

SYNTHETIC = "The images are synthetic; no licence of others binds these weights."
UNSTATED = (
    "Not stated. Weights inherit what the licence of the training images asks for, and those of first weights and "
    "teacher: look there before you pass them on."
)


def recalls(answers: Mapping[str, Predictions]) -> dict[str, dict[str, Any]]:
    """Return ``{class: {images, answerer: recall}}`` of answerers about the same images; None without images."""
    first = next(iter(answers.values()))
    table: dict[str, dict[str, Any]] = {}
    for number, name in enumerate(first.classes):
        mine_N = first.labels == number
        table[name] = {"images": int(mine_N.sum())}
        for answerer, told in answers.items():
            table[name][answerer] = round(float((told.predicted[mine_N] == number).mean()), 6) if mine_N.any() else None
    return table


def part(answers: Mapping[str, Predictions], temperature: float, threshold: float, default: str) -> dict[str, Any]:
    """Return what is known of a part of the data: recalls and means of every answerer, calibration and referrals."""
    told = answers[default]
    sharp = scaled(told, temperature)
    return {
        "images": len(told),
        "lesions or patients": len(set(told.groups)),
        "recall": recalls(answers),
        "balanced accuracy": {name: round(summarise(p).balanced_accuracy, 6) for name, p in answers.items()},
        "accuracy": {name: round(float((p.predicted == p.labels).mean()), 6) for name, p in answers.items()},
        "answered as torch does": {
            name: round(float((p.predicted == answers["torch"].predicted).mean()), 6) for name, p in answers.items()
        },
        "calibration error": {"before": round(calibration(told).ece, 6), "after": round(calibration(sharp).ece, 6)},
        "referral": {
            name: asdict(refer(sharp, number, threshold))
            for number, name in enumerate(told.classes)
            if (told.labels == number).any()
        },
    }


def decoders(shown: ImageSet, crop: CentreCrop, most: int = 200) -> dict[str, Any]:
    """Return how far the bundle's images are from those by which the run was judged, in units of 1/255.

    The run's decoder takes a shortcut with large JPEGs and rounds the longer side in another way where it lies between.
    """
    rows = range(min(most, len(shown.table)))
    differences = []
    for row in rows:
        judged = crop(images.decode(shown.table.paths[row], short_side=crop.decode_side, artefacts=crop.artefacts))
        differences.append(np.abs(judged.numpy() * 255 - shown.images[row]))
    apart = np.stack(differences)
    return {"images": len(rows), "mean": round(float(apart.mean()), 6), "largest": round(float(apart.max()), 3)}


def size(network: Tapped, side: int, models: Mapping[str, bytes]) -> dict[str, Any]:
    """Return parameters, multiply-accumulates and bytes."""
    macs = count(copy.deepcopy(network).to("meta"), side=side)
    return {
        "parameters": sum(value.numel() for value in network.parameters()),
        "multiply-accumulates": macs.whole(network.spec.classes),
        "picture": [3, side, side],
        "bytes": {precision: len(model) for precision, model in models.items()},
    }


def times(network: Tapped, models: Mapping[str, bytes], image_13SS: NDArray[np.float32]) -> dict[str, Any]:
    """Return the latency of the network in torch and of each model, on this machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    eager, tensor = onnx_graph.LogitsOnly(network).eval(), torch.from_numpy(image_13SS)

    def by_torch() -> object:
        with torch.inference_mode():
            return eager(tensor)

    def by_runtime(model: bytes) -> Callable[[], object]:
        answering = session(model)
        return lambda: answering.run([OUTPUT], {INPUT: image_13SS})

    try:
        measured = latency.measure(
            {"torch": by_torch, **{precision: by_runtime(model) for precision, model in models.items()}}
        )
    finally:
        torch.set_num_threads(threads)
    return {
        "protocol": f"network alone; {latency.PROTOCOL}",
        "machine": _machine(),
        "milliseconds": {name: asdict(took) for name, took in measured.items()},
    }


def _machine() -> str:
    """Return the architecture, and on Linux what the processor calls itself: int8's speed depends on the model."""
    described = Path("/proc/cpuinfo")
    lines = described.read_text(encoding="utf-8").splitlines() if described.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{platform.machine()}, {names[0]}" if names else platform.machine()


def origins(run: Path, recipe: Recipe) -> dict[str, Any]:
    """Return where the weights come from: data, split, teachers, first weights, recipe, versions. No path is told."""
    kept = json.loads((run / "data.json").read_text(encoding="utf-8"))
    found = leakage.read(run)
    return {
        "recipe": {"name": recipe.name, "digest": recipe.digest, "seed": recipe.seed, "network": recipe.model.name},
        "first weights": Path(recipe.model.weights).name,
        "teachers": [_teacher(Path(teacher)) for teacher in recipe.teachers],
        "data": {
            "layout": data.recognise(Path(recipe.data.path)) if recipe.data.layout == "auto" else recipe.data.layout,
            "synthetic": kept["synthetic"],
            "digest": kept["digest"],
            "split digest": kept["split_digest"],
            "images and lesions or patients": kept["counts"],
            "leak": str(found) if found else None,
        },
        "made with": {name: version(name) for name in ("dspkd", "torch", "onnx", "onnxruntime", "numpy", "pillow")},
    }


def _teacher(run: Path) -> dict[str, Any]:
    """Return what is known of a teacher; no more than its name where its folder is gone."""
    told: dict[str, Any] = {"name": run.name}
    if (run / "result.json").exists():
        result = json.loads((run / "result.json").read_text(encoding="utf-8"))
        told |= {key: result[key] for key in ("model", "digest", "parameters")}
    return told


def licence(layout: str, *, synthetic: bool, stated: str | None) -> str:
    """Return under what terms the weights may be used: as stated, else as the data set's own terms have it."""
    if stated is not None:
        return stated
    if synthetic:
        return SYNTHETIC
    if layout not in SOURCES:
        return UNSTATED
    return f"{SOURCES[layout].licence} (inferred: that of the data set whose layout, {layout}, the images are in)"
