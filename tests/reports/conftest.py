import json
import math
from html.parser import HTMLParser

import numpy as np
import pytest

from dspkd import reports
from dspkd.evaluation.predictions import Predictions
from figures import drawn

CLASSES = ("MEL", "NV", "BCC", "AK", "BKL", "DF", "VASC", "SCC")
TEST_IMAGES = (290, 830, 215, 56, 170, 16, 17, 46)
RECIPE = """\
name = "dspkd-shufflenet"
seed = 0
teacher = "runs/teacher"

[data]
path = "data/isic2019"

[model]
name = "shufflenet_v2_x1_0"
weights = "imagenet"

[[stages]]
name = "features"
epochs = 30
lr = 0.001
terms = [{ method = "labels", weight = 1.0 }, { method = "hierarchical_fusion", weight = 7e-5 }]

[[stages]]
name = "logits"
epochs = 15
lr = 0.0001
terms = [{ method = "labels", weight = 0.5 }, { method = "normkd", weight = 0.5 }]
"""


LABELS_ALONE = """\
name = "plain"
seed = 0

[data]
path = "data/isic2019"

[model]
name = "shufflenet_v2_x1_0"
weights = "imagenet"

[[stages]]
name = "features"
epochs = 30
lr = 0.001
terms = [{ method = "labels" }]

[[stages]]
name = "logits"
epochs = 15
lr = 0.0001
terms = [{ method = "labels" }]
"""


def predictions(seed, classes, images, prefix):
    """Predictions that are right more often for common classes, two images to most lesions."""
    generator = np.random.default_rng(seed)
    labels = np.repeat(np.arange(len(classes)), images)
    logits = generator.normal(size=(len(labels), len(classes)))
    logits[np.arange(len(labels)), labels] += 1.2 + 0.25 * np.log(np.array(images)[labels])
    number = range(len(labels))
    return Predictions(
        classes=classes,
        ids=tuple(f"{prefix}_{n:05d}" for n in number),
        groups=tuple(f"{prefix}_lesion_{n * 3 // 4}" for n in number),
        labels=labels,
        logits=logits.astype(np.float32),
    )


def epochs(seed, stage, count, terms, level):
    generator = np.random.default_rng(seed)
    for epoch in range(1, count + 1):
        parts = {
            name: size * (0.3 + math.exp(-4 * epoch / count)) * generator.uniform(0.95, 1.05)
            for name, size in terms.items()
        }
        score = level - 0.25 * math.exp(-5 * epoch / count) + generator.normal(scale=0.008)
        yield {
            "stage": stage,
            "epoch": epoch,
            "seconds": 41.5,
            "lr": 1e-3 * (1 - epoch / count),
            "train": {"total": sum(parts.values()), **parts},
            "val": {"balanced_accuracy": score, "accuracy": score + 0.1, "macro_f1": score - 0.02},
            "best": False,
        }


def fabricate(folder, *, name="dspkd-shufflenet", seed=0, classes=CLASSES, images=TEST_IMAGES, short=False, **changes):
    """Write a run folder as training would; `changes` go into result.json or data.json, whichever has the key."""
    teacher = changes.get("teacher", "runs/teacher")
    recipe = RECIPE.replace("runs/teacher", teacher) if teacher else LABELS_ALONE
    folder.mkdir(parents=True)
    plan = [
        ("features", 3 if short else 30, {"labels": 1.4, "hierarchical_fusion": 0.8}, 0.62),
        ("logits", 1 if short else 15, {"labels": 0.5, "normkd": 0.6}, 0.68),
    ]
    lines, stages = [], []
    for stage, count, terms, level in plan:
        history = list(epochs(seed, stage, count, terms, level))
        best = max(history, key=lambda line: line["val"]["balanced_accuracy"])
        best["best"] = True
        lines += history
        stages.append(
            {
                "name": stage,
                "epochs": count,
                "best_epoch": best["epoch"],
                "best_score": best["val"]["balanced_accuracy"],
                "seconds": 41.5 * count,
            }
        )
    counts = {
        part: {
            c: [max(1, round(n * times)), max(1, round(n * times * 0.75))] for c, n in zip(classes, images, strict=True)
        }
        for part, times in (("train", 3.3), ("val", 0.8), ("test", 1))
    }
    result = {
        "name": name,
        "model": "shufflenet_v2_x1_0",
        "classes": list(classes),
        "parameters": 1_261_804,
        "teacher": "runs/teacher",
        "digest": f"9f2c1ab0d4e{seed}",
        "seed": seed,
        "stages": stages,
        "seconds": sum(stage["seconds"] for stage in stages),
        "test_evaluations": 1,
    }
    data = {
        "layout": "isic2019",
        "path": "data/isic2019",
        "synthetic": False,
        "classes": list(classes),
        "digest": "51c0ffee51c0",
        "split_digest": "0ddba11ca5e5",
        "warnings": [],
        "counts": counts,
    }
    environment = {
        "python": "3.11.7",
        "dspkd": "0.1.0",
        "torch": "2.11.0",
        "torchvision": "0.26.0",
        "timm": "1.0.20",
        "numpy": "2.1.0",
        "platform": "Linux-6.1-x86_64",
        "device": "cpu",
        "threads": 2,
    }
    for content in (result, data):
        content.update({key: value for key, value in changes.items() if key in content})
    (folder / "recipe.toml").write_text(recipe, encoding="utf-8")
    for file, content in (("result", result), ("data", data), ("environment", environment)):
        (folder / f"{file}.json").write_text(json.dumps(content), encoding="utf-8")
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    predictions(seed + 100, classes, [max(1, round(n * 0.8)) for n in images], "val").save(
        folder / "predictions/val.csv"
    )
    predictions(seed, classes, images, "test").save(folder / "predictions/test.csv")
    return folder


@pytest.fixture(scope="session")
def fabricated(tmp_path_factory):
    """Makes run folders, each in a folder of its own or in `inside`: ``fabricated(**changes)``."""

    def make(place="run", inside=None, **changes):
        return fabricate((inside or tmp_path_factory.mktemp("made")) / place, **changes)

    return make


@pytest.fixture(scope="session")
def whole(fabricated):
    """A run folder of three classes with its report; for tests that only read."""
    folder = fabricated(short=True, classes=("MEL", "NV", "DF"), images=(90, 240, 30))
    with drawn():
        reports.write(folder)
    return folder


class Page(HTMLParser):
    """A parsed page: well nested, or an AssertionError."""

    def __init__(self, path):
        super().__init__()
        self.text = path.read_text(encoding="utf-8")
        self.open, self.tags, self.texts = [], [], []
        self.feed(self.text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.texts.append(data)

    @property
    def words(self):
        """The visible text, with single spaces."""
        return " ".join(" ".join(self.texts).split())

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="session")
def page():
    """Reads a page: ``page(path)``."""
    return Page


@pytest.fixture(scope="module")
def runs(fabricated):
    """Two seeds of a distilled student that kept its teacher's predictions, a plain one, and the teacher."""
    small = {"classes": ("MEL", "NV", "BCC"), "images": (30, 60, 20), "short": True}
    distilled = [fabricated(f"distilled{seed}", name="distilled", seed=seed, **small) for seed in (0, 1)]
    plain = fabricated("plain", name="plain", teacher=None, seed=5, **small)
    teacher = fabricated("teacher", name="teacher", teacher=None, seed=9, **small)
    for run in distilled:
        for part in ("val", "test"):
            teacher_predictions = (teacher / f"predictions/{part}.csv").read_text()
            (run / f"predictions/teacher-{part}.csv").write_text(teacher_predictions)
    return [*distilled, plain, teacher]
