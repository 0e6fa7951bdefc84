"""Files of anyone's answers: what is read, and one clear line for each fault."""

import csv

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dspkd.data import answer_files
from dspkd.errors import DataError

CLASSES = ("MEL", "NV", "DF")


def numbers(rows=5, columns=3, seed=0):
    return np.random.default_rng(seed).normal(0, 5, (rows, columns)).astype(np.float32)


def write_csv(path, header, *rows):
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return path


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
@pytest.mark.parametrize("kind", ["logits", "embeddings"])
def test_what_is_written_is_read_bit_for_bit(tmp_path, suffix, kind):
    values = np.concatenate([numbers(), [[1e-30, np.float32(1) / 3, 3.4e38]]]).astype(np.float32)
    ids = [f"image {n}" for n in range(6)]
    answer_files.write(tmp_path / f"a{suffix}", kind, ids, CLASSES, values)
    answers = answer_files.read(tmp_path / f"a{suffix}", CLASSES)
    assert (answers.kind, answers.ids) == (kind, tuple(ids))
    assert answers.values.dtype == np.float32
    assert np.array_equal(answers.values, values)


def test_columns_are_found_by_name_in_any_order(tmp_path):
    path = write_csv(tmp_path / "a.csv", ["logit_DF", "note", "isic_id", "logit_MEL", "logit_NV"], [3, "x", "i", 1, 2])
    assert answer_files.read(path, CLASSES).values.tolist() == [[1, 2, 3]]


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_names_may_be_in_another_case(tmp_path, suffix):
    header = ["ID", *(f"Prob_{name}" for name in CLASSES)]
    path = write_csv(tmp_path / "a.csv", header, ["i", 0.25, 0.5, 0.25])
    if suffix == ".parquet":
        path = tmp_path / "a.parquet"
        pq.write_table(pa.table({"ID": ["i"], "Prob_MEL": [0.25], "Prob_NV": [0.5], "Prob_DF": [0.25]}), path)
    answers = answer_files.read(path, CLASSES)
    assert (answers.kind, answers.ids, answers.values.tolist()) == ("probabilities", ("i",), [[0.25, 0.5, 0.25]])
    twice = write_csv(tmp_path / "b.csv", [*header, "prob_DF"], ["i", 0.25, 0.5, 0.25, 0.25])
    with pytest.raises(DataError, match="the same in other case"):
        answer_files.read(twice, CLASSES)


def test_logits_of_probabilities_are_their_logarithms(tmp_path):
    path = write_csv(tmp_path / "a.csv", ["image", *(f"probability_{c}" for c in CLASSES)], ["i", 0.25, 0.75, 0])
    answers = answer_files.read(path, CLASSES)
    softmax = np.exp(answers.logits) / np.exp(answers.logits).sum()
    np.testing.assert_allclose(softmax, [[0.25, 0.75, 0]], atol=5e-4)  # 0 stands for up to 0.0005
    assert np.isfinite(answers.logits).all()


def test_shares_of_seven_votes_with_two_decimals_are_probabilities(tmp_path):
    classes = tuple("ABCDEFG")
    path = write_csv(tmp_path / "a.csv", ["id", *(f"prob_{name}" for name in classes)], ["i", *["0.14"] * 7])
    assert answer_files.read(path, classes).kind == "probabilities"


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
@pytest.mark.parametrize(
    ("rows", "floor"),
    [
        ([[0.25, 0.75, 0], [0.001, 0.999, 0]], 0.0005),
        ([[0.25, 0.75, 0], [1e-6, 0.999999, 0]], 5e-7),
        ([[0.2, 0.8, 0], [0, 1, 0]], 0.0005),
        ([[1e-44, 1, 0]], np.finfo(np.float32).tiny),
    ],
)
def test_a_probability_of_0_counts_as_one_that_is_rounded_to_it(tmp_path, suffix, rows, floor):
    values = np.array(rows, np.float32)
    answer_files.write(tmp_path / f"a{suffix}", "probabilities", [str(n) for n in range(len(rows))], CLASSES, values)
    logits = answer_files.read(tmp_path / f"a{suffix}", CLASSES).logits
    np.testing.assert_allclose(np.exp(logits[values == 0].astype(float)), floor, rtol=1e-5)
    np.testing.assert_allclose(np.exp(logits[values > 1e-30]), values[values > 1e-30], rtol=1e-5)


def test_a_parquet_file_may_have_lists(tmp_path):
    pq.write_table(pa.table({"id": ["a", "b"], "embedding": [[1.0, 2.0], [3.0, 4.0]]}), tmp_path / "a.parquet")
    answers = answer_files.read(tmp_path / "a.parquet", CLASSES)
    assert (answers.kind, answers.values.tolist()) == ("embeddings", [[1, 2], [3, 4]])


