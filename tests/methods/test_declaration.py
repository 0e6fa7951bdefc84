"""What a method declares, read from its file, against its class."""

import pytest

from dspkd.methods import declaration, find, names
from dspkd.methods._declaration import of_class


@pytest.mark.parametrize("name", names())
def test_the_file_declares_what_the_class_does(name):
    assert repr(declaration(name)) == repr(of_class(find(name)))  # a pydantic Field equals itself alone
