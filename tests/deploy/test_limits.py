"""The two lines on what a bundle misses."""

import json

import pytest

from bundles import contents, edited, write
from dspkd.deploy.bundle import limits
from dspkd.deploy.bundle.reader import open_bundle
from dspkd.errors import BundleError


def share(value, low, high, images, lesions):
    return {"share": value, "low": low, "high": high, "images": images, "lesions": lesions}


NONE = share(None, 0.0, 1.0, 0, 0)


@pytest.fixture
def with_advice(bundle, tmp_path):
    """A bundle with this key `advice` in its certificate's test part, and this threshold."""

    def make(advice, refer_from=0.1):
        files = contents(bundle)
        spec, certificate = (json.loads(files[name]) for name in ("spec.json", "certificate.json"))
        spec["thresholds"].update(refer_from=refer_from, refer_from_rule="Too few.")
        certificate["parts"]["test"]["advice"] = advice
        files |= {"spec.json": json.dumps(spec).encode(), "certificate.json": json.dumps(certificate).encode()}
        return open_bundle(write(tmp_path / "limits.dspkd", files))

    return make


def test_recall_and_referral_are_given_with_interval_and_number(with_advice):
    advice = {
        "recall": {"MEL": share(0.142857, 0.02, 0.51, 7, 7), "BCC": share(0.5, 0.2, 0.8, 10, 6), "SCC": NONE},
        "cancers referred": share(0.96, 0.86, 0.99, 41, 30),
        "benign referred": share(0.4, 0.3, 0.5, 94, 1),
    }
    first, second = limits.lines(with_advice(advice))
    assert first == (
        "Limits: on the test set it recognised MEL 14 % (95 % interval 2 to 51 %; 7 images); "
        "BCC 50 % (95 % interval 20 to 80 %; 10 images of 6 lesions or patients); SCC an unknown share (no image)."
    )
    assert second == (
        "Advice: it refers 96 % (95 % interval 86 to 99 %; 41 images of 30 lesions or patients) of cancers, "
        "and 40 % (95 % interval 30 to 50 %; 94 images of 1 lesion or patient) of benign images."
    )
    assert limits.lines(with_advice(advice, None)) == (first, "Advice: always to refer. Too few.")


def test_a_bundle_that_measured_nothing_says_so(with_advice, bundle, tmp_path):
    old = edited(
        tmp_path / "old.dspkd", contents(bundle), "certificate.json", lambda c: c["parts"]["test"].pop("advice")
    )
    assert limits.lines(open_bundle(old))[0] == limits.NOT_MEASURED[0]
    files = contents(bundle)
    del files["certificate.json"]
    assert limits.lines(open_bundle(write(tmp_path / "bare.dspkd", files)))[0] == limits.NOT_MEASURED[0]
    spec = json.loads(files["spec.json"])
    spec["thresholds"]["refer_from"] = 0.1
    bare = write(tmp_path / "bare2.dspkd", files | {"spec.json": json.dumps(spec).encode()})
    assert limits.lines(open_bundle(bare)) == limits.NOT_MEASURED
    assert "cannot recognise a cancer" in limits.lines(with_advice({"recall": {}}, None))[0]


def test_a_broken_certificate_is_named(with_advice):
    with pytest.raises(BundleError, match=r"certificate\.json: cancers referred is missing"):
        limits.lines(with_advice({"recall": {"MEL": NONE}}))
