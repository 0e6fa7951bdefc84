"""Balanced accuracy of packed runs as they predict, and with the frequencies of the classes taken out of their logits.

    python benchmarks/without_class_frequencies.py results/dermoscopy150_64_few_labels_128

A network predicts the class of the largest logit, which favours frequent classes; balanced accuracy counts all classes
equally. A method may rank images better, by AUROC, and gain nothing in balanced accuracy because of that alone. So the
second figure takes the largest of logit - log(frequency of the class among the test images): what each network would
score if it were used with equal class weights. Means and standard deviations over seeds. The runs were evaluated on the
test set before; this describes them, and nothing may be chosen by it.
"""

import argparse
import statistics
from pathlib import Path

import numpy as np

from dspkd.runs.packed import PackedRun


def recalls(logits, labels, classes):
    """Return the share of each class's images whose largest logit is its own."""
    predicted = logits.argmax(axis=1)
    return [float((predicted[labels == each] == each).mean()) for each in range(classes)]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, help="a folder of packed runs")
    arguments = parser.parse_args()
    scores = {}
    for folder in sorted({path.parent for path in arguments.results.rglob("run.json")}):
        predictions = PackedRun(folder).predictions()
        classes = len(predictions.classes)
        frequency = np.bincount(predictions.labels, minlength=classes) / len(predictions)
        scores.setdefault(folder.parent.relative_to(arguments.results), []).append(
            [
                statistics.fmean(recalls(logits, predictions.labels, classes))
                for logits in (predictions.logits, predictions.logits - np.log(frequency))
            ]
        )
    print("| method | runs | as predicted | without class frequencies |\n|---|---|---|---|")
    for method, runs in scores.items():
        cells = [
            f"{statistics.fmean(each):.3f}" + (f" ± {statistics.stdev(each):.3f}" if len(each) > 1 else "")
            for each in zip(*runs, strict=True)
        ]
        print(f"| {method} | {len(runs)} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
