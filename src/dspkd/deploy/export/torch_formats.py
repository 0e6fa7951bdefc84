"""The network for those who stay in torch: TorchScript and torch.export, images in [0, 1] in, logits out."""

from __future__ import annotations

import io
import warnings
import zipfile
from pathlib import Path

import torch

from dspkd.deploy.export.export import ExportSource, source
from dspkd.deploy.export.onnx_graph import LogitsOnly
from dspkd.errors import BundleError


def torchscript(run: Path, out: Path) -> Path:
    """Write the network of a finished run as TorchScript; `torch.jit.load` reads it, in C++ too.

    Traces of the code that made it, which name files of this machine, are left out.

    Raises
    ------
    RunError, BundleError
        There is no finished run; the network cannot be traced, or answers differently then.
    """
    made_of = source(run)
    network, example_23SS = LogitsOnly(made_of.network).eval(), _example(made_of)
    buffer = io.BytesIO()
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")  # of torch, about TorchScript's future
        try:
            torch.jit.save(torch.jit.trace(network, example_23SS), buffer)  # type: ignore[no-untyped-call]
            kept = _without_traces(buffer.getvalue())
            told = torch.jit.load(io.BytesIO(kept))(example_23SS[:1])  # type: ignore[no-untyped-call]
        except (RuntimeError, TypeError) as error:
            raise BundleError(f"{run}: TorchScript cannot hold this network: {str(error).splitlines()[0]}") from None
        _compare(run, told, network(example_23SS[:1]), "TorchScript")
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_bytes(kept)
    return out


def program(run: Path, out: Path) -> Path:
    """Write the network of a finished run by `torch.export`, for any number of images; `torch.export.load` reads it.

    Raises
    ------
    RunError, BundleError
        There is no finished run; the network cannot be exported, or answers differently then.
    """
    made_of = source(run)
    network, example_23SS = LogitsOnly(made_of.network).eval(), _example(made_of)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            exported = torch.export.export(
                network, (example_23SS,), dynamic_shapes={"images_N3SS": {0: torch.export.Dim("N", min=1)}}
            )
        except Exception as error:  # torch.export raises what it likes
            raise BundleError(f"{run}: torch.export cannot hold this network: {str(error).splitlines()[0]}") from None
        for node in exported.graph.nodes:
            node.meta.pop("stack_trace", None)
        out.parent.mkdir(parents=True, exist_ok=True)
        with torch.inference_mode():
            _compare(run, exported.module()(example_23SS[:1]), network(example_23SS[:1]), "torch.export")
        torch.export.save(exported, out)
    return out


def _example(made_of: ExportSource) -> torch.Tensor:
    side = made_of.steps.size
    return torch.rand(2, 3, side, side, generator=torch.Generator().manual_seed(0))


def _compare(run: Path, told: torch.Tensor, wanted: torch.Tensor, name: str) -> None:
    if not torch.allclose(told, wanted, rtol=1e-4, atol=1e-4):
        apart = float((told - wanted).abs().max())
        raise BundleError(f"{run}: by {name} the logits differ by up to {apart:.2g}; it is not written")


def _without_traces(content: bytes) -> bytes:
    """Return a TorchScript file without the members that tell which line of which file made each operation."""
    kept = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as before, zipfile.ZipFile(kept, "w") as after:
        for member in before.infolist():
            if not member.filename.endswith(".debug_pkl"):
                after.writestr(zipfile.ZipInfo(member.filename), before.read(member))
    return kept.getvalue()
