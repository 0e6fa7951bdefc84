"""A bundle's graph for one image at a time: converters for phones want every size fixed."""

from __future__ import annotations

import tempfile
from pathlib import Path

from dspkd.deploy.bundle import network


def fixed(model: bytes) -> bytes:
    """Return the ONNX graph for a batch of 1, with all that follows from the sizes computed once.

    Done by ONNX Runtime's basic optimisations, which keep to the operators of the standard.

    Raises
    ------
    BundleError
        It is not a network as `dspkd export` writes it.
    """
    import onnxruntime as ort

    (given,) = network.session(model).get_inputs()
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.add_free_dimension_override_by_name(given.shape[0], 1)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "network.onnx")
        options.optimized_model_filepath = str(path)
        ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        return path.read_bytes()
