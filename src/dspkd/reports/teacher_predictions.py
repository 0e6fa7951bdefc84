"""What a run's teacher said of the same test images: as the run kept it, or from the teacher's own run folder."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.special import log_softmax, logsumexp

from dspkd.errors import DspkdError
from dspkd.evaluation.intervals import require_same_images
from dspkd.evaluation.predictions import Predictions
from dspkd.runs.run_folder import Run


def answers(run: Run) -> Predictions | None:
    """Return the predictions of the run's teacher about the run's test images, in their order.

    Those of several teachers are the mean of their probabilities, as they taught. A run keeps what its teacher said of
    its own images; for one made before that, they are read from the teachers' own runs, and are of images of the
    teachers' own size. No test image is opened.

    None where there is no teacher, or a run of it is gone or was tested on other images.
    """
    kept = run.folder / "predictions/teacher-test.csv"
    files = [kept] if kept.is_file() else [folder / "predictions/test.csv" for folder in run.teachers]
    try:
        said = [Predictions.load(file).of(run.test.ids) for file in files]
        for each in said:
            require_same_images(run.test, each)
    except DspkdError:
        return None
    if not said:
        return None
    log_p_MNK = np.stack([log_softmax(each.logits.astype(np.float64), axis=1) for each in said])
    return replace(said[0], logits=(logsumexp(log_p_MNK, axis=0) - np.log(len(said))).astype(np.float32))
