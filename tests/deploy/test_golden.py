"""The golden cases that an export writes can be checked by every reader."""

from dataclasses import replace

import numpy as np

from dspkd.data import read
from dspkd.deploy.bundle.network import logits, session
from dspkd.deploy.bundle.verify import verify
from dspkd.deploy.export import export as exporting
from dspkd.deploy.export import golden, quantise
from dspkd.deploy.export.image_sets import ImageSet
from hostile_networks import four


def test_an_int8_model_that_no_tolerance_can_check_is_left_out(finished, tmp_path, monkeypatch):
    monkeypatch.setattr(quantise, "SETTINGS", quantise.SETTINGS[:1])
    monkeypatch.setattr(quantise, "step", lambda model: 1e3 if b"QuantizeLinear" in model else 0.0)
    bundle = exporting.export(finished, tmp_path / "model.dspkd")
    assert (list(bundle.spec.models), bundle.spec.default) == (["fp32"], "fp32")
    assert all(check.passed for check in verify(bundle))
    verdict = bundle.read_json("certificate.json")["conversion"]["verdict"]
    assert "is not in the bundle" in verdict
    assert verdict in bundle.read_text("card.md")


def test_golden_logits_and_trials_are_computed_image_by_image_as_readers_do(lesions):
    """The network has the mean over all pixels of a batch in each logit, so that a batch has others than its images."""
    model = four("images")
    pixels = np.random.default_rng(0).integers(0, 256, (3, 3, 32, 32), np.uint8)
    images_N3SS = np.divide(pixels, np.float32(255), dtype=np.float32)
    alone = np.concatenate([logits(session(model), image_3SS[None], 4) for image_3SS in images_N3SS])
    assert not np.allclose(logits(session(model), images_N3SS, 4), alone)
    files = golden.computed({}, images_N3SS, {"fp32": model}, temperature=1.0)
    assert np.array_equal(np.frombuffer(files["golden/logits.fp32.f32"], "<f4").reshape(3, 4), alone)
    table = replace(read("auto", lesions).take([0, 1, 2]), classes=("a", "b", "c", "d"), labels=np.zeros(3, np.int64))
    assert np.array_equal(ImageSet(table, pixels).predict(model).logits, alone)
