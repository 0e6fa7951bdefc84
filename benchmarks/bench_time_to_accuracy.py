"""Time until a student from random weights is as good as torchdistill's KD after all of its epochs.

    pip install --no-deps torchdistill
    dspkd train dermoscopy150/teacher --out runs/teacher_64 --set images.size=64 --set train.balance=0
    python benchmarks/bench_time_to_accuracy.py runs/teacher_64 --out docs/time-to-accuracy.csv

The same trained teacher, student, images, size, batch, augmentation and thread: KD by torchdistill, whose teacher
computes in every step, and methods of dspkd with cached teacher outputs, decoded images and averaged weights. Each is
trained alone, in a process of its own. Time is processor time from the first line of the tool to the end of an epoch:
it includes reading the images, the teacher's outputs, and the evaluation on the validation set after each epoch, which
is the same for all. The level is the validation AUROC of torchdistill's last epoch; a contestant reaches it in the
first epoch from which on it stays at or above it. The CSV has the curves.
"""

import argparse
import csv
import multiprocessing
import tempfile
import time
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import torch
from contestants import Folder, kd_by_torchdistill, usual_transform

from dspkd import data
from dspkd.data import split as splits
from dspkd.evaluation.inference import predict
from dspkd.evaluation.metrics import summarise
from dspkd.experiments import single_run
from dspkd.models import zoo
from dspkd.recipes import catalog, schema
from dspkd.runs import build
from dspkd.runs.run_folder import Run
from dspkd.training.progress import NullProgress

STUDENT = "shufflenet_v2_x1_0"
PEER = "torchdistill, KD"
"""The contestant that sets the level."""


@dataclass(frozen=True)
class Ours:
    """A contestant of dspkd: a recipe, the epochs of its stages, and further settings."""

    recipe: str
    epochs: tuple[int, ...]
    settings: tuple[str, ...] = ()


OURS = {
    "KD, 15 epochs, 4 views": Ours("dermoscopy150/kd", (15,), ("images.views=4",)),
    "KD, 8 epochs, 4 views": Ours("dermoscopy150/kd", (8,), ("images.views=4",)),
    "KD, 20 epochs, 20 views": Ours("dermoscopy150/kd", (20,)),
    "DSP-KD, 7 + 13 epochs, 20 views": Ours("dermoscopy150/dsp_kd_stride16", (7, 13), ("stages.1.lr=1e-3",)),
}
"""Each image has 64 views in these recipes, of which 20 epochs use 20, unless it says otherwise."""


@dataclass
class Curve(NullProgress):
    """Processor seconds and validation AUROC after each epoch."""

    started: float = field(default_factory=time.process_time)
    points: list = field(default_factory=list)

    def add(self, auroc):
        self.points.append((time.process_time() - self.started, auroc))

    def epoch(self, record):
        self.add(record["val"]["auc_macro"])


def by_torchdistill(teacher, epochs):
    curve, run = Curve(), Run(teacher)
    recipe = run.recipe
    torch.set_num_threads(1)
    table = data.load_table(**build.data_options(recipe))
    split = splits.load(run.files.split, table, by="image")
    torch.manual_seed(0)
    student = zoo.make(STUDENT, classes=len(table.classes))
    augment = recipe.images
    transform = usual_transform(
        augment.size, normalise=False, min_area=augment.min_area,
        num_ops=augment.randaugment.num_ops, magnitude=augment.randaugment.magnitude,
    )  # fmt: skip
    box = kd_by_torchdistill(
        student, run.model.eval(), Folder(table, split.rows("train"), transform),
        batch=recipe.train.batch_size, epochs=epochs,
        scheduler={"key": "CosineAnnealingLR", "kwargs": {"T_max": epochs}, "scheduling_step": 0},
    )  # fmt: skip
    cpu = torch.device("cpu")
    loader = build.eval_loader(recipe, table, split.rows("val"), cpu)
    for epoch in range(epochs):
        box.pre_epoch_process(epoch=epoch)
        for images, labels, supplement in box.train_data_loader:
            box.pre_forward_process()
            box.post_forward_process(loss=box.forward_process(images, labels, supplement))
        box.post_epoch_process()
        curve.add(summarise(predict(student, table, loader, device=cpu)).auc_macro)
    return curve.points


def by_dspkd(teacher, contestant):
    curve, recipe = Curve(), Run(teacher).recipe
    with tempfile.TemporaryDirectory() as folder:
        overrides = [
            f"teacher={str(teacher.resolve())!r}", f"data.path={recipe.data.path!r}", "model.weights='none'",
            f"images.size={recipe.images.size}", f"train.balance={recipe.train.balance}",
            f"split.labelled={recipe.split.labelled or 1}", "train.ema=0.99", "machine.threads=1",
            f"machine.cache={folder + '/cache'!r}",
            *(f"stages.{stage}.epochs={epochs}" for stage, epochs in enumerate(contestant.epochs)),
            *contestant.settings,
        ]  # fmt: skip
        single_run.train(schema.load(catalog.find(contestant.recipe), overrides), Path(folder) / "run", curve)
    return curve.points


def reached(points, level):
    """Return the point from which on the AUROC stays at or above the level; None where it does not end there."""
    found = None
    for point in reversed(points):
        if point[1] < level:
            break
        found = point
    return found


def alone(work):
    """Return what `work` returns in a new process."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(work)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("teacher", type=Path, help="a finished run")
    parser.add_argument("--epochs", type=int, default=30, help="of torchdistill")
    parser.add_argument("--out", type=Path, help="CSV of the curves; contestants that are in it are not run again")
    arguments = parser.parse_args()
    curves = read(arguments.out) if arguments.out and arguments.out.exists() else {}
    works = {PEER: partial(by_torchdistill, arguments.teacher, arguments.epochs)}
    works |= {name: partial(by_dspkd, arguments.teacher, contestant) for name, contestant in OURS.items()}
    for name, work in works.items():
        if name not in curves:
            curves[name] = alone(work)
            if arguments.out:
                write(arguments.out, curves)
        print(row(name, curves), flush=True)


def row(name, curves):
    """Return a line of the table of results."""
    level, last = curves[PEER][-1][1], curves[name][-1]
    point = reached(curves[name], level)
    if point is None:
        return f"| {name} | not reached | | {last[1]:.4f} after {last[0]:.0f} s |"
    factor = reached(curves[PEER], level)[0] / point[0]
    return f"| {name} | {point[0]:.0f} s | {factor:.1f} | {last[1]:.4f} after {last[0]:.0f} s |"


def write(path, curves):
    with path.open("w", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["contestant", "epoch", "processor_seconds", "validation_auroc"])
        for name, points in curves.items():
            for epoch, (seconds, auroc) in enumerate(points, start=1):
                rows.writerow([name, epoch, f"{seconds:.1f}", f"{auroc:.4f}"])


def read(path):
    curves = {}
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            points = curves.setdefault(row["contestant"], [])
            points.append((float(row["processor_seconds"]), float(row["validation_auroc"])))
    return curves


if __name__ == "__main__":
    main()
