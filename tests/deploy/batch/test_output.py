"""The columns of a file of predictions, and the names of its shards."""

import numpy as np
import pytest
from fake import rows

from dspkd.deploy.batch.output import PredictionBatch, ShardedOutput
from dspkd.deploy.bundle.advice import ReferralRule
from dspkd.deploy.bundle.spec import BundleClass


def test_a_shard_holds_the_predictions_that_were_written(tmp_path):
    output = ShardedOutput(tmp_path / "a.csv", ("x", "y"), "key")
    output.folder.mkdir()
    names = ("a,b.png", 'c"d.png')
    output.write(PredictionBatch(names, np.array([[0.25, 0.75], [np.nan, np.nan]]), ("", "two\nlines")))
    assert output.join([names]) == (2, 1)
    first, second = rows(tmp_path / "a.csv")
    assert (first["image"], first["predicted"], first["probability_y"]) == ("a,b.png", "y", "0.75")
    assert (second["image"], second["error"]) == ('c"d.png', "two\nlines")


def rule(refer_below):
    """Refer below this confidence; x is malignant, but never enough."""
    kinds = {"x": "malignant", "y": "benign"}
    return ReferralRule(
        tuple(BundleClass(name, name, name, kind) for name, kind in kinds.items()), refer_below, 2.0, ""
    )


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_refer_and_reasons_are_those_of_the_rule(tmp_path, suffix):
    output = ShardedOutput(tmp_path / f"a.{suffix}", ("x", "y"), "key", rule=rule(0.75))
    output.folder.mkdir()
    names = ("sure.png", "not.png", "broken.png")
    nearly = 0.75 - 1e-9  # to six digits the threshold itself
    probabilities = np.array([[0.25, 0.75], [nearly, 1 - nearly], [np.nan, np.nan]])
    output.write(PredictionBatch(names, probabilities, ("", "", "no image")))
    assert output.join([names]) == (3, 1)
    if suffix == "csv":
        assert [row["refer"] for row in rows(output.out)] == ["no", "yes", ""]
        assert list(rows(output.out)[0])[:5] == ["image", "refer", "reasons", "predicted", "not_benign"]
        assert [row["not_benign"] for row in rows(output.out)] == ["0.25", "0.75", ""]
        assert ["Not sure: " in row["reasons"] for row in rows(output.out)] == [False, True, False]
    else:
        table = pytest.importorskip("pyarrow.parquet").read_table(output.out)
        assert table["refer"].to_pylist() == ["no", "yes", None]
        assert table["not_benign"].to_pylist() == pytest.approx([0.25, 0.75, None])
        assert "Not sure: " in table["reasons"].to_pylist()[1]


def test_a_shards_name_depends_on_all_its_inputs(tmp_path):
    def name(names=("ab", "c"), classes=("x", "y"), key="key", rule=None):
        return ShardedOutput(tmp_path / "a.csv", classes, key, rule).path(names).name

    others = [name(("a", "bc")), name(("ab",)), name(classes=("y", "x")), name(key="other"), name(rule=rule(0.5))]
    assert name() == name()
    assert len({name(), *others}) == 6


def test_a_name_that_is_not_utf8_is_written_with_escapes(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    output = ShardedOutput(tmp_path / "a.parquet", ("x", "y"), "key")
    output.folder.mkdir()
    names = (b"caf\xe9.png".decode(errors="surrogateescape"),)
    output.write(PredictionBatch(names, np.array([[0.25, 0.75]]), ("",)))
    output.join([names])
    assert parquet.read_table(output.out)["image"].to_pylist() == [r"caf\udce9.png"]
