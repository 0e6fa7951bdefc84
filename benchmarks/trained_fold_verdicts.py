"""False-positive rate of verdicts over folds, with networks that are trained: two methods equal on average.

    python benchmarks/trained_fold_verdicts.py --images 250 --features 100
    python benchmarks/trained_fold_verdicts.py --repeats 2

A study draws a data set of two classes and trains two ridge regressions in five folds, each on its own features. Both
have the same distribution, so neither method is better over data sets; on a single one their fold networks share most
training images, so they differ by more than independent networks. With --repeats the images are divided into folds as
often, and the verdicts are those of all. Printed is how often they differ significantly (5 % would be right): by the
verdicts of dspkd over folds, by the t test over all J folds, which takes them as independent, and by two corrections of
it, which have more than 1 / J of the variance from fold to fold.
"""

import argparse
from collections import defaultdict
from itertools import product

import numpy as np
from scipy import stats

from dspkd.evaluation import significance
from dspkd.evaluation.intervals import resample
from dspkd.evaluation.predictions import Predictions
from dspkd.evaluation.significance import LEVEL, of_scores

FOLDS, METRICS = 5, ("auc_macro", "log_loss")


def study(generator, images, features, repeats):
    """Return the out-of-fold predictions of both methods, of each in all repetitions."""
    labels = generator.integers(2, size=images)
    x = generator.normal(size=(2, images, features))
    x[:, :, :3] += 0.35 * (2 * labels - 1)[:, None]
    folds = [generator.permutation(images) % FOLDS for _ in range(repeats)]
    ids, runs = tuple(map(str, range(images))), []
    for own, fold in product(x, folds):
        scores = np.empty(images)
        for number in range(FOLDS):
            train, test = own[fold != number], own[fold == number]
            target = 2.0 * labels[fold != number] - 1
            scores[fold == number] = test @ np.linalg.solve(train.T @ train + np.eye(features), train.T @ target)
        logits = np.stack([-scores, scores], axis=1).astype(np.float32)
        runs.append(Predictions(("a", "b"), ids, ids, labels, logits, fold))
    return runs


def t_tests(scores):
    """Return p of the t test over the J folds of all repetitions, of pseudo-values, and of its two corrections."""
    pseudo = FOLDS * scores.observed[:, None, None] - (FOLDS - 1) * scores.without
    one, two = (each[~np.isnan(each)] for each in np.split(pseudo, 2))
    number = len(one)
    t, p = stats.ttest_rel(one, two)
    shares = {"1 / J + 1 / (F - 1)": 1 / number + 1 / (FOLDS - 1), "1 / F + 1 / (F - 1)": 1 / FOLDS + 1 / (FOLDS - 1)}
    corrected = {name: 2 * stats.t.sf(abs(t) / (number * share) ** 0.5, number - 1) for name, share in shares.items()}
    return {"t test over folds": p, **corrected}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in (("images", 250), ("features", 100), ("studies", 400), ("repeats", 1)):
        parser.add_argument(f"--{name}", type=int, default=value)
    arguments = parser.parse_args()
    significance.minimum_detectable_difference = lambda *_: 0.0  # not needed, and slow
    generator = np.random.default_rng(0)
    found = defaultdict(int)
    for _ in range(arguments.studies):
        runs = study(generator, arguments.images, arguments.features, arguments.repeats)
        scores = resample(runs, METRICS, resamples=400)
        rows = {"one": range(arguments.repeats), "two": range(arguments.repeats, 2 * arguments.repeats)}
        for metric in METRICS:
            (row,) = of_scores(metric, scores[metric], rows, [("one", "two")])
            for test, p in {"verdict": row.p, **t_tests(scores[metric])}.items():
                found[metric, test] += p < LEVEL
    for (metric, test), times in found.items():
        print(f"{metric}, {test}: {times / arguments.studies:.3f}", flush=True)


if __name__ == "__main__":
    main()
