"""Untrained runs of grids in three folds, which may be repeated with other folds."""

import shutil

import numpy as np

from dspkd.evaluation.predictions import Predictions
from dspkd.recipes import schema
from untrained_runs import GAINS, predictions, write_run

METHODS = ("plain", "label_smoothing", "kd")


def untrained(folders, failing=()):
    """Write the folders of finished runs, instead of training; runs whose folder ends as one of `failing` fail.

    Folds are stretches of 30 lesions; in another division, three lesions each in turn.
    """
    for folder in folders:
        if any(str(folder).endswith(end) for end in failing):
            yield folder, "burnt"
            continue
        recipe = schema.load(folder / "recipe.toml")
        key = f"{recipe.name}{recipe.seed}{recipe.split.seed}{recipe.split.fold}"
        every = predictions(key, GAINS.get(recipe.name, GAINS["teacher"]), 180)
        lesions = np.arange(180) // 2
        fold = lesions // 30 if recipe.split.seed == 0 else lesions // 3 % 3
        shutil.rmtree(folder)
        write_run(folder, recipe, every.take(np.flatnonzero(fold == recipe.split.fold)))
        (folder / "report.html").write_text("")
        yield folder, None


def write_grids(folder, grid_file):
    """Write a grid of two repetitions in three folds, both.toml, and those of each, first.toml and second.toml."""
    text = grid_file.read_text()
    for name, keys in {"both": "repeats = 2", "first": "", "second": 'set = ["split.seed=1"]'}.items():
        (folder / f"{name}.toml").write_text(text.replace("seeds = [0, 1]", f"seeds = [0]\nfolds = 3\n{keys}"))
    return folder


def joined(out, method, end):
    """Return the predictions of all folds of a run; `end` is that of the folder of a repetition."""
    return Predictions.of_folds(
        [Predictions.load(out / method / f"seed-0{end}/fold-{k}/predictions/test.csv") for k in range(3)]
    )
