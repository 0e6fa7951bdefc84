"""The model card of a certificate made by hand."""

import json

import pytest

from dspkd.deploy.bundle.spec import Preprocessing, describe, parse
from dspkd.deploy.export.model_card import card

CHANGE = {
    "name": "recall of MEL", "images": 7, "lesions": 5, "before": 0.142857, "after": 0.0, "low": -0.4, "high": 0.1,
    "passes": False,
}  # fmt: skip
SPEC = {
    "name": "by hand",
    "classes": [
        {"id": kind, "name": kind.lower(), "meaning": "a | b", "malignancy": "malignant" if kind == "MEL" else "benign"}
        for kind in ("MEL", "NV", "DF")
    ],
    "preprocessing": describe(Preprocessing(70, 64, ())),
    "temperature": 0.9,
    "thresholds": {"refer_below": 0.8, "refer_from": 0.0831, "refer_from_rule": "Thus chosen."},
    "models": {name: {"file": f"model.{name}.onnx", "bytes": 3} for name in ("fp32", "int8")},
    "default": "int8",
    "not_a_diagnosis": "No diagnosis.",
}


def share(value, low, high, images, lesions):
    return {"share": value, "low": low, "high": high, "images": images, "lesions": lesions}


def part(before, after):
    """Of 10 MEL 2 are correct, 7 referred; of 100 NV 50 and 20; of 10 BCC 9 and 1; there is no DF."""
    recall = {"MEL": (10, 0.6, 0.5), "NV": (100, 0.4, 0.51), "BCC": (10, 1.0, 1.0), "DF": (0, None, None)}
    mean = {"torch": 0.5, "fp32": 0.5, "int8": 0.505}
    return {
        "images": 110, "lesions or patients": 80,
        "recall": {kind: {"images": n, "torch": t, "fp32": t, "int8": q} for kind, (n, t, q) in recall.items()},
        "balanced accuracy": mean, "accuracy": mean, "answered as torch does": mean,
        "calibration error": {"before": before, "after": after},
        "referral": {
            "MEL": {"threshold": 0.8, "answered": 0.75, "found": 0.2, "referred": 0.7},
            "NV": {"threshold": 0.8, "answered": 0.75, "found": 0.5, "referred": 0.2},
            "BCC": {"threshold": 0.8, "answered": 0.75, "found": 0.9, "referred": 0.1},
        },
        "advice": {
            "recall": {"MEL": share(0.14, 0.02, 0.51, 7, 5)}, "cancers referred": share(0.96, 0.86, 0.99, 41, 30),
            "benign referred": share(0.4, 0.3, 0.55, 94, 80), "premalignant referred": share(None, 0.0, 1.0, 0, 0),
        },
    }  # fmt: skip


def make_card(before=0.05, after=0.02, default="int8", caution=None, **thresholds):
    counts = {"train": {"MEL": [1000, 9], "NV": [234, 9]}, "val": {"MEL": [5, 1]}, "test": {"MEL": [10, 9]}}
    certificate = {
        "parts": {"test": part(before, after), "validation": part(before, after)},
        "conversion": {"verdict": "Default: int8.", "gate": {"margin": 0.05, "changes": [CHANGE]}},
        "referral rule": "So it is.",
        "size": {"parameters": 7, "multiply-accumulates": 9, "bytes": {"int8": 1}},
        "latency": {"machine": "m", "protocol": "p", "milliseconds": {"int8": {"p50": 1.0, "p95": 2.0, "cpu": 1.0}}},
        "origins": {
            "recipe": {"name": "r", "digest": "d", "seed": 0, "network": "net"}, "first weights": "w", "teachers": [],
            "caution": caution,
            "data": {"layout": "csv", "synthetic": False, "digest": "0" * 64, "split digest": "1" * 64, "leak": None,
                     "images and lesions or patients": counts},
            "made with": {"dspkd": "1"},
        },
        "licence": "mine",
    }  # fmt: skip
    spec = SPEC | {"default": default, "thresholds": SPEC["thresholds"] | thresholds}
    return card(parse(json.dumps(spec).encode()), certificate)


