"""How the command tells a mistake: one line, and an exit code."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import typer

from dspkd.errors import DspkdError

EXTRAS = {
    "onnx": "export",
    "onnxscript": "export",
    "onnxruntime": "runtime",
    "fastapi": "serve",
    "uvicorn": "serve",
    "prometheus_client": "serve",
}
"""Packages that come with another extra than `train`."""


@contextmanager
def one_line_errors(*, stopped: str = "stopped") -> Iterator[None]:
    """Turn a user's mistake into one line and exit code 2, Ctrl-C into 130; a mistake of ours keeps its traceback."""
    try:
        yield
    except DspkdError as error:
        typer.secho(f"error: {error}", fg="red", err=True)
        raise typer.Exit(code=2) from None
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package in {"", "dspkd"}:
            raise
        extra = EXTRAS.get(package, "train")
        typer.secho(f"error: {package} is not installed; pip install 'dspkd[{extra}]' brings it", fg="red", err=True)
        raise typer.Exit(code=2) from None
    except KeyboardInterrupt:
        typer.secho(stopped, err=True)
        raise typer.Exit(code=130) from None
