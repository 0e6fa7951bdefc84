"""Decode images in a process of its own, which has a limit of time and memory and is killed beyond it."""

from __future__ import annotations

import atexit
import multiprocessing
import signal
import sys
import time
import warnings
from contextlib import ExitStack
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

from dspkd.deploy.bundle import preprocess
from dspkd.deploy.bundle.preprocess import Pixels
from dspkd.deploy.bundle.spec import Preprocessing
from dspkd.deploy.serve import image_checks
from dspkd.deploy.serve.admission import busy
from dspkd.deploy.serve.limits import Limits
from dspkd.errors import DataError
from dspkd.runtime.allowance import memory

if TYPE_CHECKING:
    from multiprocessing.context import ForkServerContext, SpawnContext

_START_SECONDS = 60.0


class Decoder:
    """Decodes one image at a time in a process, which is started again after it had to be killed.

    Parameters
    ----------
    steps
        The preprocessing.
    limits
        Of an image: pixels, scans, time and memory.
    """

    def __init__(self, steps: Preprocessing, limits: Limits) -> None:
        self._steps, self._limits = steps, limits
        self._process: Any = None
        self._connection: Connection | None = None
        self._ready = False

    def pixels(self, data: bytes) -> tuple[Pixels, dict[str, float]]:
        """Return the preprocessed image in a file, and the seconds that decoding and resizing took.

        Raises
        ------
        DataError
            The file is refused, or cannot be decoded within the limits.
        HTTPException
            503: the process did not start in time, or ended for another reason than its limits.
        """
        started = time.perf_counter()
        try:
            connection = self._started()
            connection.send_bytes(data)
            if not connection.poll(self._limits.prediction_seconds):
                raise TimeoutError
            result = connection.recv()
        except (EOFError, OSError):
            raise self._failure() from None
        if isinstance(result, DataError):
            raise result
        image_3SS, resize = result
        return image_3SS, {"decode": time.perf_counter() - started - resize, "resize": resize}

    def start(self) -> None:
        """Start the process, if it does not run."""
        if self._process is not None and self._process.is_alive():
            return
        self.close()
        context = _context()
        self._connection, its_end = context.Pipe()
        process = context.Process(
            target=_decode_all, args=(its_end, self._steps, self._limits), name="dspkd-decoder", daemon=True
        )
        process.start()
        its_end.close()
        self._process, self._ready = process, False
        atexit.register(self.close)  # by SIGKILL, for the process ignores the SIGTERM that multiprocessing sends

    def close(self) -> None:
        """Kill the process, also while it decodes."""
        atexit.unregister(self.close)
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._process = None

    def _started(self) -> Connection:
        self.start()
        assert self._connection is not None, "start has opened it"
        if not self._ready:
            if not self._connection.poll(_START_SECONDS):
                raise TimeoutError
            self._connection.recv()
            self._ready = True
        return self._connection

    def _failure(self) -> Exception:
        """End the process, and return why it has no result: beyond its time it is the image's fault."""
        code = None
        if self._process is not None:
            self._process.join(0.5)
            code = self._process.exitcode
        self.close()
        if code == -getattr(signal, "SIGPROF", signal.SIGTERM):
            return DataError(f"decoding it takes more than {self._limits.decoding_seconds:g} s, which is the limit")
        if code is None:
            return busy("the process that decodes images did not respond in time")
        return busy(f"the process that decodes images ended unexpectedly (exit code {code})")


def _context() -> ForkServerContext | SpawnContext:
    """Return how processes are started: forked from one that has imported this module and opened nothing, else new."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["__main__", __name__])
    return context


def _decode_all(connection: Connection, steps: Preprocessing, limits: Limits) -> None:
    """Decode what arrives until the other end is closed; beyond its time the system ends this process."""
    for stop in (signal.SIGINT, signal.SIGTERM):  # sent to all processes, but for the server: it finishes its requests
        signal.signal(stop, signal.SIG_IGN)
    warnings.filterwarnings("ignore", module="PIL")
    with ExitStack() as stack:
        stack.enter_context(memory(limits.decoding_bytes))
        connection.send(None)
        while True:
            try:
                data = connection.recv_bytes()
            except (EOFError, OSError):
                return
            _give(limits.decoding_seconds)
            try:
                result: Any = _pixels(data, steps, limits)
            except DataError as error:
                result = error
            except MemoryError:
                result = DataError(f"decoding it takes more than {limits.decoding_bytes:,} bytes, which is the limit")
            except Exception:  # untrusted bytes: Pillow's decoders raise many kinds of errors
                result = DataError("not a readable image")
            _give(0)
            connection.send(result)
            del data, result


def _pixels(data: bytes, steps: Preprocessing, limits: Limits) -> tuple[Pixels, float]:
    image_checks.check(data, limits)
    image_3SS, seconds = preprocess.of_photograph(data, steps)
    return image_3SS, seconds["resize"]


def _give(seconds: float) -> None:
    """Give this process so much time of a processor from now on; 0 for any."""
    if sys.platform != "win32":
        signal.setitimer(signal.ITIMER_PROF, seconds)
