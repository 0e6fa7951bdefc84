"""Teacher's maps in the cache as float32, float16 or int8: bytes, rounding error, and what training with them gives.

    dspkd train dermoscopy150/teacher --out runs/teacher_64 --set images.size=64 --set train.balance=0
    python benchmarks/bench_map_precision.py runs/teacher_64 --seeds 3 --out docs/map-precision.csv

DSP-KD from random weights, 5 + 10 epochs, from one cache of float32 maps, which are rounded when they are read: as
float16, or as int8 with one scale (the largest absolute value / 127, in float16) for each channel of each map. The same
seed sees the same batches, so that only the rounding differs. Scores are those of the validation set after each epoch.
"""

import argparse
import csv
import statistics
import tempfile
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import torch

from dspkd.experiments import single_run
from dspkd.recipes import catalog, schema
from dspkd.runs.run_folder import Run
from dspkd.training.progress import NullProgress
from dspkd.training.teachers.cached import CachedTeacher


def int8(maps):
    """Return maps of the shape (images, channels, rows, columns) as int8 would hold them."""
    scale = maps.abs().amax((2, 3), keepdim=True).div(127).clamp_min(6e-8).half().float()
    return (maps / scale).round().clamp(-127, 127) * scale


ROUNDINGS = {"float32": lambda maps: maps, "float16": lambda maps: maps.half().float(), "int8": int8}


def bytes_of(name, shape):
    """Return the bytes of a map of this shape: (channels, rows, columns)."""
    channels, rows, columns = shape
    return channels * (rows * columns + 2) if name == "int8" else channels * rows * columns * (int(name[-2:]) // 8)


class Records(NullProgress):
    """The records of all epochs, in order."""

    def __init__(self):
        self.epochs = []

    def epoch(self, record):
        self.epochs.append(record)


@contextmanager
def rounded(name, errors):
    """Round each map that is read; add its shape and relative error (root mean square) to `errors`."""
    read = CachedTeacher._read

    def read_rounded(teacher, field, keys):
        values = read(teacher, field, keys)
        if values.ndim != 4:
            return values
        kept = ROUNDINGS[name](values)
        errors.append((tuple(values.shape[1:]), float((kept - values).norm() / values.norm())))
        return kept

    with mock.patch.object(CachedTeacher, "_read", read_rounded):
        yield


def train(teacher, recipe, seed, cache, out):
    """Train one student; return the records of its epochs."""
    overrides = [
        f"teacher={str(teacher.resolve())!r}", f"data.path={recipe.data.path!r}", "model.weights='none'",
        f"images.size={recipe.images.size}", "images.views=4", f"train.balance={recipe.train.balance}",
        f"split.labelled={recipe.split.labelled or 1}", "train.ema=0.99", "machine.threads=1", f"seed={seed}",
        f"machine.cache={str(cache)!r}", "teacher_cache.maps='float32'",
        "stages.0.epochs=5", "stages.1.epochs=10", "stages.1.lr=1e-3",
    ]  # fmt: skip
    records = Records()
    single_run.train(schema.load(catalog.find("dermoscopy150/dsp_kd_stride16"), overrides), out, records)
    return records.epochs


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("teacher", type=Path, help="a finished run")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, help="CSV of all epochs")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    recipe, rows = Run(arguments.teacher).recipe, []
    last = {name: [] for name in ROUNDINGS}
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(arguments.seeds):
            for name in ROUNDINGS:
                errors = []
                with rounded(name, errors):
                    epochs = train(
                        arguments.teacher, recipe, seed, Path(folder) / "cache", Path(folder) / f"{name}-{seed}"
                    )
                rows += [(name, seed, number, each["val"]["auc_macro"]) for number, each in enumerate(epochs, start=1)]
                last[name].append(epochs[-1]["val"]["auc_macro"])
                shape = errors[0][0]
                print(
                    f"{name}, seed {seed}: maps of {shape} take {bytes_of(name, shape):,} bytes, relative error "
                    f"{statistics.median(error for _, error in errors):.1e}, AUROC {last[name][-1]:.4f}",
                    flush=True,
                )
                if arguments.out:
                    write(arguments.out, rows)
    for name in ("float16", "int8"):
        differences = [100 * (a - b) for a, b in zip(last[name], last["float32"], strict=True)]
        print(f"{name} less float32, points of AUROC by seed: {', '.join(f'{each:+.2f}' for each in differences)}")


def write(path, rows):
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["maps", "seed", "epoch", "validation_auroc"])
        table.writerows((name, seed, epoch, f"{auroc:.4f}") for name, seed, epoch, auroc in rows)


if __name__ == "__main__":
    main()
