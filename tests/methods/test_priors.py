"""A teacher's class prior, and its removal in the methods with the option `prior`."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from dspkd.errors import RecipeError
from dspkd.methods import check_options
from dspkd.methods.dkd import DKD
from dspkd.methods.kd import KD
from dspkd.methods.labels import Labels
from dspkd.methods.normkd import NormKD

PRIOR = (0.2, 0.4, 0.1, 0.05, 0.12, 0.03, 0.04, 0.06)
every_method = pytest.mark.parametrize("method", [KD, NormKD, DKD])


@pytest.fixture
def teacher_spec(nets):
    return replace(nets.teacher, class_prior=PRIOR)


def corrected(teacher, tau):
    return replace(teacher, logits=teacher.logits - tau * torch.tensor(np.log(PRIOR)))


@every_method
@pytest.mark.parametrize(("prior", "tau"), [("uniform", 1.0), (1.0, 1.0), (0.5, 0.5)])
def test_it_is_the_method_with_a_corrected_teacher(method, prior, tau, nets, teacher_spec):
    student, teacher = nets.pair(dtype=torch.float64)
    got = method(nets.student, teacher_spec, prior=prior)(student, teacher, nets.batch())
    want = method(nets.student, nets.teacher)(student, corrected(teacher, tau), nets.batch())
    torch.testing.assert_close(got, want, rtol=1e-6, atol=0)  # the adjustment is float32


@every_method
def test_without_the_option_the_prior_does_not_matter(method, nets, teacher_spec):
    pair, batch = nets.pair(), nets.batch()
    term = method(nets.student, teacher_spec)
    assert torch.equal(term(*pair, batch), method(nets.student, nets.teacher)(*pair, batch))
    assert not term.corrects_prior
    assert method(nets.student, teacher_spec, prior="uniform").corrects_prior
    assert "adjustment" not in term.state_dict()


@every_method
def test_a_student_that_is_the_corrected_teacher_has_nothing_to_learn(method, nets, teacher_spec):
    _, teacher = nets.pair(dtype=torch.float64)
    student = corrected(teacher, 1.0)
    s_BK = student.logits.requires_grad_()
    loss = method(nets.student, teacher_spec, prior="uniform")(student, teacher, nets.batch())
    loss.backward()
    assert loss.item() == pytest.approx(0, abs=1e-12)
    torch.testing.assert_close(s_BK.grad, torch.zeros_like(s_BK), rtol=0, atol=1e-6)


@every_method
def test_a_uniform_prior_changes_nothing_but_rounding(method, nets):
    pair, batch = nets.pair(), nets.batch()
    even = method(nets.student, replace(nets.teacher, class_prior=(1 / 8,) * 8), prior=2.0)
    torch.testing.assert_close(even(*pair, batch), method(nets.student, nets.teacher)(*pair, batch))


@every_method
@pytest.mark.parametrize(
    ("known", "message"),
    [((), "is unknown; name the folder of a run"), ((0.5, 0.5, *[0.0] * 6), "without images of a class")],
)
def test_a_prior_that_is_unknown_or_0_is_refused(method, known, message, nets):
    with pytest.raises(RecipeError, match=rf"\.prior = 'uniform': .*{message}"):
        method(nets.student, replace(nets.teacher, class_prior=known), prior="uniform")


@pytest.mark.parametrize("prior", ["even", -1.0, True])
def test_another_value_is_refused(prior):
    with pytest.raises(RecipeError, match=rf"kd\.prior: .*got {prior!r}"):
        check_options("kd", {"prior": prior})


@pytest.mark.parametrize(
    ("case", "method", "options"),
    [
        ("la_kd_b0.0_now_tau1.0_T2.0", KD, {"prior": "uniform", "temperature": 2.0}),
        ("la_kd_b0.5_now_tau1.0_T1.0", KD, {"prior": 1.0, "temperature": 1.0}),
        ("la_kd_b0.25_sqrtw_tau0.7_T4.0", KD, {"prior": 0.7}),
        ("la_normkd_b0.0_now_tau1.0_nu1.0", NormKD, {"prior": "uniform"}),
        ("la_normkd_b0.5_now_tau1.0_nu1.0", NormKD, {"prior": 1.0}),
        ("la_normkd_b0.25_sqrtw_tau0.7_nu1.0", NormKD, {"prior": 0.7}),
    ],
)
def test_they_agree_with_an_independent_program(case, method, options, golden_priors):
    student, teacher = golden_priors.specs()
    teacher = replace(teacher, class_prior=tuple(golden_priors[f"{case}__prior"].tolist()))
    golden_priors.check(case, method(student, teacher, **options), "logits", rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("options", "draws", "shares"),
    [
        ({}, (60, 30, 10), (60, 30, 10)),
        ({}, (), (60, 30, 10)),
        ({}, (40, 35, 25), (40, 35, 25)),
        ({"class_weights": "inverse"}, (), (1, 1, 1)),
        ({"class_weights": "sqrt_inverse"}, (), np.sqrt([60, 30, 10])),
        ({"class_weights": "inverse"}, (40, 35, 25), (40 / 60, 35 / 30, 25 / 10)),
        ({"logit_adjustment": 1.0}, (), (1, 1, 1)),
        ({"logit_adjustment": 0.5}, (), np.sqrt([60, 30, 10])),
        ({"logit_adjustment": 2.0}, (), (1 / 60, 1 / 30, 1 / 10)),
        ({"class_weights": "effective", "effective_beta": 0.0}, (), (60, 30, 10)),
    ],
)
def test_the_prior_of_a_training_with_labels(options, draws, shares, nets):
    spec = replace(nets.student, classes=3, class_counts=(60, 30, 10), class_draws=draws)
    assert Labels(spec, None, **options).prior == pytest.approx(np.array(shares) / np.sum(shares))
    with torch.device("meta"):
        assert Labels(spec, None, **options).prior == pytest.approx(np.array(shares) / np.sum(shares))


def test_the_bias_of_a_trained_classifier_settles_where_its_mean_prediction_is_the_prior(nets):
    """First-order condition of the bias: weighted mean softmax = weighted label share, whatever the features."""
    counts, weights = np.array([60, 30, 10]), np.array([1.0, 2.0, 3.0])
    spec = replace(nets.student, classes=3, class_counts=(60, 30, 10))
    bias = torch.log(torch.tensor(counts * weights))  # the optimum of weighted cross-entropy without features
    share = (weights * counts / (weights * counts).sum()).tolist()
    assert torch.softmax(bias, 0).tolist() == pytest.approx(share)
    draws = tuple(int(n) for n in counts * weights)
    assert Labels(replace(spec, class_draws=draws), None).prior == pytest.approx(share)


def test_a_class_without_images_has_no_share(nets):
    spec = replace(nets.student, classes=3, class_counts=(30, 0, 10))
    assert Labels(spec, None).prior == pytest.approx((0.75, 0, 0.25))
    assert Labels(replace(spec, class_counts=()), None).prior == ()