def test_threshold_sensitivity_and_specificity_have_intervals_and_numbers():
    text = make_card()
    assert "add up to 0.0831 or more" in text
    assert "Thus chosen." in text
    assert "| sensitivity: cancers referred | test | 0.960 | 0.860 to 0.990 | 41 | 30 |" in text
    assert "| specificity: benign images not referred | test | 0.600 | 0.450 to 0.700 | 94 | 80 |" in text
    assert "| premalignant lesions referred | validation |  |  | 0 |  |" in text
    assert "| recall of MEL | test | 0.140 | 0.020 to 0.510 | 7 | 5 |" in text
    assert "| MEL | mel | malignant |" in text


def test_a_bundle_without_a_threshold_refers_always_and_the_card_says_why():
    assert "\nAlways. Too few.\n" in make_card(refer_from=None, refer_from_rule="Too few.").replace(
        " The threshold", "\n"
    )


def test_int8_is_compared_with_float32_where_it_matters():
    assert "| recall of MEL | 7 | 5 | 0.143 | 0.000 | -0.400 to +0.100 | no |" in make_card()


def test_wrong_and_not_referred_is_a_column_and_the_worst_class_is_named():
    assert "| MEL | 10 | 0.200 | 0.100 | 0.700 |" in make_card()
    assert "| NV | 100 | 0.500 | 0.300 | 0.200 |" in make_card()
    assert "| BCC | 10 | 0.900 | 0.000 | 0.100 |" in make_card()  # 1 - 0.9 - 0.1 is below 0 in binary
    assert (
        "By this rule alone 0.750 of the test images are not referred, and the class most often wrong and not referred "
        "is NV;" in make_card()
    )


@pytest.mark.parametrize(("default", "missed"), [("int8", "MEL (recall 0.500)"), ("fp32", "NV (recall 0.400)")])
def test_classes_that_are_missed_half_the_time_are_listed_as_limits(default, missed):
    assert f"\n- It misses half or more of the test images of {missed}, not counting referrals.\n" in make_card(
        default=default
    )


@pytest.mark.parametrize(("after", "worse"), [(0.02, False), (0.05, True), (0.06, True)])
def test_a_temperature_that_does_not_help_is_reported(after, worse):
    assert (f"is 0.050 without it and {after:.3f} with it: not better." in make_card(after=after)) == worse
    assert (f"is 0.050 without it and {after:.3f} with it." in make_card(after=after)) != worse


def test_a_temperature_that_was_not_fitted_but_kept_at_1_is_reported_so(monkeypatch):
    assert "a temperature of 0.900, which minimises the log loss on validation." in make_card()
    monkeypatch.setitem(SPEC, "temperature", 1.0)
    card = make_card()
    assert "a temperature of 1.000: at least 1, as fewer than 10 validation images were wrong." in card
    assert "minimises" not in card


def test_the_limits_name_the_images_that_are_refused():
    assert "a shorter side below 32 px, or one colour within 8 of 255 (both inferred)." in make_card()


def test_images_are_counted_by_part_and_bars_in_cells_are_escaped():
    assert "images in layout csv, 1,234 train, 5 val, 10 test; digest 000000000000, split 111111111111" in make_card()
    assert r"| MEL | mel | malignant | a \| b |" in make_card()


def test_a_network_that_was_trained_elsewhere_is_said_at_the_head():
    head = make_card(caution="net was trained elsewhere.").partition("## Classes")[0]
    assert "**net was trained elsewhere.**" in head
    assert "elsewhere" not in make_card()


def test_a_share_reads_0_or_1_only_where_it_is(monkeypatch):
    monkeypatch.setitem(CHANGE, "before", 0.9996)
    monkeypatch.setitem(CHANGE, "after", 0.0004)
    assert "| recall of MEL | 7 | 5 | above 0.999 | below 0.001 | -0.400 to +0.100 | no |" in make_card()
    assert "| premalignant lesions referred | test |  |  | 0 |  |" in make_card()
