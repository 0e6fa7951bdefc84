"""Recall and precision of the audit on planted copies.

    python benchmarks/audit_recall.py ../shared/data/dermoscopy-150 --each 300

Each planted copy is of a different photograph, under its own lesion id. The planted pairs are the positives; a pair of
different lesions that was not planted is a false positive; pairs within a lesion, often near copies, are not counted.
"""

import argparse
import tempfile
from collections import defaultdict
from pathlib import Path

import numpy as np
from alterations import ALTERATIONS, two_of_them
from PIL import Image

from dspkd import data
from dspkd.data.audit import duplicates, fingerprint


def plant(table, folder, each, draw):
    """Write `each` copies of every kind, and of two kinds at once; return their files, originals and kinds."""
    kinds = {**ALTERATIONS, "two of these at once": two_of_them}
    rows = draw.permutation(len(table))[: each * len(kinds)]
    files, originals, names = [], [], []
    for name, change in kinds.items():
        for row in rows[len(files) : len(files) + each].tolist():
            with Image.open(table.paths[row]) as image:
                copy = change(image.convert("RGB"), draw)
            files.append(folder / f"{len(files)}.jpg")
            copy.save(files[-1], quality=90)
            originals.append(row)
            names.append(name)
    return files, originals, names


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--each", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    table = data.read("auto", options.data)
    with tempfile.TemporaryDirectory() as folder:
        files, originals, names = plant(table, Path(folder), options.each, np.random.default_rng(options.seed))
        pairs = duplicates.find(fingerprint.take((*table.paths, *files)), least=0)
    lesions = np.array([*table.groups, *(table.groups[row] for row in originals)])
    planted = {
        (row, len(table) + number): name for number, (row, name) in enumerate(zip(originals, names, strict=True))
    }
    similarities, false = {}, []
    for a, b, similarity in zip(pairs.first.tolist(), pairs.second.tolist(), pairs.similarity, strict=True):
        if (a, b) in planted:
            similarities[a, b] = similarity
        elif lesions[a] != lesions[b]:
            false.append((similarity, a, b))
    false.sort(reverse=True)
    print(f"{len(table)} photographs, {len(planted)} planted copies")
    print("| threshold | recall, ten kinds | precision | recall, two at once |\n|---|---|---|---|")
    single = [pair for pair, name in planted.items() if name in ALTERATIONS]
    double = [pair for pair, name in planted.items() if name not in ALTERATIONS]
    for least in (0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.7, 0.8):
        hits = sum(value >= least for value in similarities.values())
        wrong = sum(value >= least for value, *_ in false)
        recalls = [np.mean([similarities.get(pair, -1) >= least for pair in part]) for part in (single, double)]
        print(f"| {least} | {recalls[0]:.4f} | {hits / max(1, hits + wrong):.4f} ({wrong} false) | {recalls[1]:.4f} |")
    print(f"| kind | recall at {duplicates.SIMILARITY} | lowest similarity found |\n|---|---|---|")
    of_kind = defaultdict(list)
    for pair, name in planted.items():
        of_kind[name].append(similarities.get(pair, -1))
    for name, values in of_kind.items():
        detected = [value for value in values if value > -1]
        print(f"| {name} | {np.mean(np.array(values) >= duplicates.SIMILARITY):.4f} | {min(detected):.3f} |")
    print("most similar false pairs:")
    every = (*table.ids, *(f"copy of {table.ids[row]}" for row in originals))
    for similarity, a, b in false[:40]:
        print(f"  {similarity:.3f} {every[a]} {every[b]}")


if __name__ == "__main__":
    main()
