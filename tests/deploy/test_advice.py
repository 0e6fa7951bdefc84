"""When the advice is to refer, case by case; that nothing reassures."""

import itertools
import json

import numpy as np
import pytest

from dspkd.deploy.bundle.advice import NOT_REACHED, REFER, ReferralRule, percent, percents, rule_of
from dspkd.deploy.bundle.spec import BEFORE_REFER_FROM, BundleClass, Preprocessing, describe, parse

MEL, AK, NV, ODD = (
    BundleClass(name, f"the {name}", name, kind)
    for name, kind in {"MEL": "malignant", "AK": "premalignant", "NV": "benign", "X": "unknown"}.items()
)
CLASSES = (MEL, AK, NV, ODD)


def advise(p, refer_below=0.0, refer_from=0.25, classes=CLASSES):
    return ReferralRule(classes, refer_below, refer_from, "Why not.").advise(p)


def test_a_benign_top_class_is_referred_where_malignant_ones_add_up():
    """The case of the issue: seborrhoeic keratosis 48 %, melanoma 23 %, and other cancers beside it."""
    advice = advise([0.125, 0.0625, 0.75, 0.0625])
    assert (advice.refer, advice.sentence, advice.not_benign) == (True, REFER, 0.25)
    assert advice.reasons == (
        "Malignant or possibly malignant classes together have 25.0 %; from 25.0 % the advice is to refer.",
    )


def test_below_the_threshold_there_is_no_all_clear():
    advice = advise([0.125, 0.0625, 0.75 + 2**-20, 0.0625 - 2**-20])
    assert (advice.refer, advice.sentence) == (False, NOT_REACHED)
    assert "this is no all-clear" in str(advice)
    assert "A cancer can stay below it" in str(advice)


@pytest.mark.parametrize(
    ("number", "words"), [(0, "is malignant"), (1, "can become malignant"), (3, "not known to be benign")]
)
def test_a_top_class_that_is_not_benign_is_referred_below_any_threshold(number, words):
    p = [0.2, 0.2, 0.2, 0.2]
    p[number] = 0.4
    advice = advise(p, refer_from=0.99)
    assert advice.refer
    assert words in advice.reasons[0]
    assert f"the {CLASSES[number].id}" in advice.reasons[0]


def test_of_tied_classes_the_first_is_the_most_probable():
    assert advise([0.5, 0, 0.5, 0], refer_from=0.9).refer
    assert not advise([0.5, 0, 0.5, 0], refer_from=0.9, classes=(NV, NV, MEL, NV)).refer


def test_low_confidence_is_referred_and_the_threshold_itself_is_not():
    assert not advise([0.1, 0, 0.9, 0], refer_below=0.9).refer
    advice = advise([0.1, 0, 0.9, 0], refer_below=float(np.nextafter(0.9, 1)))
    assert advice.refer
    assert advice.reasons == ("Not sure: the highest probability, 90.00000000000000 %, is below 90.00000000000001 %.",)


def test_no_probability_reads_as_certain_that_is_not():
    shares = (1, 0.9996, 0.9994, 0.0049, 4e-5, 0)
    assert [percent(share) for share in shares] == [
        "100.0 %", "more than 99.9 %", "99.9 %", "0.49 %", "less than 0.01 %", "0.00 %",
    ]  # fmt: skip
    assert "have less than 0.01 %, below the threshold of 25.0 %" in str(advise([0, 4e-5, 1 - 4e-5, 0]))


@pytest.mark.parametrize(
    ("share", "threshold", "texts"),
    [
        (0.30001, 0.3, ("30.001 %", "30.000 %")),
        (0.00999, 0.01, ("0.999 %", "1.00 %")),
        (0.99999, 0.9999, ("more than 99.99 %", "99.99 %")),
        (0.3, 0.3, ("30.0 %", "30.0 %")),
        (2e-5, 1e-5, ("0.002 %", "0.001 %")),
    ],
)
def test_a_share_and_its_threshold_read_the_same_only_where_they_are(share, threshold, texts):
    assert percents(share, threshold) == texts


def test_without_a_threshold_every_image_is_referred_with_the_reason():
    for p in ([0, 0, 1, 0], [1, 0, 0, 0], [0, 0, 0, 1]):
        advice = advise(p, refer_from=None)
        assert advice.refer
        assert advice.reasons[-1] == "The advice is always to refer: why not."


def test_a_probability_that_is_no_number_is_referred():
    for p in itertools.product((0.5, float("nan")), repeat=4):
        if p != (0.5,) * 4:
            assert advise(p, refer_from=0.99).refer


def spec(**thresholds):
    return parse(
        json.dumps(
            {
                "name": "x",
                "classes": [{"id": "MEL", "name": "m", "meaning": "m"}, {"id": "NV", "name": "n", "meaning": "n"}],
                "preprocessing": describe(Preprocessing(32, 32, ())),
                "temperature": 1.0,
                "thresholds": {"refer_below": 0.0, **thresholds},
                "models": {name: {"file": f"{name}.onnx", "bytes": 1} for name in ("fp32", "int8")},
                "default": "fp32",
                "not_a_diagnosis": "no",
            }
        ).encode()
    )


def test_a_specification_of_version_1_has_unknown_classes_and_refers_always():
    rule = rule_of(spec(), "fp32")
    assert {each.malignancy for each in rule.classes} == {"unknown"}
    advice = rule.advise([0, 1])
    assert (advice.refer, advice.not_benign) == (True, 1)
    assert BEFORE_REFER_FROM[1:] in advice.reasons[-1]


def test_thresholds_hold_for_the_default_model_alone():
    both = spec(refer_from=0.5, refer_from_rule="r")
    assert rule_of(both, "fp32").refer_from == 0.5
    other = rule_of(both, "int8")
    assert other.refer_from is None
    assert "set for its fp32 model, not for int8" in other.advise([0, 1]).reasons[-1]
    assert rule_of(spec(refer_from=None, refer_from_rule="Too few."), "int8").why == "Too few."
