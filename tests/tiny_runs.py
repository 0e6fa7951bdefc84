"""Recipes of tiny networks (plain, teacher, DSP-KD student), their training and interruption, files of their runs."""

from safetensors.torch import load_file

from dspkd.recipes import schema
from dspkd.runs import train as run
from dspkd.training.progress import NullProgress

IMAGES = {"size": 32, "randaugment": {"num_ops": 1}}
LABELS = {"method": "labels"}
FUSION = {"method": "hierarchical_fusion", "weight": 1e-3, "options": {"width": 8, "hidden": 8}}


def stage(name, *terms, **settings):
    """Return a stage of one epoch; without terms it learns from labels alone."""
    return {"name": name, "epochs": 1, "lr": 1e-3, "terms": list(terms or (LABELS,)), **settings}


def recipe(path, **settings):
    """Return a minimal recipe without a teacher; a setting replaces its whole section."""
    minimal = {
        "name": "plain",
        "data": {"path": str(path)},
        "model": {"name": "tiny"},
        "images": {"size": 32},
        "train": {"batch_size": 16},
        "stages": [stage("labels")],
    }
    return schema.parse({**minimal, **settings})


def teacher_recipe(path, **settings):
    """Return a recipe of a wider network that learns from labels for two epochs."""
    teacher = {
        "name": "teacher",
        "model": {"name": "tiny_wide"},
        "images": IMAGES,
        "train": {"batch_size": 16, "balance": 0.5},
        "stages": [stage("labels", epochs=2, lr=3e-3)],
    }
    return recipe(path, **{**teacher, **settings})


def dsp_kd_recipe(path, teacher, **settings):
    """Return a recipe of DSP-KD with two epochs in each of its two stages."""
    logits = [{"method": "labels", "weight": 0.5}, {"method": "normkd", "weight": 0.5}]
    stages = [
        stage("features", LABELS, FUSION, epochs=2, lr=3e-3),
        stage("logits", *logits, epochs=2),
    ]
    student = {"name": "dsp_kd", "teacher": str(teacher), "model": {"name": "tiny"}, "stages": stages}
    return teacher_recipe(path, **{**student, **settings})


def trained(recipe, out):
    """Train a recipe; return its run folder."""
    run.train(recipe, out)
    return out


def weights(out):
    """Return the student's weights in a run folder."""
    return load_file(out / "model.safetensors")


def write_recipe(folder, recipe):
    """Write a recipe as a file; return its path."""
    (folder / "r.toml").write_text(schema.dump(recipe))
    return folder / "r.toml"


class Notes(NullProgress):
    """Records notes and progress."""

    def __init__(self):
        self.notes, self.prepared = [], []

    def note(self, text):
        self.notes.append(text)

    def prepare(self, what, done, of):
        self.prepared.append((what, done, of))


class Killed(BaseException):
    """Ends a training in a test, as a kill would."""


class Killer(NullProgress):
    """Ends the training in the middle of an epoch, or once it is saved (`when` is ``after``)."""

    def __init__(self, stage, epoch, when="within"):
        self.at, self.when = (stage, epoch), when

    def step(self, stage, epoch, done, steps):
        if self.when == "within" and (stage, epoch) == self.at and done == steps // 2:
            raise Killed

    def epoch(self, record):
        if self.when == "after" and (record["stage"], record["epoch"]) == self.at:
            raise Killed
