"""A folder in the layout of the Hugging Face hub. Nothing is uploaded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safetensors import safe_open
from safetensors.torch import load_file, save_file

from dspkd.deploy.bundle.reader import Bundle
from dspkd.deploy.bundle.writer import as_json
from dspkd.deploy.export.export import ExportSource, source
from dspkd.errors import BundleError
from dspkd.models.entries import ENTRIES
from dspkd.runs.files import RunFiles

_LICENCES = {"CC BY-NC 4.0": "cc-by-nc-4.0", "CC BY 4.0": "cc-by-4.0", "Apache-2.0": "apache-2.0"}
"""How a licence begins here, and its name on the hub."""

_ONNX = {"fp32": "onnx/model.onnx", "int8": "onnx/model_int8.onnx"}
"""Names of ONNX files by the conventions of the hub."""


def write(run: Path, bundle: Bundle, folder: Path) -> Path:
    """Write a run's student and its bundle as a repository of the hub: card, weights, graphs, configuration.

    A network of timm loads by ``timm.create_model("local-dir:FOLDER")``, and from the hub by its name there.

    Raises
    ------
    RunError, BundleError
        There is no finished run; the folder is not empty; the bundle is of another run.
    """
    if folder.exists() and any(folder.iterdir()):
        raise BundleError(f"{folder}: is not empty; name an empty or a new folder")
    exported = source(run)
    certificate = bundle.read_json("certificate.json")
    if certificate["origins"]["recipe"]["digest"] != exported.recipe.digest:
        raise BundleError(f"{bundle.path}: is of another recipe than {run}; export the bundle of this run")
    (folder / "onnx").mkdir(parents=True)
    weights = RunFiles(run).weights
    with safe_open(weights, "pt") as file:
        metadata = {**(file.metadata() or {}), "format": "pt"}  # without which transformers refuses it
    save_file(load_file(weights), RunFiles(folder).weights, metadata=metadata)
    for precision, model in bundle.spec.models.items():
        (folder / _ONNX[precision]).write_bytes(bundle.read(model.file))
    for name in ("spec.json", "certificate.json"):
        (folder / name).write_bytes(bundle.read(name))
    (folder / "config.json").write_bytes(as_json(_config(exported)))
    (folder / "README.md").write_text(_readme(bundle, certificate, exported), encoding="utf-8")
    return folder


def _config(exported: ExportSource) -> dict[str, Any]:
    """Return the configuration that timm needs to build the network; class names in the order of the logits."""
    network = exported.network
    library, key = _library(network.name)
    return {
        "architecture": key.partition(".")[0],
        "library": library,
        "num_classes": len(exported.classes),
        "num_features": network.spec.pooled,
        "label_names": list(exported.classes),
        "pretrained_cfg": {
            "num_classes": len(exported.classes),
            "input_size": [3, exported.steps.size, exported.steps.size],
            "fixed_input_size": False,
            "interpolation": "bilinear",
            "crop_pct": exported.steps.size / exported.steps.short_side,
            "mean": network.mean.flatten().tolist(),
            "std": network.std.flatten().tolist(),
            "classifier": network.head,
            **_first_convolution(exported),
        },
    }


def _library(name: str) -> tuple[str, str]:
    """Return the library that has a network, and its name there."""
    entry = ENTRIES.get(name)
    return (entry.library, entry.key) if entry else ("timm", name)


def _first_convolution(exported: ExportSource) -> dict[str, Any]:
    config = getattr(exported.network.network, "pretrained_cfg", None) or {}
    return {key: config[key] for key in ("first_conv", "pool_size") if key in config}


def _readme(bundle: Bundle, certificate: dict[str, Any], exported: ExportSource) -> str:
    """Return the model card under the YAML header that the hub reads, and how to load the weights in this folder.

    JSON strings are YAML.
    """
    licence = certificate["licence"]
    name = next((name for start, name in _LICENCES.items() if licence.startswith(start)), "other")
    header = [
        "---",
        f"license: {name}",
        *([f"license_name: {json.dumps('see-below')}"] if name == "other" else []),
        "pipeline_tag: image-classification",
        "tags: [dermatology, skin-lesions, knowledge-distillation, onnx, dspkd]",
        f"model_name: {json.dumps(bundle.spec.name)}",
        "---",
        "",
    ]
    return "\n".join(header) + bundle.read_text("card.md") + _loading(exported)


def _loading(exported: ExportSource) -> str:
    """Return the lines of Python that load the weights by the library that has the network."""
    library, key = _library(exported.network.name)
    classes = len(exported.classes)
    if library == "timm":
        lines = ["import timm", "", 'network = timm.create_model("local-dir:.", pretrained=True).eval()']
    elif library == "torchvision":
        lines = ["from safetensors.torch import load_file", "from torchvision.models import get_model", ""]
        lines += [f'network = get_model("{key}", weights=None, num_classes={classes})']
        lines += ['network.load_state_dict(load_file("model.safetensors"))', "network.eval()"]
    else:
        lines = ["from dspkd.models import zoo", ""]
        lines += [f'network = zoo.make("{key}", classes={classes}, weights="model.safetensors").eval()']
    inputs = (
        "Its input is RGB in [0, 1]; it normalises for itself, and its logits are `network(images).logits`."
        if library == "dspkd"
        else "Its input is RGB in [0, 1], less `mean` and divided by `std` of `config.json`."
    )
    return "\n".join(["", "## Load the weights", "", "In this folder:", "", "```python", *lines, "```", "", inputs, ""])
