"""The certificate's figures computed by hand, and that it contains no path."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.special import softmax

from dspkd.deploy.export import certificate
from dspkd.deploy.export.thresholds import Thresholds
from dspkd.evaluation.predictions import Predictions
from dspkd.recipes import schema

CLASSES, TEMPERATURE, THRESHOLD = ("MEL", "NV", "DF"), 0.5, 0.7


def fitted(temperature=TEMPERATURE):
    return Thresholds(temperature, THRESHOLD, "", None, "")


@pytest.fixture
def predictions():
    """Sixty images of twenty lesions, none a DF; the int8 network differs from the one in torch."""
    draw = np.random.default_rng(0)
    labels = draw.integers(0, 2, 60)

    def make(gain):
        logits = (draw.normal(size=(60, 3)) + gain * np.eye(3)[labels]).astype(np.float32)
        return Predictions(CLASSES, tuple(map(str, range(60))), tuple(str(k // 3) for k in range(60)), labels, logits)

    return {"torch": make(2.0), "int8": make(0.5)}


def test_a_part_describes_the_default_network(predictions):
    part = certificate.part(predictions, fitted(), "int8")
    default = predictions["int8"]
    shares = softmax(default.logits.astype(np.float64) / TEMPERATURE, axis=1)
    sure, top = shares.max(axis=1) >= THRESHOLD, shares.argmax(axis=1)
    assert (part["images"], part["lesions or patients"]) == (60, 20)
    assert set(part["referral"]) == {"MEL", "NV"}
    for number, name in enumerate(("MEL", "NV")):
        mine, row = default.labels == number, part["referral"][name]
        assert row["answered"] == pytest.approx(sure.mean())
        assert row["found"] == pytest.approx((sure & (top == number))[mine].mean())
        assert row["referred"] == pytest.approx((~sure)[mine].mean())
    assert part["answered as torch does"] == {
        "torch": 1.0,
        "int8": pytest.approx((top == predictions["torch"].predicted).mean(), abs=1e-6),
    }
    assert part["recall"]["DF"] == {"images": 0, "torch": None, "int8": None}


def test_limits_are_of_the_images_of_each_kind(predictions):
    default = predictions["int8"]
    requested = []

    def referred(each):
        requested.append(each)
        return np.arange(60) % 4 == 0

    limits = certificate.advised(default, ("malignant", "benign", "premalignant"), referred)
    assert requested == [default]
    mel, nv = default.labels == 0, default.labels == 1
    assert set(limits["recall"]) == {"MEL", "DF"}
    assert limits["recall"]["MEL"]["share"] == pytest.approx((default.predicted == 0)[mel].mean(), abs=1e-6)
    assert limits["recall"]["DF"]["share"] is None
    for key, of in (("cancers referred", mel), ("benign referred", nv)):
        assert limits[key]["share"] == pytest.approx((np.arange(60) % 4 == 0)[of].mean(), abs=1e-6)
        assert (limits[key]["images"], limits[key]["lesions"]) == (of.sum(), len(set(np.arange(60)[of] // 3)))
    assert limits["premalignant referred"]["images"] == 0


def test_calibration_error_is_reported_before_and_after_the_temperature(predictions):
    flat, sharp = (certificate.part(predictions, fitted(t), "int8")["calibration error"] for t in (1.0, TEMPERATURE))
    assert flat["before"] == flat["after"] == sharp["before"]
    assert sharp["after"] != sharp["before"]
    assert flat != certificate.part(predictions, fitted(1.0), "torch")["calibration error"]


def test_origins_contain_names_and_no_path(finished):
    recipe = schema.load(finished / "recipe.toml")
    model = replace(recipe.model, weights="disks/jane/first.safetensors")
    recipe = replace(recipe, teacher=("disks/jane/runs/teacher",), model=model)
    origins = certificate.origins(finished, recipe, Path(recipe.data.path))
    assert (origins["first weights"], origins["teachers"]) == ("first.safetensors", [{"name": "teacher"}])
    assert "jane" not in json.dumps(origins)


def test_the_layout_is_that_of_the_images_where_they_are_now(finished, lesions, tmp_path):
    recipe = schema.load(finished / "recipe.toml")
    gone = replace(recipe, data=replace(recipe.data, path=str(tmp_path / "gone")))
    origins = certificate.origins(finished, gone, lesions)
    assert origins["data"]["layout"] == "isic2019"
    assert origins["recipe"]["digest"] == gone.digest
