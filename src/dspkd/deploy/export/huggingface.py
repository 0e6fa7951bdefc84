"""A folder in the layout of the Hugging Face hub. Nothing is uploaded."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from dspkd.deploy.bundle.reader import Bundle
from dspkd.deploy.bundle.writer import as_json
from dspkd.deploy.export.export import ExportSource, source
from dspkd.errors import BundleError
from dspkd.models.zoo import ENTRIES

_LICENCES = {"CC BY-NC 4.0": "cc-by-nc-4.0", "CC BY 4.0": "cc-by-4.0", "Apache-2.0": "apache-2.0"}
"""How a licence begins here, and what the hub calls it."""

_ONNX = {"fp32": "onnx/model.onnx", "int8": "onnx/model_int8.onnx"}
"""Where the hub's browsers look for ONNX files."""


def write(run: Path, bundle: Bundle, folder: Path) -> Path:
    """Write a run's student and its bundle as a repository of the hub: card, weights, graphs, configuration.

    A network of timm loads by ``timm.create_model("local-dir:FOLDER")``, and from the hub by its name there.

    Raises
    ------
    RunError, BundleError
        There is no finished run; the folder holds something already; the bundle is of another run.
    """
    if folder.exists() and any(folder.iterdir()):
        raise BundleError(f"{folder}: holds something already; name an empty or a new folder")
    made_of = source(run)
    certificate = bundle.read_json("certificate.json")
    if certificate["origins"]["recipe"]["digest"] != made_of.recipe.digest:
        raise BundleError(f"{bundle.path}: is of another recipe than {run}; export the bundle of this run")
    (folder / "onnx").mkdir(parents=True)
    shutil.copyfile(run / "model.safetensors", folder / "model.safetensors")
    for precision, model in bundle.spec.models.items():
        (folder / _ONNX[precision]).write_bytes(bundle.read(model.file))
    for name in ("spec.json", "certificate.json"):
        (folder / name).write_bytes(bundle.read(name))
    (folder / "config.json").write_bytes(as_json(_config(made_of)))
    (folder / "README.md").write_text(_readme(bundle, certificate), encoding="utf-8")
    return folder


def _config(made_of: ExportSource) -> dict[str, Any]:
    """Return what timm, or whoever builds the network, must know; class names in the order of the logits."""
    network = made_of.network
    entry = ENTRIES.get(network.name)
    library, key = (entry.library, entry.key) if entry else ("timm", network.name)
    return {
        "architecture": key.partition(".")[0],
        "library": library,
        "num_classes": len(made_of.classes),
        "num_features": network.spec.pooled,
        "label_names": list(made_of.classes),
        "pretrained_cfg": {
            "num_classes": len(made_of.classes),
            "input_size": [3, made_of.steps.size, made_of.steps.size],
            "fixed_input_size": False,
            "interpolation": "bilinear",
            "crop_pct": made_of.steps.size / made_of.steps.short_side,
            "mean": network.mean.flatten().tolist(),
            "std": network.std.flatten().tolist(),
            "classifier": network.head,
            **_first_convolution(made_of),
        },
    }


def _first_convolution(made_of: ExportSource) -> dict[str, Any]:
    config = getattr(made_of.network.network, "pretrained_cfg", None) or {}
    return {key: config[key] for key in ("first_conv", "pool_size") if key in config}


def _readme(bundle: Bundle, certificate: dict[str, Any]) -> str:
    """Return the card under the header that the hub reads; JSON strings are YAML."""
    licence = certificate["licence"]
    known = next((name for start, name in _LICENCES.items() if licence.startswith(start)), "other")
    header = [
        "---",
        f"license: {known}",
        *([f"license_name: {json.dumps('see-below')}"] if known == "other" else []),
        "pipeline_tag: image-classification",
        "tags: [dermatology, skin-lesions, knowledge-distillation, onnx, dspkd]",
        f"model_name: {json.dumps(bundle.spec.name)}",
        "---",
        "",
    ]
    return "\n".join(header) + bundle.read_text("card.md")
