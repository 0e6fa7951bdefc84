"""Tables of the paper end to end on synthetic lesions: trained, resumed, compared with the paper."""

import csv
import json
import re
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
def in_little_time(monkeypatch, no_comparison_pages):
    """Few methods, small images, no report for each run."""
    monkeypatch.setattr(training_grid, "STEPS", FEW)
    monkeypatch.setattr(datasets, "FEW_IMAGES", 160)
    monkeypatch.setattr(datasets, "SIDE", 40)
    monkeypatch.setattr(single_run.reports, "write", lambda out: (out / "report.html").write_text("") and out)


@pytest.fixture
def probes(monkeypatch):
    """Fake the timing: a second an epoch, so that 20 s leave the smallest scale; return the timed scales."""
    timed = []

    def measured(candidate, **_):
        timed.append((candidate.networks.name, candidate.size))
        return scale.Cost(1.0, 1.0, 5.0)

    monkeypatch.setattr(tables, "_measure", measured)
    return timed


def rows(out, table):
    with (out / f"table{table}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def figure(lines, row, column):
    (one,) = [each for each in lines if (each["row"], each["column"]) == (row, column)]
    return one


def predictions_of(out, arm):
    return Predictions.load(out / "eight-classes" / arm / "seed-0" / "predictions" / "test.csv")


def test_the_ablation_is_trained_within_a_budget_and_resumed(tmp_path, probes):
    out = tmp_path / "paper"
    printed, _ = call("reproduce", "table7", "--out", out, "--budget", "20s")
    assert probes == [("tiny", 48)]
    assert "reduced: resolution: 48 px, not 224" in printed
    lines = rows(out, 7)
    plain = figure(lines, "ShuffleNetV2 (S)", "accuracy, %")
    right = predictions_of(out, "plain")
    assert plain["paper"] == "86.21"
    assert float(plain["ours"]) == pytest.approx(100 * float(np.mean(right.predicted == right.labels)), rel=1e-5)
    assert float(plain["low"]) <= float(plain["ours"]) <= float(plain["high"])
    assert "160 synthetic drawings" in plain["not_comparable_because"]
    gain = figure(lines, "S + MGD (a)", "Δ accuracy")
    taught = predictions_of(out, "mgd+tiny_wide")
    by_hand = 100 * (np.mean(taught.predicted == taught.labels) - np.mean(right.predicted == right.labels))
    assert (gain["paper"], float(gain["ours"])) == ("+2.33", pytest.approx(by_hand, abs=1e-4))
    assert figure(lines, "S + NKD (stage 2)", "accuracy, %")["ours"] == ""  # not among the few
    assert figure(lines, "S + MGD (a)", "result")["ours"] == "inconclusive: one run each"
    page = (out / "table7.html").read_text()
    assert "Synthetic data: drawings, not photographs" in page
    assert "epochs: 4, not 150" in page
    before = {path: path.stat().st_mtime_ns for path in out.rglob("model.safetensors")}
    assert len(before) == 5
    printed, _ = call("reproduce", "table7", "--out", out, "--budget", "2h")
    assert str(out / "eight-classes" / "scale.json") in printed
    assert {path: path.stat().st_mtime_ns for path in out.rglob("model.safetensors")} == before
    call("reproduce", "table4", "--out", out, "--budget", "20s")
    later = {path.parent.parent.name for path in set(out.rglob("model.safetensors")) - set(before)}
    assert later == {"kd+tiny_wide"}  # the others are shared with table 7
    lines = rows(out, 4)
    taught = predictions_of(out, "dsp_kd+tiny_wide")
    present = sorted(set(taught.labels))
    scores = f1_score(taught.labels, taught.predicted, labels=present, average=None, zero_division=0)
    for number, score in zip(present, scores, strict=True):
        one = figure(lines, "DSP-KD", f"{taught.classes[number]}: F1, %")
        assert float(one["ours"]) == pytest.approx(100 * score, abs=1e-3)
    assert float(figure(lines, "DSP-KD", "macro F1, %")["ours"]) == pytest.approx(100 * fmean(scores), abs=1e-3)
    assert figure(lines, "DSP-KD", "macro F1, %")["paper"] == "91.35"
    assert "the teacher of table 4" in figure(lines, "DSP-KD", "macro F1, %")["not_comparable_because"]


def test_the_second_data_set_can_be_the_users_own(tmp_path, probes):
    data = tmp_path / "mine"
    synthesize(data, images=120, classes="common", layout="folder", size=32)
    out = tmp_path / "paper"
    call("reproduce", "table3", "--out", out, "--budget", "20s", "--data", data)
    lines = rows(out, 3)
    taught = figure(lines, "Vanilla-KD", "Res2Net101: accuracy, %")
    assert taught["paper"] == "90.11"
    assert "private" in taught["not_comparable_because"]
    assert 0 <= float(taught["ours"]) <= 100
    assert figure(lines, "Vanilla-KD", "ConvNeXt: accuracy, %")["ours"] == ""
    assert figure(lines, "Teacher", "Res2Net101: accuracy, %")["paper"] == "94.66"
    content = json.loads((out / "six-classes" / "scale.json").read_text())
    assert content["data"] == str(data)
    other = tmp_path / "other"
    synthesize(other, images=60, classes="common", layout="folder", size=32)
    assert "--out" in refused("reproduce", "table5", "--out", out, "--data", other)


def test_an_unknown_table_budget_or_data_set_is_refused(tmp_path):
    assert re.search("'table9'.* table1,", refused("reproduce", "table9", "--out", tmp_path))
    assert "--budget 'soon'" in refused("reproduce", "table7", "--out", tmp_path, "--budget", "soon")
    assert str(tmp_path / "none") in refused("reproduce", "table7", "--out", tmp_path, "--data", tmp_path / "none")


def test_table_1_reproduces_the_papers_sizes():
    table = table1_sizes.build()
    for line in table.lines:
        for cell in line.cells[:2]:
            digits = len(cell.paper.partition(".")[2])
            assert f"{cell.ours.mean:.{digits}f}" == cell.paper, line.name
        assert all(cell.ours is None for cell in line.cells[2:])
    assert len(table.lines) == 7
    assert "none" in table.caption


def test_table_6_times_each_row_and_gives_distilled_students_the_size_of_the_student(monkeypatch):
    monkeypatch.setattr(table6_latency.zoo, "make", lambda name, classes: zoo._build("tiny", classes))
    monkeypatch.setattr(table6_latency, "_exported", lambda networks, log: {})
    monkeypatch.setattr(
        table6_latency, "measure", lambda calls: {name: Latency(10.0 + n, 20.0, 9.0) for n, name in enumerate(calls)}
    )
    table = table6_latency.build((), lambda text: None)
    students = [line for line in table.lines if "ShuffleNetV2" in line.name or "T/S" in line.name]
    assert [line.cells[1].paper for line in students] == ["1.262", "1.13", "1.09"]
    assert len({line.cells[1].ours for line in students}) == 1
    assert [line.cells[2].ours.mean for line in table.lines] == [0.010, 0.011, 0.012, 0.013, 0.014]
    assert "differ by a factor of 1.27" in table.notes[0]  # 14 / 11
    reasons = {line.name: " ".join(table.reasons[n - 1] for n in line.because) for line in table.lines}
    assert "1.09 M are no size of ShuffleNetV2" in reasons["T/S + DSP-KD"]
    assert "stand-in" in reasons["wide-ShuffleNet"]
    assert "1.09 M" not in reasons["ShuffleNetV2 (S)"]


def test_an_exported_network_of_table_6_predicts(monkeypatch):
    pytest.importorskip("onnxscript")
    pytest.importorskip("onnxruntime")
    monkeypatch.setattr(table6_latency, "SIDE", 64)
    network = zoo.make("tiny", classes=8).eval()
    ((name, predict),) = table6_latency._exported({"S": network}, lambda text: None).items()
    assert name == "S: onnx"
    (logits,) = predict()
    assert logits.shape == (1, 8)
    assert np.isfinite(logits).all()


def test_without_onnx_runtime_table_6_reports_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    lines = []
    assert table6_latency._exported({}, lines.append) == {}
    assert "onnxruntime" in lines[0]
