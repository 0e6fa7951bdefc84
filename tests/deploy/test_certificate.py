"""The certificate's figures by hand, and that it tells no path."""

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy.special import softmax

from dspkd.deploy.export import certificate
from dspkd.evaluation.predictions import Predictions
from dspkd.recipes import schema

CLASSES, TEMPERATURE, THRESHOLD = ("MEL", "NV", "DF"), 0.5, 0.7


@pytest.fixture
def answers():
    """Sixty images of twenty lesions, none a DF; the network in int8 is not the one in torch."""
    draw = np.random.default_rng(0)
    labels = draw.integers(0, 2, 60)

    def told(gain):
        logits = (draw.normal(size=(60, 3)) + gain * np.eye(3)[labels]).astype(np.float32)
        return Predictions(CLASSES, tuple(map(str, range(60))), tuple(str(k // 3) for k in range(60)), labels, logits)

    return {"torch": told(2.0), "int8": told(0.5)}


def test_a_part_is_told_of_the_default_network(answers):
    part = certificate.part(answers, TEMPERATURE, THRESHOLD, "int8")
    told = answers["int8"]
    shares = softmax(told.logits.astype(np.float64) / TEMPERATURE, axis=1)
    sure, top = shares.max(axis=1) >= THRESHOLD, shares.argmax(axis=1)
    assert (part["images"], part["lesions or patients"]) == (60, 20)
    assert set(part["referral"]) == {"MEL", "NV"}
    for number, name in enumerate(("MEL", "NV")):
        mine, row = told.labels == number, part["referral"][name]
        assert row["answered"] == pytest.approx(sure.mean())
        assert row["found"] == pytest.approx((sure & (top == number))[mine].mean())
        assert row["referred"] == pytest.approx((~sure)[mine].mean())
    assert part["answered as torch does"] == {
        "torch": 1.0,
        "int8": pytest.approx((top == answers["torch"].predicted).mean(), abs=1e-6),
    }
    assert part["recall"]["DF"] == {"images": 0, "torch": None, "int8": None}


def test_calibration_before_knows_no_temperature_and_after_does(answers):
    flat, sharp = (certificate.part(answers, t, THRESHOLD, "int8")["calibration error"] for t in (1.0, TEMPERATURE))
    assert flat["before"] == flat["after"] == sharp["before"]
    assert sharp["after"] != sharp["before"]
    assert flat != certificate.part(answers, 1.0, THRESHOLD, "torch")["calibration error"]


def test_origins_name_files_and_folders_and_tell_no_path(finished):
    asked = schema.load(finished / "recipe.toml")
    asked = replace(
        asked, teacher=("disks/jane/runs/teacher",), model=replace(asked.model, weights="disks/jane/first.safetensors")
    )
    told = certificate.origins(finished, asked)
    assert (told["first weights"], told["teachers"]) == ("first.safetensors", [{"name": "teacher"}])
    assert "jane" not in json.dumps(told)
