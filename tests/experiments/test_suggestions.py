import tomllib

import numpy as np
import pytest

from dspkd.evaluation.softening import confidence, softened
from dspkd.experiments.teacher_check import suggestions
from dspkd.recipes import schema
from dspkd.recipes.overrides import assign, parsed
from dspkd.runs.explain import StageFacts, TermFacts

LOGITS = (6 * np.random.default_rng(0).normal(size=(300, 8))).astype(np.float32)


def recipe(*terms):
    return schema.parse(
        {
            "name": "r",
            "data": {"path": "d"},
            "model": {"name": "tiny"},
            "teacher": "t",
            "stages": [{"name": "s", "epochs": 1, "lr": 1e-3, "terms": [{"method": "labels"}, *terms]}],
        }
    )


def facts(*shares):
    terms = tuple(TermFacts(str(n), 1.0, 1.0, share, 0) for n, share in enumerate(shares))
    return [StageFacts("s", 1, 10, terms)]


@pytest.mark.parametrize("gain", [0.3, 8.0])
@pytest.mark.parametrize(
    ("method", "option", "given", "spread"),
    [
        ("kd", "temperature", 4.0, False),
        ("normkd", "t_norm", 1.0, True),
        ("logit_standardisation", "temperature", 2.0, True),
        ("dkd", "temperature", 4.0, False),
        ("wsld", "temperature", 2.0, False),
    ],
)
def test_the_suggested_temperature_brings_confidence_to_the_nearer_bound(method, option, given, spread, gain):
    logits = (gain * LOGITS).astype(np.float32)
    student = recipe({"method": method})
    (soft,) = suggestions.softness(student, logits, 0.7)
    before = confidence(softened(logits, given, spread=spread))
    assert (soft.place, soft.option, soft.given) == ("stages.0.terms.1", option, given)
    assert soft.confidence == pytest.approx(before)
    target = min(max(soft.confidence, suggestions.SOFT), 0.7)
    (setting,) = suggestions.temperatures([soft], 0.7)
    settings = tomllib.loads(schema.dump(student))
    assign(settings, [parsed(setting.line)])
    term = schema.parse(settings).stages[0].terms[1]
    after = confidence(softened(logits, term.options[option], spread=spread))
    assert after == pytest.approx(target, abs=0.01)
    assert "inferred" in setting.reason
    assert ("above its accuracy" in setting.reason) == (before > 0.7)


def test_a_fitting_temperature_gets_no_suggestion():
    mean = confidence(softened(LOGITS, 2.0))
    assert 0.6 < mean < 0.8
    for accuracy in (mean, mean + 0.2):  # as confident as accurate; less confident, but not too soft
        (soft,) = suggestions.softness(recipe({"method": "kd", "options": {"temperature": 2.0}}), LOGITS, accuracy)
        assert soft.fitting is None
        assert suggestions.temperatures([soft], accuracy) == []
    assert suggestions.softness(recipe({"method": "mgd"}), LOGITS, 0.7) == []


@pytest.mark.parametrize(("option", "tau"), [("uniform", 1.0), (0.5, 0.5), (0.0, 0.0)])
@pytest.mark.parametrize("method", ["kd", "normkd"])
def test_the_class_prior_is_removed_before_confidence_is_measured(method, option, tau):
    prior = (0.65, 0.2, 0.05, 0.02, 0.02, 0.02, 0.02, 0.02)
    student = recipe({"method": method, "options": {"prior": option}})
    (soft,) = suggestions.softness(student, LOGITS, 0.7, prior)
    (plain,) = suggestions.softness(recipe({"method": method}), LOGITS - tau * np.log(np.float32(prior)), 0.7)
    assert (soft.confidence, soft.entropy) == pytest.approx((plain.confidence, plain.entropy), rel=1e-5)
    assert soft.fitting == pytest.approx(plain.fitting, rel=1e-3) if plain.fitting else soft.fitting is None


def test_a_weight_is_suggested_if_gradients_differ_by_an_order_of_magnitude():
    student = recipe({"method": "mgd", "weight": 7e-5})
    (setting,) = suggestions.weights(student, facts(0.997, 0.003))
    assert setting.line == "stages.0.terms.1.weight=0.023"
    assert "mgd has 0.3% of the gradient" in setting.reason
    assert suggestions.weights(student, facts(0.8, 0.2)) == []
    assert suggestions.weights(recipe({"method": "mgd", "share": 0.4}), facts(0.997, 0.003)) == []
    (setting,) = suggestions.weights(student, facts(0.05, 0.95))
    assert float(setting.line.partition("=")[2]) == pytest.approx(7e-5 / 19, rel=0.05)


def test_a_stage_without_labels_gets_no_suggestion():
    student = schema.parse(
        {
            "name": "r",
            "data": {"path": "d"},
            "model": {"name": "tiny"},
            "teacher": "t",
            "stages": [{"name": "s", "epochs": 1, "lr": 1e-3, "terms": [{"method": "mgd"}]}],
        }
    )
    assert suggestions.weights(student, facts(1.0)) == []
