"""Tables end to end on synthetic lesions: trained, gone on with, set side by side."""

import csv
import json
import sys
from statistics import fmean

import numpy as np
import pytest
from sklearn.metrics import f1_score

from command import call, refused
from dspkd.data.synthetic.dataset import synthesize
from dspkd.deploy.export.latency import Latency
from dspkd.evaluation.predictions import Predictions
from dspkd.experiments import single_run
from dspkd.experiments.paper import datasets, scale, table1_sizes, table6_latency, tables, training_grid
from dspkd.models import zoo

FEW = {
    4: (training_grid.KD, training_grid.DSP_KD),
    5: (training_grid.KD,),
    3: (training_grid.KD,),
    7: (training_grid.MGD, training_grid.DSP_KD),
}


@pytest.fixture(autouse=True)
def in_little_time(monkeypatch):
    """Few arms, small images, no page for each run."""
    monkeypatch.setattr(training_grid, "STEPS", FEW)
    monkeypatch.setattr(datasets, "FEW_IMAGES", 160)
    monkeypatch.setattr(datasets, "SIDE", 40)
    monkeypatch.setattr(single_run.reports, "write", lambda out: (out / "report.html").write_text("") and out)


@pytest.fixture
def probes(monkeypatch):
    """Steps that are not measured but known: a second an epoch, so that a budget of a minute leaves the least."""
    asked = []

    def measured(wanted, **_):
        asked.append((wanted.networks.name, wanted.size))
        return scale.Cost(1.0, 1.0, 5.0)

    monkeypatch.setattr(tables, "_measure", measured)
    return asked


