"""How a command that fails tells of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import typer

from dspkd.errors import DspkdError


@contextmanager
def told_in_one_line(*, stopped: str = "stopped") -> Iterator[None]:
    """Turn a user's mistake into one line and exit code 2, Ctrl-C into 130; a mistake of ours keeps its traceback."""
    try:
        yield
    except DspkdError as error:
        typer.secho(f"error: {error}", fg="red", err=True)
        raise typer.Exit(code=2) from None
    except KeyboardInterrupt:
        typer.secho(stopped, err=True)
        raise typer.Exit(code=130) from None
