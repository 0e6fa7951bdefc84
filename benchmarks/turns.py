"""Contestants that take turns, so that other load of the machine affects them equally."""

import multiprocessing
import time

import numpy as np


def take_turns(steps, rounds, *, unmeasured=1):
    """Return for each name the seconds of its steps, ``[rounds, 2]``: wall-clock and processor time.

    Each round takes one step of every contestant, the order rotated by one between rounds. `steps` maps a name to a
    function that takes a step; it may return such a pair of seconds, else the step is timed here.
    """
    spent = {name: [] for name in steps}
    names = list(steps)
    for number in range(-unmeasured, rounds):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            clock, processor = time.perf_counter(), time.process_time()
            measured = steps[name]() or (time.perf_counter() - clock, time.process_time() - processor)
            if number >= 0:
                spent[name].append(measured)
    return {name: np.array(pairs) for name, pairs in spent.items()}


def ratio(above, below):
    """Return median and quartiles of the ratio round by round: ``{"clock": [median, q1, q3], "processor": ...}``."""
    return {
        kind: [round(float(x), 3) for x in np.percentile(above[:, place] / below[:, place], (50, 25, 75))]
        for place, kind in enumerate(("clock", "processor"))
    }


def as_line(name, ratios):
    """Return ratios as a line of text."""
    by_kind = (f"{kind} {middle:6.2f} ({low:.2f} to {high:.2f})" for kind, (middle, low, high) in ratios.items())
    return f"{name:58} " + "   ".join(by_kind)


class SeparateProcess:
    """A contestant in its own process, with its own allocator, threads and caches.

    ``work(turn, *arguments)`` runs there, and calls ``turn()`` when it is ready and after each of its steps.
    """

    def __init__(self, work, *arguments):
        start = multiprocessing.get_context("spawn")
        self._line, far_end = start.Pipe()
        self._process = start.Process(target=_serve, args=(far_end, work, arguments), daemon=True)
        self._process.start()
        far_end.close()  # so that its end is noticed here
        self._receive()

    def __call__(self):
        """Take a step; return its wall-clock and processor seconds, or None after the last step."""
        self._line.send("step")
        return self._receive()

    def _receive(self):
        try:
            return self._line.recv()
        except EOFError:
            raise SystemExit("a contestant has died; its output is above") from None

    def end(self):
        """Stop it."""
        self._process.terminate()
        self._process.join()


def _serve(line, work, arguments):
    started = []

    def turn():
        line.send((time.perf_counter() - started[0], time.process_time() - started[1]) if started else "ready")
        line.recv()
        started[:] = time.perf_counter(), time.process_time()

    work(turn, *arguments)
    turn()  # the time after its last step
    line.send(None)
