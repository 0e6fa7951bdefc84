"""Recipes of small networks (plain, teacher, DSP-KD student), and files of their runs."""

from safetensors.torch import load_file

from dspkd.recipes import schema

IMAGES = {"size": 32, "randaugment": {"num_ops": 1}}
LABELS = {"method": "labels"}


def settings(path, **changes):
    """Return a minimal recipe without a teacher."""
    plain = {
        "name": "plain",
        "data": {"path": str(path)},
        "model": {"name": "tiny_wide"},
        "images": {"size": 32},
        "train": {"batch_size": 64},
        "stages": [{"name": "s", "epochs": 1, "lr": 1e-3, "terms": [LABELS]}],
    }
    return schema.parse({**plain, **changes})


def stages(*terms):
    return [{"name": "s", "epochs": 1, "lr": 1e-3, "terms": list(terms)}]


def teacher_recipe(lesions, **changes):
    settings = {
        "name": "teacher",
        "data": {"path": str(lesions)},
        "model": {"name": "tiny_wide"},
        "images": IMAGES,
        "train": {"batch_size": 16, "balance": 0.5},
        "stages": [{"name": "labels", "epochs": 2, "lr": 3e-3, "terms": [LABELS]}],
    }
    return schema.parse({**settings, **changes})


def dsp_kd_recipe(lesions, teacher, **changes):
    features = [LABELS, {"method": "hierarchical_fusion", "weight": 1e-3, "options": {"width": 8, "hidden": 8}}]
    logits = [{"method": "labels", "weight": 0.5}, {"method": "normkd", "weight": 0.5}]
    stages = [
        {"name": "features", "epochs": 2, "lr": 3e-3, "terms": features},
        {"name": "logits", "epochs": 2, "lr": 1e-3, "terms": logits},
    ]
    student = {"name": "dsp_kd", "teacher": str(teacher), "model": {"name": "tiny"}, "stages": stages}
    return teacher_recipe(lesions, **{**student, **changes})


def weights(out):
    return load_file(out / "model.safetensors")


def written(folder, recipe):
    (folder / "r.toml").write_text(schema.dump(recipe))
    return folder / "r.toml"
