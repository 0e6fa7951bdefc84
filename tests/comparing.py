"""Shared by the tests of comparisons."""

import json

RECIPE = """
name = "NAME"
data = { path = "LESIONS" }
model = { name = "tiny" }
images = { size = 32, views = 1 }
train = { batch_size = 32, balance = 0.5 }
machine = { threads = 1 }
"""
LABELS = '[[stages]]\nname = "labels"\nepochs = 2\nlr = 3e-3\nterms = [{ method = "labels" }]\n'
KD = LABELS.replace("}]", '}, { method = "kd" }]')
GRID = """
seeds = [0, 1]
methods = ["FOLDER/plain.toml", "FOLDER/kd.toml"]
teachers = [{ recipe = "FOLDER/plain.toml", name = "wide", set = ["model.name='tiny_wide'", "stages.0.epochs=1"] }]
"""


def table(out):
    """Return the results without times and folders."""

    def timeless(value):
        if isinstance(value, dict):
            times_and_folders = ("seconds", "cpu_seconds", "folder", "teacher")
            return {key: timeless(item) for key, item in value.items() if key not in times_and_folders}
        return [timeless(item) for item in value] if isinstance(value, list) else value

    return timeless(json.loads((out / "results.json").read_text()))


def nothing(folders, requested=None):
    """Train nothing, but record the folders that should be trained."""
    if requested is not None:
        requested.extend(folders)
    yield from ()
