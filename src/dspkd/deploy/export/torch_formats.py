"""Write a run's network by `torch.export`: images in [0, 1] in, logits out."""

from __future__ import annotations

import warnings
from pathlib import Path

import torch

from dspkd.deploy.export.export import source
from dspkd.deploy.export.onnx_graph import LogitsOnly
from dspkd.errors import BundleError


def program(run: Path, out: Path) -> Path:
    """Write the network of a finished run by `torch.export`, for any batch size; `torch.export.load` reads it.

    Traces of the source code, which name files of this machine, are removed.

    Raises
    ------
    RunError, BundleError
        There is no finished run; the network cannot be exported, or its logits change by it.
    """
    exported_run = source(run)
    network, side = LogitsOnly(exported_run.network).eval(), exported_run.steps.size
    example_23SS = torch.rand(2, 3, side, side, generator=torch.Generator().manual_seed(0))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            exported = torch.export.export(
                network, (example_23SS,), dynamic_shapes={"images_N3SS": {0: torch.export.Dim("N", min=1)}}
            )
        except Exception as error:  # torch.export raises what it likes
            raise BundleError(f"{run}: torch.export cannot export this network: {str(error).splitlines()[0]}") from None
        for node in exported.graph.nodes:
            node.meta.pop("stack_trace", None)
        with torch.inference_mode():
            logits, expected = exported.module()(example_23SS[:1]), network(example_23SS[:1])
        if not torch.allclose(logits, expected, rtol=1e-4, atol=1e-4):
            difference = float((logits - expected).abs().max())
            raise BundleError(f"{run}: torch.export changes the logits by up to {difference:.2g}; nothing is written")
        out.parent.mkdir(parents=True, exist_ok=True)
        torch.export.save(exported, out)
    return out
