"""User errors on the command line: one line and an exit code."""

from __future__ import annotations

import errno
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from dspkd.errors import DspkdError
from dspkd.runtime.files import DISK_ERRORS

EXTRAS = {
    "onnx": "export",
    "onnxscript": "export",
    "onnxruntime": "runtime",
    "fastapi": "serve",
    "uvicorn": "serve",
    "prometheus_client": "serve",
}
"""Packages whose extra is not `train`."""


_ON_CPU = "DefaultCPUAllocator"
"""In torch's message where memory of the processor is lacking."""

REMEDIES = {
    **dict.fromkeys((errno.EACCES, errno.EPERM), "change its permissions, or choose another place, such as with --out"),
    errno.EROFS: "this place cannot be written to; choose another one, such as with --out",
    **dict.fromkeys(
        (errno.ENOTDIR, errno.EEXIST), "a file has the name of a folder that is needed; choose another name for --out"
    ),
    errno.ENAMETOOLONG: "choose a shorter one",
    errno.EISDIR: "a folder has the name of the file; choose another name for it",
    **dict.fromkeys(DISK_ERRORS, "make room, or choose a place on another disk; what is finished stays"),
}
"""What helps against an error of the operating system, by its number."""


@contextmanager
def one_line_errors(*, stopped: str = "stopped") -> Iterator[None]:
    """Turn a user error, a file that the system refuses or a lack of memory into one line and exit code 2.

    Ctrl-C becomes exit code 130.

    Other errors keep their traceback.
    """
    try:
        yield
    except DspkdError as error:
        _say(error)
        raise typer.Exit(code=2) from None
    except OSError as error:
        remedy = REMEDIES.get(error.errno or 0, "")
        if error.filename is None and error.errno not in DISK_ERRORS:
            raise
        place = f"{error.filename}: " if error.filename is not None else ""
        line = DspkdError(f"{place}{error.strerror}{remedy and f'; {remedy}'}")  # a file's name may hide something
        _say(line)
        raise typer.Exit(code=2) from None
    except (RuntimeError, MemoryError) as error:
        if not (lack := _about_memory(error)):
            raise
        _say(DspkdError(lack))
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


def _about_memory(error: RuntimeError | MemoryError) -> str:
    """Return a line about a lack of memory, with what helps; "" where the error is another one."""
    reason = str(error).partition("\n")[0]
    if "DataLoader worker (pid" in reason:
        return (
            f"{reason.rstrip('. ')}: a process that loads images was ended, often for lack of memory; set "
            "machine.workers = 0, and the same command goes on from the last finished epoch"
        )
    # Named, as importing torch takes seconds.
    if type(error).__name__ != "OutOfMemoryError" and not isinstance(error, MemoryError) and _ON_CPU not in reason:
        return ""
    return (
        f"out of memory: {reason or type(error).__name__}; when training, set a smaller train.batch_size (a run that "
        "has finished an epoch needs another --out for it) or machine.workers = 0; else end other programs, and the "
        "same command goes on"
    )


def _say(error: DspkdError) -> None:
    """Print an error in one line, with escapes where the terminal cannot show a character."""
    encoding = getattr(sys.stderr, "encoding", None) or "utf-8"
    line = f"error: {error}".encode(encoding, "backslashreplace").decode(encoding)
    typer.secho(line, fg="red", err=True)
