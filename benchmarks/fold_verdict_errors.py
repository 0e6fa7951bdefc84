"""False-positive rate and power of comparisons by out-of-fold predictions, with one seed or several.

    python benchmarks/fold_verdict_errors.py --methods 5 --networks 0.01 --lesions 0.005

A study is simulated: methods with equal true scores, in five folds. A score is a mean over lesions; methods differ on a
lesion by chance (`lesions`: sd of the mean over all of them), and so do their networks, one for each fold and seed
(`networks`: sd of one). Each method is compared with the first two, the controls. Printed are the family-wise error,
the same where one method's networks differ threefold, and the power at a true difference of `gain`.
"""

import argparse

import numpy as np

from dspkd.evaluation import significance
from dspkd.evaluation.intervals import Scores
from dspkd.evaluation.significance import LEVEL, of_scores

FOLDS, LESIONS = 5, 200


def study(generator, weights, *, methods, seeds, lesions, networks, gain=0.0, wide=1.0):
    """Return the scores of methods, run by run; the last one has `gain` more and networks that differ `wide` times."""
    fold = np.arange(LESIONS) % FOLDS
    own = generator.normal(size=(methods, 1, LESIONS)) * lesions * LESIONS**0.5
    spread = np.array([*[networks] * (methods - 1), wide * networks])[:, None, None]
    values = own + (generator.normal(size=(methods, seeds, FOLDS)) * spread)[:, :, fold]
    values[-1] += gain
    runs = values.reshape(-1, LESIONS)
    without = np.stack([runs[:, fold != number].mean(axis=1) for number in range(FOLDS)], axis=1)
    return Scores(runs.mean(axis=1), runs @ weights.T, without)


def significant(scores, methods, seeds):
    """Return which pairs of a method and a control are significant, the last method against the first control first."""
    rows = {str(m): range(m * seeds, (m + 1) * seeds) for m in range(methods)}
    pairs = [(str(m), "0") for m in reversed(range(1, methods))] + [(str(m), "1") for m in range(2, methods)]
    return [row.p < LEVEL for row in of_scores("auc_macro", scores, rows, pairs)]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in (("methods", 2), ("seeds", 1), ("studies", 1000)):
        parser.add_argument(f"--{name}", type=int, default=value)
    for name, value in (("lesions", 0.005), ("networks", 0.01), ("gain", 0.025)):
        parser.add_argument(f"--{name}", type=float, default=value)
    arguments = parser.parse_args()
    significance.minimum_detectable_difference = lambda *_: 0.0  # not needed, and slow
    generator = np.random.default_rng(0)
    weights = generator.multinomial(LESIONS, np.full(LESIONS, 1 / LESIONS), size=200) / LESIONS
    design = {"methods": arguments.methods, "seeds": arguments.seeds}
    spreads = {"lesions": arguments.lesions, "networks": arguments.networks}
    for name, change in (("equal", {}), ("threefold", {"wide": 3.0}), ("power", {"gain": arguments.gain})):
        found = [
            significant(study(generator, weights, **design, **spreads, **change), **design)
            for _ in range(arguments.studies)
        ]
        share = np.mean([pairs[0] if name == "power" else any(pairs) for pairs in found])
        print(f"{name}: {share:.3f}", flush=True)


if __name__ == "__main__":
    main()
