"""What an error says is visible as it is, and of readable length, whatever a file of others put into it."""

import pickle

import pytest

from dspkd.data import class_map
from dspkd.deploy.serve.image_checks import RefusedImageError
from dspkd.errors import LONGEST_LINE, DamagedImagesError, DataError, DspkdError


def test_what_a_terminal_would_obey_or_hide_is_shown_as_escapes():
    assert str(DataError("a\x1b[2Jb\x00\r\u202ec\ud800\té\nnext")) == r"a\x1b[2Jb\x00\r\u202ec\ud800\té" + "\nnext"


def test_a_long_line_is_cut_in_its_middle_so_that_place_and_remedy_stay():
    line = str(DataError(f"a.csv: got {'x' * 50_000}; correct it\nb.csv: gone"))
    assert line.startswith("a.csv: got xxx")
    assert line.endswith("xxx; correct it\nb.csv: gone")
    assert len(line) < LONGEST_LINE + 20
    assert str(DataError("y" * LONGEST_LINE)) == "y" * LONGEST_LINE


def test_a_class_map_with_an_endless_name_is_refused_in_a_readable_line(tmp_path):
    (tmp_path / "map.toml").write_text(f'[classes]\nA = "{"x" * 50_000}"\n')
    with pytest.raises(DataError, match=r"classes\.A: expected names of classes") as error:
        class_map.load(tmp_path / "map.toml")
    assert len(str(error.value)) < LONGEST_LINE + 20


@pytest.mark.parametrize(
    "error", [RefusedImageError(413, "a\x1b"), DamagedImagesError("a\x1b", {1: "b"}), DspkdError()]
)
def test_errors_of_every_kind_are_shown(error):
    assert "\x1b" not in str(error)


def test_an_error_of_another_process_is_the_same():
    assert str(pickle.loads(pickle.dumps(DataError("a\x1b")))) == r"a\x1b"
