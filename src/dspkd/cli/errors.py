"""User errors on the command line: one line and an exit code."""

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
"""Packages whose extra is not `train`."""


@contextmanager
def one_line_errors(*, stopped: str = "stopped") -> Iterator[None]:
    """Turn a user error, or a file that the system refuses, into one line and exit code 2, Ctrl-C into exit code 130.

    Other errors keep their traceback.
    """
    try:
        yield
    except DspkdError as error:
        typer.secho(f"error: {error}", fg="red", err=True)
        raise typer.Exit(code=2) from None
    except OSError as error:
        if error.filename is None:
            raise
        typer.secho(f"error: {error.filename}: {error.strerror}", fg="red", err=True)
        raise typer.Exit(code=2) from None
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package in {"", "dspkd"}:
            raise
        extra = EXTRAS.get(package, "train")
        typer.secho(
            f"error: {package} is not installed; install it with pip install 'dspkd[{extra}]'", fg="red", err=True
        )
        raise typer.Exit(code=2) from None
    except KeyboardInterrupt:
        typer.secho(stopped, err=True)
        raise typer.Exit(code=130) from None