LOGITS = ["id", "logit_MEL", "logit_NV", "logit_DF"]
PROBS = [name.replace("logit", "prob") for name in LOGITS]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([LOGITS], r"a\.csv: has no rows"),
        ([["name", *LOGITS[1:]], ["i", 1, 2, 3]], r"a\.csv: no column id or image or image_id or isic_id"),
        ([["id", "score"], ["i", 1]], r"a\.csv: no answers among id, score; expected logit_<class>"),
        ([LOGITS[:-1], ["i", 1, 2]], r"a\.csv: no column logit_DF; the classes of the data are MEL, NV, DF"),
        ([[*LOGITS, "logit_NEV"], ["i", 1, 2, 3, 4]], r"a\.csv: column logit_NEV: the classes .*did you mean 'NV'"),
        ([[*LOGITS, "prob_NV"], ["i", 1, 2, 3, 4]], r"a\.csv: has columns logit_\.\.\. and prob_\.\.\.; keep one kind"),
        ([[*LOGITS, "logit_NV"], ["i", 1, 2, 3, 4]], r"a\.csv: two columns are called 'logit_NV'"),
        ([LOGITS, ["i", 1, 2, 3], ["j", 1, "x", 3]], r"a\.csv, line 3: logit_NV must be a number, got 'x'"),
        ([LOGITS, ["i", 1, "", 3]], r"a\.csv, line 2: logit_NV must be a number, got ''"),
        ([LOGITS, ["i", 1, "nan", 3]], r"a\.csv, line 2: logit_NV is nan; every answer must be a finite number"),
        ([LOGITS, ["i", 1, 2, "inf"]], r"a\.csv, line 2: logit_DF is inf"),
        ([LOGITS, ["i", 1, 2, 1e39]], r"a\.csv, line 2: logit_DF is 1e\+39"),
        ([LOGITS, ["i", 1, 2]], r"a\.csv, line 2: 3 cells, but the header has 4"),
        ([LOGITS, ["", 1, 2, 3]], r"a\.csv, line 2: column 'id' is empty"),
        (
            [LOGITS, ["i", 1, 2, 3], ["i", 1, 2, 4]],
            r"a\.csv, line 3: id 'i' is there a second time \(first on line 2\)",
        ),
        (
            [PROBS, ["i", 0.5, 0.5, 0], ["j", 1, 2, 3]],
            r"a\.csv, line 3: prob.*sum is 6; call the columns logit_<class>",
        ),
        ([PROBS, ["i", 97, 2, 1]], r"a\.csv, line 2: prob.* their sum is 100; divide percentages by 100$"),
        ([LOGITS, ["i", 0.5, 0.3, 0.2]], r"a\.csv: the columns logit_<class> hold probabilities"),
        ([PROBS, ["i", 1.5, -0.5, 0]], r"a\.csv, line 2: probabilities must be at least 0"),
        ([["id", "embedding_0", "embedding_2"], ["i", 1, 2]], r"a\.csv: column embedding_2: .*numbered from 0"),
    ],
)
def test_a_fault_is_named_with_its_place(tmp_path, rows, message):
    with pytest.raises(DataError, match=message):
        answer_files.read(write_csv(tmp_path / "a.csv", *rows), CLASSES)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"embedding": [[1.0, 2.0], [3.0]]}, r"row 2: an embedding of 1 numbers, and the first row has 2"),
        ({"embedding": [[1.0, 2.0], None]}, r"row 2: no embedding"),
        ({"embedding": [["x"], ["y"]]}, r"embedding: lists must hold numbers"),
        ({"embedding": [[1.0, float("nan")], [1.0, 2.0]]}, r"row 1: embedding\[1\] is nan"),
        ({f"logit_{c}": [1.0, None] for c in CLASSES}, r"row 2: logit_MEL is nan"),
        ({f"logit_{c}": ["x", "y"] for c in CLASSES}, r"holds no numbers"),
    ],
)
def test_a_fault_in_a_parquet_file_is_named_with_its_row(tmp_path, columns, message):
    pq.write_table(pa.table({"id": ["a", "b"], **columns}), tmp_path / "a.parquet")
    with pytest.raises(DataError, match=rf"a\.parquet.*{message}"):
        answer_files.read(tmp_path / "a.parquet", CLASSES)


def test_other_files_are_refused(tmp_path):
    (tmp_path / "a.parquet").write_text("no parquet")
    for name, message in (
        ("a.parquet", r"a\.parquet: not a readable parquet file"),
        ("a.json", r"a\.json: answers are read from \.csv or \.parquet"),
        ("b.csv", r"b\.csv: cannot be read as CSV"),
    ):
        with pytest.raises(DataError, match=message):
            answer_files.read(tmp_path / name, CLASSES)
    with pytest.raises(DataError, match=r"a\.npz: answers are written as"):
        answer_files.write(tmp_path / "a.npz", "logits", ["i"], CLASSES, numbers(1))


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_write_that_is_interrupted_leaves_the_file_as_it_was(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    answer_files.write(path, "logits", ["i", "j"], CLASSES, numbers(2))
    before = path.read_bytes()
    with pytest.raises((ValueError, TypeError)):
        answer_files.write(path, "logits", ["i", object()], CLASSES, numbers(3))
    assert path.read_bytes() == before
