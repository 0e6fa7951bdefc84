"""Core ML: convert by coremltools from torch.export. It runs on macOS alone; elsewhere the file is never run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import coremltools
import job
import numpy as np
import torch
from coremltools.optimize.coreml import OpLinearQuantizerConfig, OptimizationConfig, linear_quantize_weights
from onnx_network import OnnxNetwork


def convert(work: job.Job) -> None:
    """Write the package; in int8 its weights have 8 bits, and the computation has 16."""
    network = OnnxNetwork(work.onnx).eval()
    example = (torch.rand(1, 3, work.size, work.size, generator=torch.Generator().manual_seed(0)).contiguous(),)
    exported = torch.export.export(network, example).run_decompositions({})
    precision = coremltools.precision.FLOAT32 if work.precision == "fp32" else coremltools.precision.FLOAT16
    package = coremltools.convert(
        exported,
        inputs=[coremltools.TensorType(name="images", shape=example[0].shape, dtype=np.float32)],
        outputs=[coremltools.TensorType(name="logits", dtype=np.float32)],
        minimum_deployment_target=coremltools.target.iOS16,
        compute_precision=precision,
    )
    if work.precision == "int8":
        settings = OptimizationConfig(global_config=OpLinearQuantizerConfig(mode="linear_symmetric"))
        package = linear_quantize_weights(package, config=settings)
    package.save(str(work.file))


def load(file: Path) -> Callable[[job.Pixels], Any]:
    """Return a function that computes the logits of an image."""
    package = coremltools.models.MLModel(str(file), compute_units=coremltools.ComputeUnit.CPU_ONLY)

    def compute(image_13SS: job.Pixels) -> Any:
        return package.predict({"images": image_13SS})["logits"]

    return compute


if __name__ == "__main__":
    job.work(convert, load)
