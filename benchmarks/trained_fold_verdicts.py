"""False-positive rate of verdicts over folds, with networks that are trained: two methods equal on average.

    python benchmarks/trained_fold_verdicts.py --images 250 --features 100

A study draws a data set of two classes and trains two ridge regressions in five folds, each on its own features. Both
have the same distribution, so neither method is better over data sets; on a single one their fold networks share most
training images, so they differ by more than independent networks. Printed is how often they differ significantly (5 %
would be right): by the verdicts of dspkd over folds, and by the t test over folds, which takes them as independent.
"""

import argparse

import numpy as np
from scipy import stats

from dspkd.evaluation import significance
from dspkd.evaluation.intervals import resample
from dspkd.evaluation.predictions import Predictions
from dspkd.evaluation.significance import LEVEL, of_scores

FOLDS, METRICS = 5, ("auc_macro", "log_loss")


def study(generator, images, features):
    """Return the out-of-fold predictions of both methods."""
    labels = generator.integers(2, size=images)
    x = generator.normal(size=(2, images, features))
    x[:, :, :3] += 0.35 * (2 * labels - 1)[:, None]
    fold, ids, runs = generator.permutation(images) % FOLDS, tuple(map(str, range(images))), []
    for own in x:
        scores = np.empty(images)
        for number in range(FOLDS):
            train, test = own[fold != number], own[fold == number]
            target = 2.0 * labels[fold != number] - 1
            scores[fold == number] = test @ np.linalg.solve(train.T @ train + np.eye(features), train.T @ target)
        logits = np.stack([-scores, scores], axis=1).astype(np.float32)
        runs.append(Predictions(("a", "b"), ids, ids, labels, logits, fold))
    return runs


def paired_t(scores):
    """Return p of the t test over folds, of pseudo-values."""
    pseudo = FOLDS * scores.observed[:, None] - (FOLDS - 1) * scores.without
    return stats.ttest_rel(*pseudo).pvalue


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in (("images", 250), ("features", 100), ("studies", 400)):
        parser.add_argument(f"--{name}", type=int, default=value)
    arguments = parser.parse_args()
    significance.minimum_detectable_difference = lambda *_: 0.0  # not needed, and slow
    generator = np.random.default_rng(0)
    found = {(metric, test): 0 for metric in METRICS for test in ("verdict", "t test over folds")}
    for _ in range(arguments.studies):
        scores = resample(study(generator, arguments.images, arguments.features), METRICS, resamples=400)
        for metric in METRICS:
            (row,) = of_scores(metric, scores[metric], {"one": range(1), "two": range(1, 2)}, [("one", "two")])
            found[metric, "verdict"] += row.p < LEVEL
            found[metric, "t test over folds"] += paired_t(scores[metric]) < LEVEL
    for (metric, test), times in found.items():
        print(f"{metric}, {test}: {times / arguments.studies:.3f}", flush=True)


if __name__ == "__main__":
    main()
