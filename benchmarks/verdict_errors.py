"""False-positive rate and power of comparisons: four kinds of interval, and rules for the variance over seeds.

    python benchmarks/verdict_errors.py --studies 1000
    python benchmarks/verdict_errors.py --studies 1000 --methods 14 --wide 3 --normal --resamples 200

A study is simulated: recipes with the same chance to be right, some seeds each, tested on the same lesions. With two,
95 % intervals should exclude zero in 5 % of studies. With more, each is compared with the last two, the controls, and
the family-wise error is the share of studies in which any difference of equal recipes is significant; the first recipe
may have `gain`, and seeds that differ `wide` times as much. Images and lesions of each class are those of
dermoscopy-150's test set. Three runs of a recipe differ there by 0.4 to 1.2 percentage points of balanced accuracy, and
two runs agree on 87 % of images; here by 1.5 to 3.5, and on about 90 %.
"""

import argparse

import numpy as np
from scipy.stats import norm

from dspkd.evaluation.intervals import Scores, estimate, resample
from dspkd.evaluation.predictions import Predictions
from dspkd.evaluation.significance import LEVEL, holm, of_scores

IMAGES = (182, 1099, 84, 21, 179, 19, 22, 32)
LESIONS = (99, 869, 54, 12, 118, 13, 18, 21)
RECALL = (0.5, 0.88, 0.65, 0.5, 0.55, 0.45, 0.75, 0.4)
CLASSES = tuple("ABCDEFGH")
METRIC = ("balanced_accuracy",)


