"""Distil a large skin-disease image classifier into one small enough for a phone, and measure what it keeps.

>>> import dspkd
>>> run = dspkd.train("demo/plain", out="runs/plain", data="my/images")  # doctest: +SKIP
>>> run.test.balanced_accuracy  # doctest: +SKIP

Importing this imports nothing else: each name is loaded when it is first used. It turns off the usage reports of ONNX
Runtime, Hugging Face and Ray for this process and those it starts, and lets torch's threads sleep while they wait,
unless the environment says otherwise.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dspkd.deploy.bundle.predictor import Predictor
    from dspkd.experiments.api import compare, evaluate, export, load, train
    from dspkd.experiments.own_images.api import distill_folder
    from dspkd.methods import describe
    from dspkd.methods import names as list_methods
    from dspkd.models.zoo import names as list_models
    from dspkd.runs.run_folder import Run
    from dspkd.training.distill import distill

__all__ = [
    "Predictor",
    "Run",
    "compare",
    "describe",
    "distill",
    "distill_folder",
    "evaluate",
    "export",
    "list_methods",
    "list_models",
    "load",
    "train",
]
__version__ = "0.1.0"

_NO_USAGE_REPORTS = {"ORT_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "RAY_USAGE_STATS_ENABLED": "0"}
"""Environment variables; ONNX Runtime reads its own while it is imported, hence here, before everything else."""

for _variable, _value in _NO_USAGE_REPORTS.items():
    os.environ.setdefault(_variable, _value)

if "OMP_WAIT_POLICY" not in os.environ:
    # GNU OpenMP, with which torch computes on Linux, reads this when torch is loaded. Its threads wait for each other
    # by computing, 300,000 turns by default; where other programs use the cores, too, steps take many times as long.
    os.environ.setdefault("GOMP_SPINCOUNT", "300")

_HOMES = {
    "Predictor": ("dspkd.deploy.bundle.predictor", "Predictor"),
    "Run": ("dspkd.runs.run_folder", "Run"),
    "compare": ("dspkd.experiments.api", "compare"),
    "describe": ("dspkd.methods", "describe"),
    "distill": ("dspkd.training.distill", "distill"),
    "distill_folder": ("dspkd.experiments.own_images.api", "distill_folder"),
    "evaluate": ("dspkd.experiments.api", "evaluate"),
    "export": ("dspkd.experiments.api", "export"),
    "list_methods": ("dspkd.methods", "names"),
    "list_models": ("dspkd.models.zoo", "names"),
    "load": ("dspkd.experiments.api", "load"),
    "train": ("dspkd.experiments.api", "train"),
}
"""Where each public name is defined."""

_MODULES = ("errors", "methods")
"""Modules that are part of the public interface as they are: `dspkd.errors.DspkdError`, `dspkd.methods.Term`."""


def __getattr__(name: str) -> Any:
    """Load a public name when it is first used (PEP 562)."""
    if name in _MODULES:
        return import_module(f"{__name__}.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _HOMES[name]
    globals()[name] = getattr(import_module(module), attribute)
    return globals()[name]


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
