"""The golden cases that an export writes can be checked by every reader."""

from dspkd.deploy.bundle.verify import verify
from dspkd.deploy.export import export as exporting
from dspkd.deploy.export import quantise


def test_an_int8_model_that_no_tolerance_can_check_is_left_out(finished, tmp_path, monkeypatch):
    monkeypatch.setattr(quantise, "SETTINGS", quantise.SETTINGS[:1])
    monkeypatch.setattr(quantise, "step", lambda model: 1e3 if b"QuantizeLinear" in model else 0.0)
    bundle = exporting.export(finished, tmp_path / "model.dspkd")
    assert (list(bundle.spec.models), bundle.spec.default) == (["fp32"], "fp32")
    assert all(check.passed for check in verify(bundle))
    verdict = bundle.read_json("certificate.json")["conversion"]["verdict"]
    assert "is not in the bundle" in verdict
    assert verdict in bundle.read_text("card.md")
