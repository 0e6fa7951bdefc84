"""False-positive rate of comparisons of two equal recipes, for four kinds of interval.

    python benchmarks/verdict_errors.py --studies 1000

A study is simulated: two recipes with the same chance to be right, some seeds each, tested on the same lesions. 95 %
intervals should exclude zero in 5 % of studies. Images and lesions of each class are those of dermoscopy-150's test
set. Three runs of a recipe differ there by 0.4 to 1.2 percentage points of balanced accuracy, and two runs agree on
87 % of images; here by 1.5 to 3.5, and on about 90 %.
"""

import argparse

import numpy as np
from scipy.stats import norm

from dspkd.evaluation.intervals import estimate, resample
from dspkd.evaluation.predictions import Predictions

IMAGES = (182, 1099, 84, 21, 179, 19, 22, 32)
LESIONS = (99, 869, 54, 12, 118, 13, 18, 21)
RECALL = (0.5, 0.88, 0.65, 0.5, 0.55, 0.45, 0.75, 0.4)
CLASSES = tuple("ABCDEFGH")


def study(generator, *, seeds, gain, luck):
    """Return the predictions of two recipes, run by run; the second has `gain` more on the scale of its margins."""
    labels = np.repeat(np.arange(len(IMAGES)), IMAGES)
    lesion = np.concatenate([_lesions(generator, k) for k in range(len(IMAGES))])

    def of_lesion(spread):
        return spread * generator.normal(size=sum(LESIONS))[lesion]

    same = of_lesion(1.0) + 1.2 * np.array([norm.ppf(share) for share in RECALL])[labels]
    mistaken = (labels + 1 + generator.integers(len(IMAGES) - 1, size=sum(LESIONS))[lesion]) % len(IMAGES)
    runs = []
    for arm in range(2):
        taste = of_lesion(0.15)
        for _ in range(seeds):
            seed = luck * generator.normal(size=len(IMAGES))[labels] + of_lesion(0.3)
            margin = gain * arm + same + taste + seed + 0.15 * generator.normal(size=len(labels))
            predicted = np.where(margin > 0, labels, mistaken)
            logits = np.eye(len(IMAGES), dtype=np.float32)[predicted]
            ids = tuple(map(str, range(len(labels))))
            runs.append(Predictions(CLASSES, ids, tuple(lesion.astype(str)), labels, logits))
    return runs


def _lesions(generator, number):
    """Return the lesion of each image of a class: each lesion has one, and the others are assigned at random."""
    first = sum(LESIONS[:number])
    more = generator.integers(LESIONS[number], size=IMAGES[number] - LESIONS[number])
    return first + np.concatenate([np.arange(LESIONS[number]), more])


def intervals(runs, seeds, generator, resamples):
    """Return ``{kind: interval}`` of the difference in balanced accuracy."""
    other, one = np.arange(seeds), np.arange(seeds, 2 * seeds)
    drawn = [
        resample(each, resamples=resamples, seed=int(generator.integers(2**31)))["balanced_accuracy"]
        for each in (runs, [Predictions(r.classes, r.ids, r.ids, r.labels, r.logits) for r in runs])
    ]
    lesions, images = (scores.drawn[one].mean(axis=0) - scores.drawn[other].mean(axis=0) for scores in drawn)
    column = np.arange(resamples)
    picked = [(generator.choice(one, resamples), generator.choice(other, resamples)) for _ in range(seeds)]
    both = np.mean([drawn[0].drawn[a, column] - drawn[0].drawn[b, column] for a, b in picked], axis=0)
    student = estimate(drawn[0], one, other)
    tails = [0.025, 0.975]
    return {
        "images resampled": np.quantile(images, tails),
        "lesions resampled": np.quantile(lesions, tails),
        "lesions and seeds resampled": np.quantile(both, tails),
        "lesions resampled, seeds by Student's t": (student.low, student.high),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=1000)
    parser.add_argument("--seeds", type=int, default=3, help="runs of each recipe")
    parser.add_argument("--luck", type=float, default=0.1, help="spread of a seed's luck with a class; 0 for none")
    parser.add_argument("--gain", type=float, default=0.0, help="what the second recipe is better by; 0 for nothing")
    parser.add_argument("--resamples", type=int, default=1000)
    arguments = parser.parse_args()
    generator = np.random.default_rng(0)
    facts, excluded, widths = [], {}, {}
    for _ in range(arguments.studies):
        runs = study(generator, seeds=arguments.seeds, gain=arguments.gain, luck=arguments.luck)
        observed = resample(runs, resamples=2)["balanced_accuracy"].observed.reshape(2, -1)
        agree = np.mean(runs[0].predicted == runs[1].predicted)
        facts.append((observed[1].mean() - observed[0].mean(), observed.std(axis=1, ddof=1).mean(), agree))
        for way, (low, high) in intervals(runs, arguments.seeds, generator, arguments.resamples).items():
            excluded.setdefault(way, []).append(not low <= 0 <= high)
            widths.setdefault(way, []).append((high - low) / 2)
    difference, spread, agree = np.mean(facts, axis=0)
    print(f"{arguments}\ndifference {difference:.4f}, sd over seeds {spread:.4f}, two runs agree on {agree:.3f}")
    for way, outside in excluded.items():
        print(f"{way:42s} zero excluded {np.mean(outside):.3f}   half-width {np.mean(widths[way]):.4f}")


if __name__ == "__main__":
    main()
