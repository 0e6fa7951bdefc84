"""Files that are written whole or not at all."""

import errno
import os

import pytest

from dspkd.runtime.files import atomic_open


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_is_named_by_its_file_and_what_was_written_is_removed(tmp_path, number):
    """Else the room that the rest of the file takes would be missing for the next try."""
    path = tmp_path / "model.dspkd"
    path.write_text("before")
    with pytest.raises(OSError, match=r"model\.dspkd") as raised, atomic_open(path):
        raise OSError(number, os.strerror(number))
    assert (raised.value.errno, raised.value.filename) == (number, str(path))
    assert [each.name for each in tmp_path.iterdir()] == ["model.dspkd"]
    assert path.read_text() == "before"


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(errno.EIO, "Input/output error"), ValueError("x")])
def test_another_error_stays_as_it_is_and_leaves_nothing(tmp_path, error):
    with pytest.raises(type(error)) as raised, atomic_open(tmp_path / "model.dspkd", "wb"):
        raise error
    assert raised.value is error
    assert getattr(error, "filename", None) is None
    assert not list(tmp_path.iterdir())
