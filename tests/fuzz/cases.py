"""Inputs are written and used in a process of their own, whose time, memory and errors are checked."""

import faulthandler
import os
import random
import resource
import shutil
import signal
import time
import traceback
from dataclasses import dataclass

from dspkd.errors import LONGEST_LINE, DspkdError
from dspkd.runtime.allowance import memory

PROCESSOR_SECONDS, WALL_SECONDS = 10, 120
MEGABYTES = 1000
"""Limits of an input, and of the memory of all in a process; on the wall it is longer: other programs may run."""

MOST_LINES = 60
GIVEN_UP = 2
"""The exit code of a command that has used up its time: see `dspkd.cli.bundle_limits`."""


@dataclass(frozen=True)
class Outcome:
    """What became of the first inputs: all but the last went well, and that one too where `failure` is ""."""

    done: int
    refused: int
    failure: str
    slowest: float
    megabytes: float


def run(kind, seeds, folder):
    """Write the input that follows from each seed into `folder` and use it, until one fails; return the outcome."""
    before, report = _resident(), folder.with_name(f"{folder.name}.txt")
    theirs, ours = os.pipe()
    if (child := os.fork()) == 0:
        os.close(theirs)
        try:
            _use_all(kind, seeds, folder, report, ours)
        except BaseException:  # in the drawing of an input: nothing of the parent may run in this process
            report.write_text(traceback.format_exc())
        os._exit(1)
    os.close(ours)
    with os.fdopen(theirs) as lines:
        results = [line.split() for line in lines]
    _, status, usage = os.wait4(child, 0)
    failure = _failure(os.waitstatus_to_exitcode(status), report)
    return Outcome(
        done=len(results) + bool(failure),
        refused=sum(word == "refused" for word, _ in results),
        failure=failure,
        slowest=max((float(seconds) for _, seconds in results), default=0.0),
        megabytes=max(0.0, usage.ru_maxrss / 1000 - before),
    )


def _failure(code, report):
    if code in (0, GIVEN_UP):
        return ""
    if code == -signal.SIGPROF:
        return f"takes more than {PROCESSOR_SECONDS} s of a processor"
    if code == -signal.SIGALRM:
        return f"does not end within {WALL_SECONDS} s"
    text = report.read_text(errors="replace")
    return text if code == 1 else f"{text}\nended by {code}"


def _use_all(kind, seeds, folder, report, pipe):
    """Use all inputs, in the process that is made for that: it ends here."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for ends in (signal.SIGALRM, signal.SIGPROF):  # whatever the parent does at these
        signal.signal(ends, signal.SIG_DFL)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # libtiff and others write there
    with report.open("w") as file, memory(int(1e6 * MEGABYTES)):
        faulthandler.enable(file)
        for seed in seeds:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            path = kind.write(random.Random(seed), folder)
            signal.setitimer(signal.ITIMER_PROF, PROCESSOR_SECONDS)
            signal.alarm(WALL_SECONDS)
            started = time.process_time()
            word, failure = used(kind.use, path)
            if failure:
                file.write(failure)
                file.flush()
                os._exit(1)
            os.write(pipe, f"{word} {time.process_time() - started:.3f}\n".encode())
        os._exit(0)


def used(use, path):
    """Use an input; return whether it was accepted or refused, and what is wrong with that, "" if nothing is."""
    try:
        use(path)
    except DspkdError as error:
        fault = fault_of(str(error))
        return "refused", fault and f"{type(error).__name__}, whose message {fault}: {str(error)[:3000]!r}"
    except BaseException:
        return "failed", traceback.format_exc(limit=-12)
    return "accepted", ""


def fault_of(message):
    """Return what is wrong with the message of an error, "" where nothing is."""
    lines = message.split("\n")
    if not message.strip():
        return "is empty"
    if len(lines) > MOST_LINES or max(map(len, lines)) > 2 * LONGEST_LINE:
        return f"is too long: {len(lines)} lines, {max(map(len, lines)):,} characters in one"
    hidden = [each for line in lines for each in line if not each.isprintable()]
    return f"has {hidden[0]!r}" if hidden else ""


def _resident():
    with open("/proc/self/statm") as file:  # noqa: PTH123
        return int(file.read().split()[1]) * resource.getpagesize() / 1e6
