"""From a trained network to an ONNX graph without metadata."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dspkd.deploy.bundle import onnx_check
from dspkd.deploy.bundle.network import INPUT, OUTPUT, one_by_one, session
from dspkd.errors import BundleError
from dspkd.models.tapped import Tapped


class LogitsOnly(nn.Module):
    """A network that returns its logits alone: images ``[N, 3, S, S]`` in [0, 1] to ``[N, K]``."""

    def __init__(self, network: Tapped) -> None:
        super().__init__()
        self.network = network

    def forward(self, images_N3SS: Tensor) -> Tensor:
        """Return the logits of images."""
        logits: Tensor = self.network(images_N3SS).logits
        return logits


def to_onnx(network: Tapped, size: int) -> bytes:
    """Return the network as an ONNX file in float32, for any number of images of side `size`.

    Its normalisation is part of the graph. File names, traces and texts of the converter are removed.

    Raises
    ------
    BundleError
        It has an operator that no bundle may have.
    """
    network = network.eval()
    example = torch.rand(2, 3, size, size, generator=torch.Generator().manual_seed(0))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the converter's own parts, about each other
        program = torch.onnx.export(
            LogitsOnly(network).eval(),
            (example,),
            dynamo=True,
            verbose=False,
            input_names=[INPUT],
            output_names=[OUTPUT],
            dynamic_shapes={"images_N3SS": {0: torch.export.Dim("N", min=1)}},
        )
    assert program is not None, "torch.onnx.export gives a program where it is given no file"
    model = program.model_proto
    strip(model)
    onnx.checker.check_model(model, full_check=True)
    content: bytes = model.SerializeToString()
    try:
        onnx_check.check(content)
    except BundleError as error:
        raise BundleError(f"{network.name}: cannot be exported: {error}") from None
    return content


def strip(model: onnx.ModelProto) -> None:
    """Remove everything from a graph that is not needed to compute it, in place."""
    graph = model.graph
    del model.metadata_props[:]
    model.doc_string, model.producer_version, graph.name = "", "", "dspkd"
    parts: list[Iterable[Any]] = [[graph], graph.node, graph.initializer, graph.input, graph.output, graph.value_info]
    parts += [[function, *function.node] for function in model.functions]
    for part in (item for items in parts for item in items):
        part.doc_string = ""
        del part.metadata_props[:]
    used = {"", *(node.domain for node in graph.node)}
    kept = [entry for entry in model.opset_import if entry.domain in used]
    del model.opset_import[:]
    model.opset_import.extend(kept)


def largest_difference(network: Tapped, model: bytes, images_N3SS: NDArray[np.float32]) -> float:
    """Return the largest absolute difference between the logits of the network and those of its ONNX file.

    Raises
    ------
    BundleError
        It is more than 1e-3 of the largest logit (of 1, if all are smaller): the conversion failed.
    """
    with torch.inference_mode():
        expected_NK = LogitsOnly(network).eval()(torch.from_numpy(images_N3SS)).numpy()
    logits_NK = one_by_one(session(model), images_N3SS, expected_NK.shape[1])
    difference = float(np.abs(logits_NK - expected_NK).max())
    if not difference <= 1e-3 * max(1.0, float(np.abs(expected_NK).max())):
        raise BundleError(
            f"{network.name}: the ONNX file's logits differ from the network's by up to {difference:.2g}; "
            "it cannot be exported faithfully with these versions of torch and onnx"
        )
    return difference