def rows(out, table):
    with (out / f"table{table}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def figure(found, row, column):
    (one,) = [each for each in found if (each["row"], each["column"]) == (row, column)]
    return one


def answers_of(out, arm):
    return Predictions.load(out / "eight-classes" / arm / "seed-0" / "predictions" / "test.csv")


def test_the_ablation_is_trained_within_a_budget_and_gone_on_with(tmp_path, probes):
    out = tmp_path / "paper"
    said, _ = call("reproduce", "table7", "--out", out, "--budget", "20s")
    assert probes == [("tiny", 48)]
    assert "gives up resolution: 48 px, not 224" in said
    found = rows(out, 7)
    plain = figure(found, "ShuffleNetV2 (S)", "accuracy, %")
    right = answers_of(out, "plain")
    assert plain["paper"] == "86.21"
    assert float(plain["ours"]) == pytest.approx(100 * float(np.mean(right.predicted == right.labels)), rel=1e-5)
    assert float(plain["low"]) <= float(plain["ours"]) <= float(plain["high"])
    assert "the paper has ISIC 2019; ours is 160 synthetic drawings" in plain["not_comparable_because"]
    gain = figure(found, "S + MGD (a)", "Δ accuracy")
    taught = answers_of(out, "mgd+tiny_wide")
    by_hand = 100 * (np.mean(taught.predicted == taught.labels) - np.mean(right.predicted == right.labels))
    assert (gain["paper"], float(gain["ours"])) == ("+2.33", pytest.approx(by_hand, abs=1e-4))
    assert figure(found, "S + NKD (stage 2)", "accuracy, %")["ours"] == ""  # not among the few
    assert figure(found, "S + MGD (a)", "verdict")["ours"] == "inconclusive: one run each"
    page = (out / "table7.html").read_text()
    assert "Synthetic data: drawings, not photographs" in page
    assert "epochs: 4, not 150" in page
    before = {path: path.stat().st_mtime_ns for path in out.rglob("model.safetensors")}
    assert len(before) == 5
    said, _ = call("reproduce", "table7", "--out", out, "--budget", "2h")
    assert "goes on at the scale chosen before" in said
    assert {path: path.stat().st_mtime_ns for path in out.rglob("model.safetensors")} == before
    call("reproduce", "table4", "--out", out, "--budget", "20s")
    later = {path.parent.parent.name for path in set(out.rglob("model.safetensors")) - set(before)}
    assert later == {"kd+tiny_wide"}  # the others are shared with table 7
    found = rows(out, 4)
    taught = answers_of(out, "dsp_kd+tiny_wide")
    present = sorted(set(taught.labels))
    scores = f1_score(taught.labels, taught.predicted, labels=present, average=None, zero_division=0)
    for number, score in zip(present, scores, strict=True):
        one = figure(found, "DSP-KD", f"{taught.classes[number]}: F1, %")
        assert float(one["ours"]) == pytest.approx(100 * score, abs=1e-3)
    assert float(figure(found, "DSP-KD", "macro F1, %")["ours"]) == pytest.approx(100 * fmean(scores), abs=1e-3)
    assert figure(found, "DSP-KD", "macro F1, %")["paper"] == "91.35"
    assert (
        "the teacher of table 4, which names none" in figure(found, "DSP-KD", "macro F1, %")["not_comparable_because"]
    )


def test_the_second_data_set_may_be_the_users_own(tmp_path, probes):
    data = tmp_path / "mine"
    synthesize(data, images=120, classes="common", layout="folder", size=32)
    out = tmp_path / "paper"
    call("reproduce", "table3", "--out", out, "--budget", "20s", "--data", data)
    found = rows(out, 3)
    taught = figure(found, "Vanilla-KD", "Res2Net101: accuracy, %")
    assert taught["paper"] == "90.11"
    assert "private" in taught["not_comparable_because"]
    assert 0 <= float(taught["ours"]) <= 100
    assert figure(found, "Vanilla-KD", "ConvNeXt: accuracy, %")["ours"] == ""
    assert figure(found, "Teacher", "Res2Net101: accuracy, %")["paper"] == "94.66"
    said = json.loads((out / "six-classes" / "scale.json").read_text())
    assert said["data"] == str(data)
    other = tmp_path / "other"
    synthesize(other, images=60, classes="common", layout="folder", size=32)
    assert "choose another --out" in refused("reproduce", "table5", "--out", out, "--data", other)


def test_what_is_no_table_no_budget_or_no_data_is_told(tmp_path):
    assert "no table is called 'table9'; the paper has table1," in refused("reproduce", "table9", "--out", tmp_path)
    assert "--budget 'soon'" in refused("reproduce", "table7", "--out", tmp_path, "--budget", "soon")
    assert "no such data set" in refused("reproduce", "table7", "--out", tmp_path, "--data", tmp_path / "none")


def test_table_1_counts_what_the_paper_prints():
    table = table1_sizes.build()
    for line in table.lines:
        for cell in line.cells[:2]:
            digits = len(cell.paper.partition(".")[2])
            assert f"{cell.ours.mean:.{digits}f}" == cell.paper, line.name
        assert all(cell.ours is None for cell in line.cells[2:])
    assert len(table.lines) == 7
    assert "Scores of ours: none" in table.caption


def test_table_6_times_each_row_by_itself_and_gives_distilled_students_the_students_size(monkeypatch):
    monkeypatch.setattr(table6_latency.zoo, "make", lambda name, classes: zoo._build("tiny", classes))
    monkeypatch.setattr(table6_latency, "_exported", lambda networks, log: {})
    monkeypatch.setattr(
        table6_latency, "measure", lambda asked: {name: Latency(10.0 + n, 20.0, 9.0) for n, name in enumerate(asked)}
    )
    table = table6_latency.build((), lambda text: None)
    students = [line for line in table.lines if "ShuffleNetV2" in line.name or "T/S" in line.name]
    assert [line.cells[1].paper for line in students] == ["1.262", "1.13", "1.09"]
    assert len({line.cells[1].ours for line in students}) == 1
    assert [line.cells[2].ours.mean for line in table.lines] == [0.010, 0.011, 0.012, 0.013, 0.014]
    assert "differ by a factor of 1.27" in table.notes[0]  # 14 / 11
    told = {line.name: " ".join(table.reasons[n - 1] for n in line.because) for line in table.lines}
    assert "1.09 M are no size of ShuffleNetV2" in told["T/S + DSP-KD"]
    assert "stand-in" in told["wide-ShuffleNet"]
    assert "1.09 M" not in told["ShuffleNetV2 (S)"]


def test_an_exported_network_of_table_6_answers(monkeypatch):
    pytest.importorskip("onnxscript")
    pytest.importorskip("onnxruntime")
    monkeypatch.setattr(table6_latency, "SIDE", 64)
    network = zoo.make("tiny", classes=8).eval()
    ((name, ask),) = table6_latency._exported({"S": network}, lambda text: None).items()
    assert name == "S: onnx"
    (logits,) = ask()
    assert logits.shape == (1, 8)
    assert np.isfinite(logits).all()


def test_without_onnx_runtime_table_6_says_so(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    told = []
    assert table6_latency._exported({}, told.append) == {}
    assert "onnxruntime is not installed" in told[0]
