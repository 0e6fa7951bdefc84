"""LiteRT (formerly TensorFlow Lite): convert by litert-torch, quantise by ai-edge-quantizer, run by ai-edge-litert."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import job
import litert_torch
import numpy as np
import torch
from ai_edge_litert.interpreter import Interpreter
from ai_edge_quantizer import quantizer
from ai_edge_quantizer.qtyping import TFLOperationName
from ai_edge_quantizer.recipe import AlgorithmName
from ai_edge_quantizer.recipe_manager import RecipeManager
from numpy.typing import NDArray
from onnx_network import OnnxNetwork


def convert(work: job.Job) -> None:
    """Write the file; in int8 with weights and activations of 8 bits, and input and output in float32."""
    network = OnnxNetwork(work.onnx).eval()
    example = (torch.rand(1, 3, work.size, work.size, generator=torch.Generator().manual_seed(0)),)
    with tempfile.TemporaryDirectory() as folder:
        written = work.file if work.precision == "fp32" else Path(folder, "fp32.tflite")
        litert_torch.convert(network, example).export(str(written))
        if work.precision == "int8":
            _quantise(written, work)


def _quantise(fp32: Path, work: job.Job) -> None:
    recipe = RecipeManager()
    recipe.add_static_config(
        regex=".*", operation_name=TFLOperationName.ALL_SUPPORTED, activation_num_bits=8, weight_num_bits=8
    )
    # An int8 input would take a float image, cast each value in [0, 1] to 0 or 1, and answer without an error.
    for end in (TFLOperationName.INPUT, TFLOperationName.OUTPUT):
        recipe.add_quantization_config(regex=".*", operation_name=end, algorithm_key=AlgorithmName.NO_QUANTIZE)
    quantising = quantizer.Quantizer(str(fp32), recipe.get_quantization_recipe())
    ((signature, ends),) = Interpreter(str(fp32)).get_signature_list().items()
    images = [{ends["inputs"][0]: image_13SS} for image_13SS in work.load()]
    quantising.quantize(quantising.calibrate({signature: images})).export_model(str(work.file), overwrite=True)


def load(file: Path) -> Callable[[job.Pixels], NDArray[np.float32]]:
    """Return a function that computes the logits of an image."""
    interpreter = Interpreter(str(file), num_threads=1)
    interpreter.allocate_tensors()
    (given,), (logits,) = interpreter.get_input_details(), interpreter.get_output_details()
    if given["dtype"] is not np.float32 or logits["dtype"] is not np.float32:
        raise SystemExit(
            f"input {given['dtype'].__name__}, output {logits['dtype'].__name__}; a float image would be cast and "
            "misread without an error, so both must be float32"
        )

    def compute(image_13SS: job.Pixels) -> NDArray[np.float32]:
        interpreter.set_tensor(given["index"], image_13SS)
        interpreter.invoke()
        computed: NDArray[np.float32] = interpreter.get_tensor(logits["index"])
        return computed

    return compute


if __name__ == "__main__":
    torch.set_num_threads(1)
    job.work(convert, load)