def study(generator, *, seeds, gain, luck, methods=2, wide=1.0):
    """Return the predictions of recipes, run by run; the first has `gain` more, and `wide` times the luck of a seed."""
    labels = np.repeat(np.arange(len(IMAGES)), IMAGES)
    lesion = np.concatenate([_lesions(generator, k) for k in range(len(IMAGES))])

    def of_lesion(spread):
        return spread * generator.normal(size=sum(LESIONS))[lesion]

    same = of_lesion(1.0) + 1.2 * np.array([norm.ppf(share) for share in RECALL])[labels]
    mistaken = (labels + 1 + generator.integers(len(IMAGES) - 1, size=sum(LESIONS))[lesion]) % len(IMAGES)
    runs = []
    for arm in range(methods):
        taste = of_lesion(0.15)
        for _ in range(seeds):
            lucky = luck * generator.normal(size=len(IMAGES))[labels]
            seed = lucky * (1 if arm else wide) + of_lesion(0.3)
            margin = gain * (arm == 0) + same + taste + seed + 0.15 * generator.normal(size=len(labels))
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
    one, other = np.arange(seeds), np.arange(seeds, 2 * seeds)
    drawn = [
        resample(each, resamples=resamples, seed=int(generator.integers(2**31)), metrics=METRIC)[METRIC[0]]
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


def normal_scores(generator, *, seeds, gain, methods, wide, resamples):
    """Return normal scores of recipes that lesions hardly vary: sd .01 over seeds, .005 by lesions, .003 of each run.

    The hardest case for a rule: the variance over seeds, which few runs estimate, decides.
    """
    spread = np.where(np.arange(methods) == 0, 0.01 * wide, 0.01).repeat(seeds)
    arms, runs = methods, methods * seeds
    by_lesion = 0.005 * generator.normal(size=(arms, 1 + resamples)).repeat(seeds, axis=0)
    by_lesion += 0.003 * generator.normal(size=(runs, 1 + resamples))
    observed = by_lesion[:, 0] + spread * generator.normal(size=runs) + gain * (np.arange(runs) < seeds)
    return Scores(observed, observed[:, None] + by_lesion[:, 1:])


def rules(scores, seeds, methods):
    """Return ``{rule: significant [pairs]}``, the minimum detectable differences of the rule used, and whose pairs.

    A moderated variance would be another rule; its family-wise error was .09 to .13 with one spread three times the
    others' (normal scores, 4,000 studies), and its power less than that of the rule used.
    """
    rows = {arm: range(arm * seeds, (arm + 1) * seeds) for arm in range(methods)}
    controls = [methods - 1, methods - 2][: max(1, methods - 1)] if methods > 2 else [1]
    pairs = [(arm, control) for i, control in enumerate(controls) for arm in rows if arm not in controls[: i + 1]]
    found = of_scores(METRIC[0], scores, rows, pairs)
    pooled, pairwise = (np.array([getattr(row, p) for row in found]) for p in ("p_pooled", "p_pairwise"))
    chances = {
        "pairwise, Holm (before)": holm(pairwise),
        "pooled, Holm": pooled,
        "both, each by Holm": np.maximum(pooled, holm(pairwise)),
        "pooled by Holm, pairwise p alone (used)": np.maximum(pooled, pairwise),
    }
    detectable = [row.minimum_detectable_difference for row in found if row.one == 0]
    return {rule: np.array(p) < LEVEL for rule, p in chances.items()}, detectable, np.array([0 in p for p in pairs])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=1000)
    parser.add_argument("--methods", type=int, default=2, help="recipes, the last two of them controls")
    parser.add_argument("--seeds", type=int, default=3, help="runs of each recipe")
    parser.add_argument("--luck", type=float, default=0.1, help="spread of a seed's luck with a class; 0 for none")
    parser.add_argument("--gain", type=float, default=0.0, help="what the first recipe is better by; 0 for nothing")
    parser.add_argument("--wide", type=float, default=1.0, help="times the luck that the first recipe's seeds have")
    parser.add_argument("--resamples", type=int, default=1000)
    parser.add_argument("--normal", action="store_true", help="draw normal scores, which seeds decide, and no images")
    arguments = parser.parse_args()
    generator = np.random.default_rng(0)
    facts, excluded, widths, significant, detectable = [], {}, {}, {}, []
    for _ in range(arguments.studies):
        chosen = {name: getattr(arguments, name) for name in ("seeds", "gain", "luck", "methods", "wide")}
        if arguments.normal:
            del chosen["luck"]
            scores, agree = normal_scores(generator, **chosen, resamples=arguments.resamples), np.nan
        else:
            runs = study(generator, **chosen)
            scores = resample(runs, METRIC, resamples=arguments.resamples)[METRIC[0]]
            agree = np.mean(runs[0].predicted == runs[1].predicted)
        observed = scores.observed.reshape(arguments.methods, -1)
        facts.append((observed[0].mean() - observed[1:].mean(), observed.std(axis=1, ddof=1).mean(), agree))
        by_rule, smallest, first = rules(scores, arguments.seeds, arguments.methods)
        detectable.append(np.mean(smallest))
        for rule, which in by_rule.items():
            equal = which[~first] if arguments.gain else which
            significant.setdefault(rule, []).append((equal.any(), which[first].mean()))
        if arguments.methods == 2 and not arguments.normal:
            for way, (low, high) in intervals(runs, arguments.seeds, generator, arguments.resamples).items():
                excluded.setdefault(way, []).append(not low <= 0 <= high)
                widths.setdefault(way, []).append((high - low) / 2)
    difference, spread, agree = np.mean(facts, axis=0)
    print(f"{arguments}\ndifference {difference:.4f}, sd over seeds {spread:.4f}, two runs agree on {agree:.3f}")
    print(f"minimum detectable difference of the first recipe, mean: {np.mean(detectable):.4f}")
    for way, outside in excluded.items():
        print(f"{way:42s} zero excluded {np.mean(outside):.3f}   half-width {np.mean(widths[way]):.4f}")
    for rule, each in significant.items():
        error, power = np.mean(each, axis=0)
        print(f"{rule:42s} family-wise error {error:.3f}   the first recipe significant {power:.3f}")


if __name__ == "__main__":
    main()
