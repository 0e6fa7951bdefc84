"""Predictions of a run's teacher on the same test images, from the run's folder or the teacher's own."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.special import log_softmax, logsumexp

from dspkd.errors import DspkdError
from dspkd.evaluation.predictions import Predictions
from dspkd.evaluation.scoring import require_same_images
from dspkd.runs.reading import opened
from dspkd.runs.run_folder import Run


def load(run: Run) -> Predictions | None:
    """Read the predictions of the run's teacher on the run's test images, in their order.

    For several teachers it is the mean of their probabilities, as in training. A run that did not keep its teacher's
    predictions takes them from the teachers' own runs, where images have the teachers' own size. Files are read; the
    test set is not evaluated.

    None where there is no teacher, or a teacher's run is gone or was tested on other images.
    """
    kept = run.files.teacher_predictions("test")
    try:
        own = (
            [Predictions.load(kept)] if kept.is_file() else [opened(each).predictions("test") for each in run.teachers]
        )
        teachers = [each.of(run.predictions("test").ids) for each in own]
        for each in teachers:
            require_same_images(run.predictions("test"), each)
    except DspkdError:
        return None
    if not teachers:
        return None
    log_p_MNK = np.stack([log_softmax(each.logits.astype(np.float64), axis=1) for each in teachers])
    return replace(teachers[0], logits=(logsumexp(log_p_MNK, axis=0) - np.log(len(teachers))).astype(np.float32))
