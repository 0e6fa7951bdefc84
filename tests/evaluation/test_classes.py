import numpy as np
import pytest

from dspkd.deploy.export import thresholds
from dspkd.evaluation.classes import malignancies, melanoma
from dspkd.evaluation.fidelity import class_order
from dspkd.evaluation.predictions import Predictions
from dspkd.evaluation.selective import threshold_for
from dspkd.reports import subgroups


@pytest.mark.parametrize(
    ("classes", "number"),
    [
        (("MEL", "NV"), 0),
        (("NV", "mel"), 1),
        (("NV", " Melanoma "), 1),
        (("NV", "MELANOMA\t"), 1),
        (("NV", "no melanoma"), None),
        (("NV", "melanocytic"), None),
        (("acne", "rosacea", "melasma"), None),
        (("MEL", "NV", "melanoma"), None),  # neither alone is melanoma
        ((), None),
    ],
)
def test_melanoma_is_the_one_class_called_so(classes, number):
    assert melanoma(classes) == number


def test_fidelity_subgroups_and_export_use_the_same_rule():
    classes = ("NV", " Melanoma ")
    labels, groups = np.arange(40) % 2, tuple(map(str, range(40)))
    logits = np.random.default_rng(0).normal(size=(40, 2)).astype(np.float32)
    predictions = Predictions(classes, groups, groups, labels, logits)
    assert class_order(classes) == [1, 0]
    assert subgroups.of_runs([predictions], {"sex": ("female",) * 40}).focus == " Melanoma "
    fitted = thresholds.fit(predictions, malignancies(classes))
    scaled = Predictions(classes, groups, groups, labels, logits / np.float32(fitted.temperature))
    assert fitted.refer_below == threshold_for(scaled, 1)
    assert "95% of the  Melanoma  images" in fitted.rule
