"""What a method declares, read from its file, against its class."""

import gc
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from dspkd.methods import declaration, find, names
from dspkd.methods._declaration import of_class


@pytest.mark.parametrize("name", names())
def test_the_file_declares_what_the_class_does(name):
    assert repr(declaration(name)) == repr(of_class(find(name)))  # a pydantic Field equals itself alone


@pytest.fixture
def _frequent_switches():
    """Let threads take turns within `ast.parse`: the garbage collector runs often, and runs Python code."""
    interval, threshold = sys.getswitchinterval(), gc.get_threshold()

    def collected(*_):
        sum(range(50))

    sys.setswitchinterval(1e-6)
    gc.callbacks.append(collected)
    gc.set_threshold(20)
    yield
    gc.set_threshold(*threshold)
    gc.callbacks.remove(collected)
    sys.setswitchinterval(interval)


@pytest.mark.usefixtures("_frequent_switches")
def test_several_threads_may_read_declarations_together():
    with ThreadPoolExecutor(4) as threads:
        assert len(list(threads.map(declaration, names()))) == len(names())
