"""Measurements and provenance of a bundle as plain data: `certificate.json`."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dspkd import data
from dspkd.data import decode as images
from dspkd.data.download.catalog import SOURCES
from dspkd.data.table import named
from dspkd.data.transforms import CentreCrop
from dspkd.deploy.bundle.network import INPUT, OUTPUT, session
from dspkd.deploy.export import latency, onnx_graph
from dspkd.deploy.export.image_sets import ImageSet
from dspkd.deploy.export.thresholds import Thresholds
from dspkd.evaluation import referral
from dspkd.evaluation.calibration import calibration, scaled
from dspkd.evaluation.classes import Malignancy
from dspkd.evaluation.metrics import summarise
from dspkd.evaluation.predictions import Predictions
from dspkd.evaluation.selective import refer
from dspkd.models.macs import count
from dspkd.models.tapped import Tapped
from dspkd.recipes.schema import Recipe
from dspkd.runs import as_it_is
from dspkd.runs.files import RunFiles
from dspkd.runs.run_folder import Run
from dspkd.runtime import threads
from dspkd.runtime.cores import processor
from dspkd.runtime.files import sha256_of

SYNTHETIC = "The images are synthetic; no licence of others applies to these weights."
UNSTATED = (
    "Not stated. Weights inherit the terms of the licences of the training images, initial weights and teacher: check "
    "them before you pass the weights on."
)


def recalls(predictions: Mapping[str, Predictions]) -> dict[str, dict[str, Any]]:
    """Return ``{class: {images, model: recall}}`` of several models on the same images; None without images."""
    first = next(iter(predictions.values()))
    table: dict[str, dict[str, Any]] = {}
    for number, name in enumerate(first.classes):
        mine_N = first.labels == number
        table[name] = {"images": int(mine_N.sum())}
        for model, each in predictions.items():
            table[name][model] = round(float((each.predicted[mine_N] == number).mean()), 6) if mine_N.any() else None
    return table


def advised(
    predictions: Predictions, kinds: Sequence[Malignancy], referred: Callable[[Predictions], NDArray[np.bool_]]
) -> dict[str, Any]:
    """Return what a bundle's limits are on a part of the data, each share with its interval over lesions.

    Parameters
    ----------
    predictions
        Of the default model.
    kinds
        Of the K classes.
    referred
        ``[N]``, whether the advice is to refer each image.

    Returns
    -------
    dict
        ``recall`` of each class that is not benign; the shares of the images of malignant, premalignant and benign
        classes that are referred. Sensitivity is that of cancers, specificity 1 less that of benign images.
    """
    referred_N = referred(predictions)

    def of(right_N: NDArray[np.bool_], of_N: NDArray[np.bool_]) -> dict[str, Any]:
        return asdict(referral.share_of(right_N, of_N, predictions.groups))

    return {
        "recall": {
            name: of(predictions.predicted == number, predictions.labels == number)
            for number, (name, kind) in enumerate(zip(predictions.classes, kinds, strict=True))
            if kind != "benign"
        },
        "cancers referred": of(referred_N, referral.of_kinds(predictions, kinds, "malignant")),
        "premalignant referred": of(referred_N, referral.of_kinds(predictions, kinds, "premalignant")),
        "benign referred": of(referred_N, referral.of_kinds(predictions, kinds, "benign")),
    }


def part(predictions: Mapping[str, Predictions], fitted: Thresholds, default: str) -> dict[str, Any]:
    """Return recalls and means of every model on a part of the data; calibration and referrals of the default one."""
    default_predictions = predictions[default]
    calibrated = scaled(default_predictions, fitted.temperature)
    return {
        "images": len(default_predictions),
        "lesions or patients": named(default_predictions.groups),
        "recall": recalls(predictions),
        "balanced accuracy": {name: round(summarise(p).balanced_accuracy, 6) for name, p in predictions.items()},
        "accuracy": {name: round(float((p.predicted == p.labels).mean()), 6) for name, p in predictions.items()},
        "answered as torch does": {
            name: round(float((p.predicted == predictions["torch"].predicted).mean()), 6)
            for name, p in predictions.items()
        },
        "calibration error": {
            "before": round(calibration(default_predictions).ece, 6),
            "after": round(calibration(calibrated).ece, 6),
        },
        "referral": {
            name: asdict(refer(calibrated, number, fitted.refer_below))
            for number, name in enumerate(default_predictions.classes)
            if (default_predictions.labels == number).any()
        },
    }


def decoders(image_set: ImageSet, crop: CentreCrop, most: int = 200) -> dict[str, Any]:
    """Return the difference between the bundle's images and those on which the run was evaluated, in units of 1/255.

    The run decodes large JPEGs at a reduced size and rounds the longer side differently.
    """
    rows = range(min(most, len(image_set.table)))
    differences = []
    for row in rows:
        path = image_set.table.paths[row]
        evaluated = crop(images.decode(path, short_side=crop.decode_side, artefacts=crop.artefacts))
        differences.append(np.abs(evaluated.numpy() * 255 - image_set.images[row]))
    difference = np.stack(differences)
    return {
        "images": len(rows),
        "mean": round(float(difference.mean()), 6),
        "largest": round(float(difference.max()), 3),
    }


def size(network: Tapped, side: int, models: Mapping[str, bytes]) -> dict[str, Any]:
    """Return parameters, multiply-accumulates and bytes."""
    macs = count(copy.deepcopy(network).to("meta"), side=side)
    return {
        "parameters": sum(value.numel() for value in network.parameters()),
        "multiply-accumulates": macs.whole(network.spec.classes),
        "image": [3, side, side],
        "bytes": {precision: len(model) for precision, model in models.items()},
    }


def times(network: Tapped, models: Mapping[str, bytes], image_13SS: NDArray[np.float32]) -> dict[str, Any]:
    """Return the latency of the network in torch and of each model, on this machine."""
    eager, tensor = onnx_graph.LogitsOnly(network).eval(), torch.from_numpy(image_13SS)

    def by_torch() -> object:
        with torch.inference_mode():
            return eager(tensor)

    def by_runtime(model: bytes) -> Callable[[], object]:
        runtime = session(model)
        return lambda: runtime.run([OUTPUT], {INPUT: image_13SS})

    with threads.kept(1):
        measured = latency.measure(
            {"torch": by_torch, **{precision: by_runtime(model) for precision, model in models.items()}}
        )
    return {
        "protocol": f"network alone; {latency.PROTOCOL}",
        "machine": processor(),
        "milliseconds": {name: asdict(latencies) for name, latencies in measured.items()},
    }


def origins(run: Path, recipe: Recipe, place: Path) -> dict[str, Any]:
    """Return the provenance of the weights: data, split, teachers, initial weights, recipe, versions. Without paths.

    `place` is where the images are now; the digest is that of the recipe as it was trained.
    """
    source, weights = Run(run).data, Path(recipe.model.weights).name
    return {
        "recipe": {"name": recipe.name, "digest": recipe.digest, "seed": recipe.seed, "network": recipe.model.name},
        "first weights": weights,
        "weights digest": digest_of_weights(run),
        "caution": None if recipe.stages else f"{as_it_is.caution(replace(recipe.model, weights=weights))}.",
        "teachers": [_teacher(Path(teacher)) for teacher in recipe.teachers],
        "data": {
            "layout": data.recognise(place) if recipe.data.layout == "auto" else recipe.data.layout,
            "synthetic": source.synthetic,
            "digest": source.digest,
            "split digest": source.split_digest,
            "images and lesions or patients": source.counts,
            "leak": str(source.leak) if source.leak else None,
        },
        "made with": {name: version(name) for name in ("dspkd", "torch", "onnx", "onnxruntime", "numpy", "pillow")},
    }


def digest_of_weights(run: Path) -> str:
    """Return the SHA-256 of the trained student's weights, in hex."""
    return sha256_of(RunFiles(run).weights)


def _teacher(run: Path) -> dict[str, Any]:
    """Return name, network and size of a teacher; only its name where its folder is gone."""
    teacher: dict[str, Any] = {"name": run.name}
    if RunFiles(run).result.exists():
        result = Run(run).result
        teacher |= {key: getattr(result, key) for key in ("model", "digest", "parameters")}
    return teacher


def licence(origins: Mapping[str, Any], *, stated: str | None) -> str:
    """Return the terms of use of the weights: as stated, else those of the data set if they were trained on it."""
    if stated is not None:
        return stated
    if origins["caution"]:
        return UNSTATED
    if origins["data"]["synthetic"]:
        return SYNTHETIC
    layout = origins["data"]["layout"]
    if layout not in SOURCES:
        return UNSTATED
    return f"{SOURCES[layout].licence} (inferred: that of the data set whose layout, {layout}, the images are in)"
