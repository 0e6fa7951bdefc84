import math
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dspkd.errors import DataError
from dspkd.evaluation.predictions import Predictions

FLOAT32 = st.floats(width=32, allow_nan=False, allow_infinity=False)
HEADER = "id,group,label,logit_MEL,logit_NV\n"


def predictions(**changes):
    fields = {
        "classes": ("MEL", "NV"),
        "ids": ("a", "b", "c"),
        "groups": ("g", "g", "h"),
        "labels": np.array([0, 1, 1]),
        "logits": np.array([[1, 2], [3, 4], [6, 5]], dtype=np.float32),
    }
    return Predictions(**(fields | changes))


def assert_same(left, right):
    assert (left.classes, left.ids, left.groups) == (right.classes, right.ids, right.groups)
    np.testing.assert_array_equal(left.labels, right.labels)
    assert left.labels.dtype == right.labels.dtype == np.int64
    assert left.logits.dtype == np.float32
    assert left.logits.tobytes() == right.logits.tobytes()


@given(st.lists(st.tuples(FLOAT32, FLOAT32), min_size=1, max_size=20))
def test_every_float32_comes_back_bit_for_bit(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("predictions") / "test.csv"
    number = range(len(rows))
    saved = predictions(
        ids=tuple(map(str, number)),
        groups=tuple(map(str, number)),
        labels=np.array([n % 2 for n in number]),
        logits=np.array(rows, dtype=np.float32),
    )
    saved.save(path)
    assert_same(Predictions.load(path), saved)


def test_the_hard_float32_values_come_back():
    hard = [1.1754944e-38, 1e-45, 3.4028235e38, -0.0, 0.1, 1 / 3, 16777217.0, math.pi]
    bits = np.array(hard, dtype=np.float32)
    assert [struct.pack("f", float(f"{x:.9g}")) for x in bits] == [struct.pack("f", x) for x in bits]


@pytest.mark.parametrize("name", ["a,b", 'say "x"', "two\nlines", " spaces ", "黑色素瘤", "<b>x</b>", "logit_x", ""])
def test_hostile_names_come_back(tmp_path, name):
    saved = predictions(classes=(name, "NV"), ids=(name, "b", "c"), groups=(name, "g", "h"))
    saved.save(tmp_path / "test.csv")
    assert_same(Predictions.load(tmp_path / "test.csv"), saved)


def test_the_file_is_as_documented_and_nothing_else_is_left(tmp_path):
    path = tmp_path / "predictions" / "val.csv"
    predictions().save(path)
    assert path.read_bytes().decode() == HEADER + "a,g,MEL,1,2\nb,g,NV,3,4\nc,h,NV,6,5\n"
    assert list(path.parent.iterdir()) == [path]


def test_a_save_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "test.csv"
    predictions().save(path)
    before = path.read_bytes()
    broken = predictions()
    object.__setattr__(broken, "groups", ("g",))
    with pytest.raises(ValueError, match="shorter"):
        broken.save(path)
    assert path.read_bytes() == before


def test_probabilities_are_the_softmax_even_of_huge_logits():
    got = predictions(logits=np.array([[0, math.log(3)], [1e38, -1e38], [1000, 1000]], dtype=np.float32)).probabilities
    np.testing.assert_allclose(got, [[0.25, 0.75], [1, 0], [0.5, 0.5]], rtol=1e-7)  # log 3 is rounded to float32
    assert got.dtype == np.float64


def test_predicted_is_the_first_of_the_largest():
    flat = predictions(logits=np.array([[1, 2], [7, 7], [6, 5]], dtype=np.float32))
    assert flat.predicted.tolist() == [1, 0, 0]
    assert len(flat) == 3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ids": ("a", "b", "a")}, r"id 'a' occurs twice"),
        ({"classes": ("MEL", "MEL")}, r"class 'MEL' is named twice"),
        ({"groups": ("g",)}, r"3 ids, 1 groups, labels \(3,\)"),
        ({"labels": np.array([0, 1])}, r"labels \(2,\)"),
        ({"labels": np.array([0, 1, 2])}, r"id 'c': label 2 is not in 0\.\.1"),
        ({"labels": np.array([0, -1, 1])}, r"id 'b': label -1 is not in 0\.\.1"),
        ({"logits": np.zeros((3, 3), np.float32)}, r"float32 \[3, 2\], got float32 \[3, 3\]"),
        ({"logits": np.zeros((3, 2))}, r"float32 \[3, 2\], got float64"),
        ({"logits": np.array([[0, 0], [0, np.nan], [0, 0]], np.float32)}, r"id 'b': the logit of 'NV' is nan"),
        ({"logits": np.array([[0, 0], [0, 0], [-np.inf, 0]], np.float32)}, r"id 'c': the logit of 'MEL' is -inf"),
    ],
)
def test_what_does_not_fit_together_is_refused(changes, message):
    with pytest.raises(DataError, match=message):
        predictions(**changes)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"line 1: expected the columns id, group, label, logit_<class>.*got ''"),
        ("id,label,group,logit_MEL\n", r"line 1: .*got 'id, label, group, logit_MEL'"),
        ("id,group,label\n", r"line 1: expected the columns"),
        ("id,group,label,MEL\n", r"line 1: expected the columns"),
        (HEADER, r"there are no predictions"),
        (HEADER + "a,g,MEL,1\n", r"line 2: expected 5 values, got 4"),
        (HEADER + "a,g,MEL,1,2\nb,g,NV,1,2,3\n", r"line 3: expected 5 values, got 6"),
        (HEADER + "a,g,MEL,1,two\n", r"line 2: a logit must be a number, got 'two'"),
        (HEADER + "a,g,MEL,1,\n", r"line 2: a logit must be a number, got ''"),
        (HEADER + "a,g,MLE,1,2\n", r"line 2: no class is called 'MLE'; did you mean 'MEL'\?"),
        (HEADER + "a,g,zzz,1,2\n", r"line 2: no class is called 'zzz'; known: MEL, NV"),
        (HEADER + "a,g,MEL,1,inf\n", r"id 'a': the logit of 'NV' is inf"),
        (HEADER + "a,g,MEL,1,1e39\n", r"id 'a': the logit of 'NV' is inf"),
        (HEADER + "a,g,MEL,nan,1\n", r"id 'a': the logit of 'MEL' is nan"),
        (HEADER + "a,g,MEL,1,2\na,g,MEL,1,2\n", r"id 'a' occurs twice"),
        ("id,group,label,logit_NV,logit_NV\na,g,NV,1,2\n", r"class 'NV' is named twice"),
    ],
)
def test_a_bad_file_is_refused_by_name_and_line(tmp_path, text, message):
    path = tmp_path / "bad.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=r"bad\.csv: " + message):
        Predictions.load(path)


def test_a_missing_file_and_a_file_of_another_kind_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"none\.csv: no such file of predictions"):
        Predictions.load(tmp_path / "none.csv")
    (tmp_path / "image.csv").write_bytes(b"\xff\xd8\xff\xe0")
    with pytest.raises(DataError, match=r"image\.csv: not a CSV in UTF-8"):
        Predictions.load(tmp_path / "image.csv")


def test_some_are_taken_by_row_and_by_name(drawn):
    whole = drawn(0, images=6)
    some = whole.of(["image4", "image1"])
    assert some.ids == ("image4", "image1")
    assert some.groups == (whole.groups[4], whole.groups[1])
    assert some.labels.tolist() == whole.labels[[4, 1]].tolist()
    assert np.array_equal(some.logits, whole.logits[[4, 1]])
    assert whole.take(np.array([4, 1])).ids == some.ids
    with pytest.raises(DataError, match="1 of 2 images have no prediction, such as 'image9'"):
        whole.of(["image1", "image9"])
