"""The formats of phones: what converts to each, what runs it, and how it differs from the bundle."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass

from dspkd.errors import BundleError, suggest


@dataclass(frozen=True)
class PhoneFormat:
    """A format that `dspkd convert` writes.

    Attributes
    ----------
    name, title
        In commands and file names, and for readers.
    requirements
        Python packages of its converter and its runtime, of the versions that were tried.
    worker
        The program in ``workers/`` that converts and runs.
    smaller
        The precision of its smaller form: "int8" where weights and activations have 8 bits, "fp16" where the weights
        have 16.
    suffixes
        Of the files that make one network.
    advice
        What an app must set, in a sentence; "" for nothing.
    alone
        Packages of which nothing that they require is used, and so is not installed.
    runs_on
        The platforms of `sys.platform` on which its runtime runs; () for all.
    """

    name: str
    title: str
    requirements: tuple[str, ...]
    worker: str
    smaller: str
    suffixes: tuple[str, ...]
    advice: str = ""
    alone: tuple[str, ...] = ()
    runs_on: tuple[str, ...] = ()

    @property
    def packages(self) -> str:
        """All packages, in words."""
        return ", ".join([*self.requirements, *self.alone])

    @property
    def runs_here(self) -> bool:
        """Whether its runtime runs on this machine."""
        return not self.runs_on or sys.platform in self.runs_on


FORMATS = {
    each.name: each
    for each in (
        PhoneFormat(
            "litert",
            "LiteRT (Android)",
            (
                "torch==2.13.0",
                "litert-torch==0.10.0",
                "ai-edge-litert==2.3.0",
                "ai-edge-quantizer==0.10.0",
                "onnx>=1.18",
            ),
            "to_litert.py",
            "int8",
            (".tflite",),
        ),
        PhoneFormat(
            "executorch",
            "ExecuTorch (Android, iOS)",
            ("torch==2.13.0", "executorch==1.5.1", "onnx>=1.18"),
            "to_executorch.py",
            "int8",
            (".pte",),
            "Hand over contiguous NCHW: a channels-last tensor is misread without an error.",
        ),
        PhoneFormat(
            "ncnn",
            "NCNN (small devices)",
            ("ncnn==1.0.20261020", "numpy>=2"),
            "to_ncnn.py",
            "fp16",
            (".ncnn.param", ".ncnn.bin"),
            "For fp32, set opt.use_fp16_packed, use_fp16_storage and use_fp16_arithmetic to false before loading; they "
            "are on by default. `ncnn.Mat` of an array in Python ignores its strides: copy it first.",
            alone=("pnnx==20261020",),
        ),
        PhoneFormat(
            "coreml",
            "Core ML (iOS, macOS)",
            ("torch==2.13.0", "coremltools==9.0", "onnx>=1.18"),
            "to_coreml.py",
            "int8",
            (".mlpackage",),
            runs_on=("darwin",),
        ),
    )
}
"""By name."""


def named(names: Sequence[str]) -> list[PhoneFormat]:
    """Return the formats of these names, each once.

    Raises
    ------
    BundleError
        There is no format of a name, or no name.
    """
    if unknown := [name for name in names if name not in FORMATS]:
        raise BundleError(f"no format is called {unknown[0][:40]!r}; {suggest(unknown[0], tuple(FORMATS))}")
    if not names:
        raise BundleError(f"name at least one format: {', '.join(FORMATS)}")
    return [FORMATS[name] for name in dict.fromkeys(names)]
