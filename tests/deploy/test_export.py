"""A bundle predicts as its run's network does, and contains nothing else of the machine that made it."""

import csv
import json
import re
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch

from bundles import contents
from dspkd.data.table import is_named
from dspkd.deploy import Predictor
from dspkd.deploy.bundle.verify import verify
from dspkd.deploy.export import certificate, int8_gate, quantise
from dspkd.deploy.export import export as exporting
from dspkd.errors import BundleError, RunError
from dspkd.evaluation import calibration, selective
from dspkd.evaluation.predictions import Predictions
from dspkd.runs import holdout
from dspkd.runs.run_folder import Run


@pytest.fixture(scope="module")
def certified(made):
    return made[0].read_json("certificate.json")


@pytest.fixture(scope="module")
def rows(finished):
    with (finished / "split.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def predict_part(bundle, precision, rows, lesions, part):
    """Predict a part of the split image by image; return class ids, labels, logits."""
    predictor = Predictor(bundle, precision)
    rows = [row for row in rows if row["part"] == part]
    folder = lesions / "ISIC_2019_Training_Input"
    predictions = [predictor.predict(folder / f"{row['id']}.jpg") for row in rows]
    ids = [each.id for each in predictor.classes]
    labels = np.array([ids.index(row["label"]) for row in rows])
    return ids, labels, np.stack([prediction.logits for prediction in predictions])


@pytest.mark.parametrize("precision", ["fp32", "int8"])
@pytest.mark.parametrize(("part", "name"), [("val", "validation"), ("test", "test")])
def test_recalls_are_those_of_the_predictor(bundle, certified, rows, lesions, precision, part, name):
    ids, labels, logits = predict_part(bundle, precision, rows, lesions, part)
    for number, kind in enumerate(ids):
        row = certified["parts"][name]["recall"][kind]
        assert row["images"] == (labels == number).sum()
        if row["images"]:
            assert row[precision] == pytest.approx((logits[labels == number].argmax(1) == number).mean(), abs=1e-6)
    assert certified["parts"][name]["accuracy"][precision] == pytest.approx(
        (logits.argmax(1) == labels).mean(), abs=1e-6
    )


def test_the_certificate_compares_with_the_run_and_torch(finished, certified):
    own = Predictions.load(finished / "predictions" / "test.csv")
    part = certified["parts"]["test"]
    assert part["images"] == len(own)
    assert part["accuracy"]["run"] == pytest.approx((own.predicted == own.labels).mean(), abs=1e-6)
    # The images are square, so the bundle's are the run's, and float32 in ONNX Runtime is torch up to rounding.
    assert certified["decoder"]["largest"] == 0
    assert part["recall"]["NV"]["torch"] == part["recall"]["NV"]["run"]
    assert part["answered as torch does"]["fp32"] >= 0.95


def test_temperature_and_threshold_are_fitted_on_validation_images(made, rows, lesions):
    bundle = made[0]
    ids, labels, logits = predict_part(bundle.path, bundle.spec.default, rows, lesions, "val")
    predictions = Predictions(tuple(ids), tuple(map(str, range(len(labels)))), ("",) * len(labels), labels, logits)
    assert bundle.spec.temperature == pytest.approx(calibration.temperature(predictions), rel=1e-3)
    calibrated = calibration.scaled(predictions, bundle.spec.temperature)
    assert bundle.spec.refer_below == pytest.approx(selective.threshold_for(calibrated, ids.index("MEL")), abs=1e-4)


def test_the_graphs_use_standard_operators_and_take_any_batch_size(bundle):
    for name in ("model.fp32.onnx", "model.int8.onnx"):
        content = contents(bundle)[name]
        model = onnx.load_from_string(content)
        onnx.checker.check_model(model, full_check=True)
        assert {entry.domain for entry in model.opset_import} <= {"", "ai.onnx"}
        assert {node.domain for node in model.graph.node} <= {"", "ai.onnx"}
        session = ort.InferenceSession(content, providers=["CPUExecutionProvider"])
        for count in (1, 2, 7):
            assert session.run(None, {"images": np.zeros((count, 3, 32, 32), np.float32)})[0].shape == (count, 8)
    kinds = [node.op_type for node in onnx.load_from_string(contents(bundle)["model.int8.onnx"]).graph.node]
    assert kinds.count("QuantizeLinear") > 3


def test_float32_has_the_logits_of_torch(bundle, finished):
    network = Run(finished).model
    images = np.random.default_rng(0).random((5, 3, 32, 32), np.float32)
    with torch.inference_mode():
        expected = network.eval()(torch.from_numpy(images)).logits.numpy()
    np.testing.assert_allclose(Predictor(bundle, "fp32").logits(images), expected, atol=1e-4)


def test_a_bundle_contains_no_path_of_the_machine(made, finished, lesions):
    bundle, _ = made
    own = [str(finished), str(finished.parent), str(lesions), str(Path.cwd()), sys.prefix, f"{Path.home()}/"]
    for name in bundle.files:
        content = bundle.read(name)
        for place in [*own, "site-packages"]:
            assert place.encode() not in content, (name, place)
        if name.endswith(".onnx"):
            model = onnx.load_from_string(content)
            for weights in model.graph.initializer:
                weights.raw_data = b""  # where any bytes may stand
            content = model.SerializeToString()
        if name.endswith((".json", ".md", ".onnx")):
            assert not re.search(rb"(?<![\w.:/])/(?:tmp|usr|etc|var|opt|mnt|srv)/|[A-Z]:\\\\|\.py\b", content), name


def test_the_same_run_gives_the_same_bytes_but_for_latencies(made, finished, lesions, tmp_path, monkeypatch):
    """Latencies are replaced by those of the first export; the images were moved."""
    first, moved, recognised = made[0], tmp_path / "moved", []
    moved.symlink_to(lesions)
    monkeypatch.setattr(certificate.data, "recognise", lambda path: recognised.append(path) or "isic2019")
    monkeypatch.setattr(certificate, "times", lambda *_: first.read_json("certificate.json")["latency"])
    again = exporting.export(finished, tmp_path / "again.dspkd", data=moved)
    assert (set(recognised), again.digest) == ({moved}, first.digest)
    assert again.path.read_bytes() == first.path.read_bytes()


def test_each_export_counts_as_a_test_set_evaluation(made, finished):
    purposes = [evaluation.purpose for evaluation in holdout.evaluations(finished)]
    assert purposes[0] == "train"
    assert set(purposes[1:]) == {"export"}
    assert json.loads((finished / "result.json").read_text())["test_evaluations"] == len(purposes)


def test_card_and_certificate_agree(made, certified):
    bundle, logged = made
    card = bundle.read_text("card.md")
    assert bundle.spec.not_a_diagnosis in card
    assert certified["conversion"]["verdict"] in card
    assert "a mole: a benign growth of pigment cells" in card
    row = certified["parts"]["test"]["recall"]["NV"]
    shares = [f"{row[name]:.3f}" for name in ("run", "torch", "fp32", "int8")]
    assert f"| NV | {row['images']} | {' | '.join(shares)} |" in card
    assert "58,772 parameters" in card
    assert certificate.SYNTHETIC in card
    assert sum("int8, " in line for line in logged) == len(quantise.SETTINGS) + 1


def test_the_bundle_says_what_is_malignant_and_what_its_advice_refers(made, certified, rows, lesions):
    bundle, logged = made
    kinds = {each.id: each.malignancy for each in bundle.spec.classes}
    assert {name for name, kind in kinds.items() if kind == "malignant"} == {"MEL", "BCC", "SCC"}
    assert kinds["AK"] == "premalignant"
    assert logged[0].startswith("classes: malignant MEL, BCC, SCC; premalignant AK; benign ")
    folder = lesions / "ISIC_2019_Training_Input"
    predictor = Predictor(bundle)
    for part, name in (("val", "validation"), ("test", "test")):
        cancers = [row for row in rows if row["part"] == part and kinds[row["label"]] == "malignant"]
        referred = [predictor.predict(folder / f"{row['id']}.jpg").refer for row in cancers]
        of_cancers = certified["parts"][name]["advice"]["cancers referred"]
        assert of_cancers["share"] == pytest.approx(np.mean(referred), abs=1e-6)
        lesions_of = {row["group"] for row in cancers if is_named(row["group"])}
        assert (of_cancers["images"], of_cancers["lesions"]) == (len(cancers), len(lesions_of))


def test_int8_is_the_default_only_where_its_gate_is_open(made, certified):
    bundle, logged = made
    changes = certified["conversion"]["gate"]["changes"]
    assert [change["name"] for change in changes] == [
        "recall of MEL", "recall of BCC", "recall of AK", "recall of SCC", "cancers referred",
    ]  # fmt: skip
    shut = not all(change["passes"] for change in changes)
    assert shut  # a class of this small data set has fewer than 54 lesions in validation
    assert bundle.spec.default == "fp32"
    assert certified["conversion"]["verdict"].startswith("Default: fp32. The validation images do not show that int8")
    assert any("balanced accuracy: " in line and " in int8" in line for line in logged)


def test_sizes_are_counted(made, certified):
    bundle, _ = made
    size = certified["size"]
    assert size["parameters"] == 58_772
    assert size["bytes"] == {name: model.bytes for name, model in bundle.spec.models.items()}
    assert size["bytes"]["int8"] < 0.5 * size["bytes"]["fp32"]
    assert 1e5 < size["multiply-accumulates"] < 1e7
    assert set(certified["latency"]["milliseconds"]) == {"torch", "fp32", "int8"}
    assert all(0 < latency["p50"] <= latency["p95"] for latency in certified["latency"]["milliseconds"].values())


def test_the_licence_is_the_stated_one_or_the_data_sets():
    def terms(layout, synthetic, stated=None, caution=None):
        origins = {"data": {"layout": layout, "synthetic": synthetic}, "caution": caution}
        return certificate.licence(origins, stated=stated)

    of_layout = terms("isic2019", False)
    assert of_layout.startswith("CC BY-NC 4.0")
    assert of_layout.endswith("(inferred: that of the data set whose layout, isic2019, the images are in)")
    assert terms("isic2019", True) == certificate.SYNTHETIC
    assert terms("folder", False) == certificate.UNSTATED
    assert terms("isic2019", True, stated="mine") == "mine"
    assert terms("isic2019", False, caution="trained elsewhere") == certificate.UNSTATED


def test_an_int8_model_that_loses_too_much_is_not_the_default(made):
    reference = Predictions(
        ("a", "b"), tuple(map(str, range(150))), ("",) * 150, np.repeat([0, 1], [100, 50]),
        np.repeat(np.eye(2, dtype=np.float32), [100, 50], axis=0),
    )  # fmt: skip

    def with_wrong(*wrong):
        logits = reference.logits.copy()
        logits[list(wrong)] = logits[list(wrong)][:, ::-1]
        return quantise.compare(
            quantise.QuantSetting(), b"", reference, replace(reference, logits=logits), max_loss=0.02
        )

    assert with_wrong(0, 1).passes  # 2 of 100
    assert not with_wrong(0, 1, 2).passes  # 3 of 100
    assert with_wrong(100).passes  # 1 of 50 is 2 %
    assert not with_wrong(100, 101).passes
    assert with_wrong(0, 1).lost == {"a": 2, "b": 0}
    assert with_wrong(0, 1).agreement == pytest.approx((0.98 + 1) / 2)
    p = np.exp([1, 0]) / np.exp([1, 0]).sum()
    divergence = (p * np.log(p / p[::-1])).sum()
    assert with_wrong(0, 100, 101).divergence == pytest.approx(divergence * (1 / 100 + 2 / 50) / 2)
    verdict = exporting._verdict(with_wrong(0, 1, 100, 101), 0.02, [])  # a may lose as many
    assert verdict.startswith(
        "Default: fp32. The best int8 model (U8S8, minmax, per channel, 7-bit weights) loses 2 of "
    )
    assert "2 of the 50 validation images of b; a class may lose 2% of its validation images" in verdict
    assert exporting._verdict(with_wrong(100), 0.02, []).startswith("Default: int8 (U8S8, minmax, per channel, 7-bit")
    shut = int8_gate.Change("recall of a", 7, 7, 0.143, 0.0, -0.4, 0.1)
    assert "Default: fp32" in exporting._verdict(with_wrong(100), 0.02, [shut])
    assert "recall of a falls from 0.143 to 0.000 (7 images)" in exporting._verdict(with_wrong(100), 0.02, [shut])


def test_calibration_images_are_balanced_over_the_classes(lesions):
    from dspkd import data
    from dspkd.deploy.export.image_sets import sample

    table = data.read("auto", lesions)
    counts = {name: of for name, (of, _) in sample(table, 64).counts().items()}
    whole = {name: of for name, (of, _) in table.counts().items()}
    assert sum(counts.values()) == 64
    least = min(counts[name] for name in counts if counts[name] < whole[name])
    assert all(counts[name] in {least, least + 1} or counts[name] == whole[name] for name in counts)
    assert sample(table, 64).ids == sample(table, 64).ids
    assert len(sample(table, 10_000)) == len(table)


def test_invalid_exports_are_refused(finished, tmp_path):
    with pytest.raises(RunError, match="not a run folder"):
        exporting.export(tmp_path, tmp_path / "model.dspkd")


def test_an_exported_bundle_passes_verification(made):
    checks = list(verify(made[0]))
    assert [check.name for check in checks] == ["files", "preprocessing", "fp32", "int8"]
    assert all(check.passed for check in checks), checks


def test_the_tolerance_of_a_quantised_logit_is_two_steps(made):
    golden = made[0].read_json("golden/golden.json")["answers"]
    for precision in ("fp32", "int8"):
        content = made[0].read(f"model.{precision}.onnx")
        levels = np.unique(np.diff(np.unique(Predictor(made[0], precision).logits(
            np.random.default_rng(3).random((64, 3, 32, 32), np.float32)
        ))))  # fmt: skip
        step = quantise.step(content)
        assert (step > 0) == (onnx.load_from_string(content).graph.node[-1].op_type == "DequantizeLinear")
        if step:
            np.testing.assert_allclose(levels / step, np.rint(levels / step), atol=0.01)
            assert levels.min() == pytest.approx(step, rel=0.01)
        assert golden[precision]["tolerance"] >= max(1e-3, 1.99 * step)


def test_a_conversion_that_changes_the_logits_is_refused(bundle, finished):
    from dspkd.deploy.export import onnx_graph

    network = Run(finished).model
    images = np.random.default_rng(0).random((2, 3, 32, 32), np.float32)
    model = contents(bundle)["model.fp32.onnx"]
    assert onnx_graph.largest_difference(network, model, images) < 1e-4
    with torch.no_grad():
        network.network.fc.bias[3] += 1
    with pytest.raises(BundleError, match="tiny: the ONNX file's logits differ from the network's by up to 1"):
        onnx_graph.largest_difference(network, model, images)


def test_a_bundle_needs_no_other_file(bundle, photographs, tmp_path):
    shutil.copy(bundle, tmp_path / "model.dspkd")
    prediction = Predictor(tmp_path / "model.dspkd").predict(photographs[0])
    assert sum(prediction.probabilities.values()) == pytest.approx(1)
