"""ExecuTorch: convert by torch.export, lowered to XNNPACK, and run by ExecuTorch's own runtime."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import job
import torch
from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import XNNPACKQuantizer, get_symmetric_quantization_config
from executorch.exir import to_edge_transform_and_lower
from executorch.runtime import Runtime
from onnx_network import OnnxNetwork
from torch import Tensor
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e


def convert(work: job.Job) -> None:
    """Write the file. The example is contiguous: the memory layout of the example is the only one it computes."""
    network = OnnxNetwork(work.onnx).eval()
    example = (torch.rand(1, 3, work.size, work.size, generator=torch.Generator().manual_seed(0)).contiguous(),)
    exported = torch.export.export(network, example)
    if work.precision == "int8":
        quantizer = XNNPACKQuantizer().set_global(get_symmetric_quantization_config(is_per_channel=True))
        prepared = prepare_pt2e(exported.module(), quantizer)
        for image_13SS in work.load():
            prepared(torch.from_numpy(image_13SS))
        exported = torch.export.export(convert_pt2e(prepared), example)
    lowered = to_edge_transform_and_lower(exported, partitioner=[XnnpackPartitioner()])
    work.file.write_bytes(lowered.to_executorch().buffer)


def load(file: Path) -> Callable[[job.Pixels], Tensor]:
    """Return a function that computes the logits of an image."""
    method = Runtime.get().load_program(file).load_method("forward")

    def compute(image_13SS: job.Pixels) -> Tensor:
        logits: Tensor = method.execute([torch.from_numpy(image_13SS)])[0]
        return logits

    return compute


if __name__ == "__main__":
    torch.set_num_threads(1)
    job.work(convert, load)
