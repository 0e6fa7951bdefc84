"""Run folders as training leaves them, without a training: recipes of a small comparison, and made-up predictions."""

import hashlib
import json
from dataclasses import replace

import numpy as np

from dspkd.evaluation.predictions import Predictions
from dspkd.recipes import schema

CLASSES = ("MEL", "NV", "DF")
GAINS = {"teacher": 1.6, "kd": 1.3, "plain": 1.0, "label_smoothing": 0.9}
"""How far above the others the logit of the true class is, by method."""


def recipe(method, seed=0, teacher=None, **split):
    """Return the recipe of a method: labels, smoothed or not, and KD where it has a teacher."""
    options = {"label_smoothing": 0.1} if method == "label_smoothing" else {}
    terms = [{"method": "labels", "options": options}, *([{"method": "kd"}] if teacher else [])]
    settings = {
        "name": method,
        "seed": seed,
        "data": {"path": "lesions"},
        "model": {"name": "tiny_wide" if method == "teacher" else "tiny"},
        "images": {"size": 32},
        "split": split,
        "stages": [{"name": "labels", "epochs": 2, "lr": 1e-3, "terms": terms}],
        "machine": {"threads": 1, "cache": "/somewhere/else"},
    }
    return schema.parse({**settings, "teacher": str(teacher)} if teacher else settings)


def predictions(key, gain, images=120, first=0):
    """Return predictions of `images` images, two of each lesion, of which `first` is the first."""
    number = np.arange(first, first + images)
    labels = number // 2 % len(CLASSES)
    noise = np.random.default_rng([*map(ord, key), first]).normal(size=(images, len(CLASSES)))
    logits = (noise + gain * np.eye(len(CLASSES))[labels]).astype(np.float32)
    groups = tuple(f"L{n // 2}" for n in number)
    return Predictions(CLASSES, tuple(f"I{n}" for n in number), groups, labels, logits)


def write_run(folder, of, test):
    """Write the folder of a finished run of the recipe `of`, with these predictions of its test images."""
    (folder / "predictions").mkdir(parents=True)
    (folder / "recipe.toml").write_text(schema.dump(of))
    (folder / "model.safetensors").write_bytes(b"weights")
    for part in ("val", "test"):
        test.save(folder / f"predictions/{part}.csv")
    counts = {part: dict.fromkeys(CLASSES, (40, 20)) for part in ("train", "val", "test")}
    epochs = [
        {"stage": "labels", "epoch": n, "lr": 1e-3, "train": {"total": 1.0}, "val": {"balanced_accuracy": 0.5 + n / 10}}
        for n in range(2)
    ]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(epoch) + "\n" for epoch in epochs))
    model = "9c7e4f"  # of other weights than those that are there
    evaluation = {"date": "2026-11-30T01:00:00+00:00", "purpose": "train", "model": model, "epochs": 2, "images": 9}
    (folder / "test_evaluations.jsonl").write_text(json.dumps(evaluation) + "\n")
    contents = {
        "environment": {"python": "3.11.7", "dspkd": "0.1.0", "platform": "Linux-6.1", "device": "cpu", "threads": 1},
        "data": {
            "layout": "auto",
            "path": of.data.path,
            "synthetic": False,
            "classes": CLASSES,
            "digest": "51c0ffee51c0",
            "split_digest": f"0ddba11ca5e5{of.split.seed}{of.split.fold or 0}",
            "counts": counts,
            "card": {
                "sex": {"column": "sex", "parts": {part: {"male": 30, "": 9} for part in counts}, "medians": {}},
                "source": {"column": None, "parts": {}, "medians": {}},
            },
        },
        "result": {
            "name": of.name,
            "model": of.model.name,
            "classes": CLASSES,
            "parameters": 60_000,
            "teacher": ", ".join(of.teachers) or None,
            "digest": of.digest,
            "seed": of.seed,
            "stages": [{"name": "labels", "epochs": 2, "best_epoch": 1, "best_score": 0.6, "seconds": 30.0}],
            "seconds": 30.0,
            "cpu_seconds": 29.0,
            "test_evaluations": 1,
        },
    }
    for name, content in contents.items():
        (folder / f"{name}.json").write_text(json.dumps(content))
    return folder


def write_comparison(out, seeds=(0, 1)):
    """Write all runs of a comparison: KD, the controls and the teacher."""
    teacher = out / "teachers" / "teacher"
    write_run(teacher, recipe("teacher"), predictions("teacher", GAINS["teacher"]))
    for method in ("kd", "plain", "label_smoothing"):
        for seed in seeds:
            of = recipe(method, seed, teacher if method == "kd" else None)
            write_run(out / method / f"seed-{seed}", of, predictions(f"{method}{seed}", GAINS[method]))
    return out


def write_folds(out, seeds=(0,), folds=4, images=60):
    """Write all runs of a comparison in folds of 60 images."""
    for k in range(folds):
        split, first = {"folds": folds, "fold": k}, k * images
        teacher = out / "teachers" / "teacher" / f"fold-{k}"
        write_run(teacher, recipe("teacher", **split), predictions("teacher", GAINS["teacher"], images, first))
        for method in ("kd", "plain", "label_smoothing"):
            for seed in seeds:
                of = recipe(method, seed, teacher if method == "kd" else None, **split)
                test = predictions(f"{method}{seed}", GAINS[method], images, first)
                write_run(out / method / f"seed-{seed}" / f"fold-{k}", of, test)
    return out


def changed(folder, **settings):
    """Change settings of a run's recipe, with what its other files say of it."""
    of = replace(schema.load(folder / "recipe.toml"), **settings)
    text = schema.dump(of)
    (folder / "recipe.toml").write_text(text)
    if (path := folder / "run.json").exists():
        content = json.loads(path.read_text()) | {"recipe_sha256": hashlib.sha256(text.encode()).hexdigest()}
        content["result"]["digest"] = of.digest
    else:
        path = folder / "result.json"
        content = json.loads(path.read_text()) | {"digest": of.digest}
    path.write_text(json.dumps(content))
    return of
