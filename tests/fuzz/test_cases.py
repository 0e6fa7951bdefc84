"""The fuzzing finds what it is for: other errors than ours, unclear messages, too much time or memory, crashes."""

import os
import signal
import time

import pytest

from dspkd.errors import DataError
from fuzz import cases


class Kind:
    """Uses `use` on each drawn number; keeps it in a file, as an input is kept."""

    def __init__(self, use):
        self.use = use

    def write(self, draw, folder):
        path = folder / "number"
        path.write_text(str(draw.randrange(10**6)))
        return path


def refuse(path):
    raise DataError(f"{path}: refused")


def break_off(path):
    raise KeyError("lost")


def say_nothing(path):
    raise DataError("")


def exhaust(path):
    bytearray(2 * 10**9)


def crash(path):
    os.kill(os.getpid(), signal.SIGSEGV)


def go_on(path):
    while True:
        pass


def wait(path):
    time.sleep(60)


def test_inputs_that_are_read_or_refused_in_our_words_pass(tmp_path):
    outcome = cases.run(Kind(lambda path: int(path.read_text()) % 2 or refuse(path)), range(20), tmp_path / "case")
    assert (outcome.done, outcome.failure) == (20, "")
    assert 0 < outcome.refused < 20


@pytest.mark.parametrize(
    ("use", "failure"),
    [
        (break_off, "KeyError: 'lost'"),
        (say_nothing, "DataError, whose message is empty"),
        (exhaust, "MemoryError"),
        (crash, "ended by -11"),
        (go_on, "takes more than 0.3 s of a processor"),
        (wait, "does not end within 1 s"),
    ],
)
def test_what_must_not_happen_is_a_failure_whose_input_is_left(tmp_path, monkeypatch, use, failure):
    monkeypatch.setattr(cases, "PROCESSOR_SECONDS", 0.3)
    monkeypatch.setattr(cases, "WALL_SECONDS", 1 if use is wait else 60)
    outcome = cases.run(Kind(use), range(5), tmp_path / "case")
    assert failure in outcome.failure
    assert (outcome.done, outcome.refused) == (1, 0)
    assert (tmp_path / "case" / "number").exists()


@pytest.mark.parametrize(
    ("message", "fault"), [("a\x1bb", "has"), ("x" * 10_000, "too long"), ("\n" * 100 + "a", "too long")]
)
def test_a_message_that_hides_something_or_is_endless_is_a_fault(message, fault):
    assert fault in cases.fault_of(message)
    assert cases.fault_of("a: found 1; want 2\nb: too") == ""


def test_an_error_in_the_drawing_of_an_input_is_a_failure_and_leaves_the_parent_alone(tmp_path):
    class Broken(Kind):
        def write(self, draw, folder):
            raise MemoryError("while it was written")

    outcome = cases.run(Broken(refuse), range(2), tmp_path / "case")
    assert "MemoryError: while it was written" in outcome.failure
    assert (outcome.done, outcome.refused) == (1, 0)
