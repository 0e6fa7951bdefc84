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


@pytest.mark.parametrize("refer_from", [0.1, None])
def test_of_another_model_than_the_default_its_own_recall_is_given_and_to_refer_always(with_advice, refer_from):
    advice = {
        "recall": {"MEL": share(0.9, 0.8, 0.95, 7, 7)},
        "cancers referred": share(0.96, 0.86, 0.99, 41, 30),
        "benign referred": share(0.4, 0.3, 0.5, 94, 1),
    }
    opened = with_advice(advice, refer_from)
    spec = opened.spec
    (other,) = set(spec.models) - {spec.default}
    recall = opened.read_json("certificate.json")["parts"]["test"]["recall"]
    shares = [
        f"{each.id} {100 * recall[each.id][other]:.0f} % ({recall[each.id]['images']} images)"
        for each in spec.classes
        if not each.benign
    ]
    first, second = limits.lines(opened, other)
    assert first == f"Limits: on the test set its {other} model recognised {'; '.join(shares)}."
    assert second == "Advice: always to refer. " + (
        f"The thresholds of this bundle were set for its {spec.default} model, not for {other}."
        if refer_from
        else "Too few."
    )
    assert limits.lines(opened, spec.default) == limits.lines(opened)
    assert "95 % interval" in limits.lines(opened)[0]


def test_of_a_model_that_was_not_measured_nothing_is_known(bundle, tmp_path):
    spec = open_bundle(bundle).spec
    (other,) = set(spec.models) - {spec.default}

    def forget(certificate):
        for row in certificate["parts"]["test"]["recall"].values():
            del row[other]

    old = edited(tmp_path / "old.dspkd", contents(bundle), "certificate.json", forget)
    assert limits.lines(open_bundle(old), other)[0] == limits.NOT_MEASURED[0]
    files = contents(bundle)
    del files["certificate.json"]
    assert limits.lines(open_bundle(write(tmp_path / "bare.dspkd", files)), other)[0] == limits.NOT_MEASURED[0]


def test_a_share_reads_0_or_100_only_where_it_is(with_advice):
    advice = {
        "recall": {"MEL": share(0.996, 0.9, 0.9996, 500, 500), "BCC": share(1.0, 0.5, 1.0, 7, 7)},
        "cancers referred": share(0.9996, 0.98, 0.99999, 2500, 2500),
        "benign referred": share(0.004, 0.0004, 0.02, 500, 0),
    }
    first, second = limits.lines(with_advice(advice))
    assert "MEL 99.6 % (95 % interval 90 to more than 99.9 %" in first
    assert "BCC 100 % (95 % interval 50 to 100 %" in first
    assert "it refers more than 99.9 % (95 % interval 98 to more than 99.9 %" in second
    assert "and 0.4 % (95 % interval less than 0.1 to 2 %" in second
    assert [limits.percent(each, 1) for each in (0.0, 0.0004, 0.95, 0.9996, 1.0)] == [
        "0.0", "less than 0.1", "95.0", "more than 99.9", "100.0",
    ]  # fmt: skip


def test_a_broken_certificate_is_named(with_advice):
    with pytest.raises(BundleError, match=r"certificate\.json: cancers referred is missing"):
        limits.lines(with_advice({"recall": {"MEL": NONE}}))
