"""Distilling with a bank of answers beside the live teacher, beside plain training, and beside torchdistill.

    pip install --no-deps torchdistill
    python benchmarks/bench_bank.py --data ../shared/data/dermoscopy-288-mini --threads 2
    python benchmarks/bench_bank.py --data ../shared/data/dermoscopy-150 --size 96 --images 256 --threads 2

Res2Net101 -> ShuffleNetV2, initial weights, vanilla KD and the first stage of DSP-KD, all in one run on the same
images. Rates are images a second over the steps of an epoch after its first step; the validation that a run does after
an epoch is left out for all. Each contender makes its own pictures: torchdistill those of torchvision's usual training
transform out of a DataLoader in this process, dspkd its own. Only ratios mean anything.
"""

from __future__ import annotations

import argparse
import json
import logging
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torchvision.transforms import v2

from dspkd import data
from dspkd.data.decoded import Decoded, fingerprints
from dspkd.data.loader import TrainBatches
from dspkd.data.transforms import Augmentation
from dspkd.distiller import Distiller
from dspkd.methods import find
from dspkd.models import zoo
from dspkd.stage import Stage
from dspkd.stage import Term as TermSettings
from dspkd.teacher.bank import BankedTeacher, image_keys
from dspkd.teacher.live import LiveTeacher
from dspkd.train import loop
from dspkd.train.allocator import keep_freed_memory

CLASSES = 8


class Clock:
    """Watches a stage and notes when each step ended."""

    def __init__(self):
        self.ended = {}

    def step(self, stage, epoch, done, steps):
        self.ended.setdefault(epoch, []).append(time.perf_counter())

    def epoch(self, record):
        pass

    def seconds_a_step(self):
        """Return the median over the steps of all epochs, the first of each left out."""
        return float(np.median(np.concatenate([np.diff(ended) for ended in self.ended.values()])))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--teacher", default="res2net101")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--images", type=int, default=96)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--views", type=int, default=4)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, help="also write the figures to this JSON file")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    keep_freed_memory()
    with tempfile.TemporaryDirectory() as folder:
        figures = Bench(args, Path(folder)).run()
    print(json.dumps(figures, indent=2))
    if args.out:
        args.out.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


class Bench:
    def __init__(self, args, folder):
        self.args, self.folder = args, folder
        self.table = data.read("auto", args.data)
        self.rows = np.random.default_rng(0).permutation(len(self.table))[: args.images]
        torch.manual_seed(0)
        self.teacher = zoo.make(args.teacher, classes=CLASSES).to(memory_format=torch.channels_last)
        self.live = LiveTeacher(self.teacher, self.teacher.spec, name=args.teacher)
        augment = Augmentation(size=args.size)
        decoded = Decoded(
            self.table, self.rows, augment.decode_side, folder / "pixels", progress=lambda *_: None, log=print
        )
        self.batches = {
            views: TrainBatches(self.table, self.rows, augment, batch_size=args.batch, views=views, decoded=decoded)
            for views in (args.views, None)
        }

    def run(self):
        args = self.args
        figures = {"settings": {name: str(value) for name, value in vars(args).items() if name != "out"}}
        bank, filling = self.filled_bank()
        kd = ("kd", {"temperature": 4.0}, 0.9)
        rates = figures["images a second"] = {}
        rates["filling the bank"] = args.views * len(self.rows) / filling
        rates["plain student"] = self.rate(None, fresh=True)
        rates["kd, warm bank"] = self.rate(bank, kd)
        rates["kd, live teacher"] = self.rate(self.live, kd, fresh=True)
        rates["kd, torchdistill"] = self.torchdistill()
        for hidden in (0, 256):
            fusion = ("hierarchical_fusion", {"hidden": hidden}, 1e-4)
            rates[f"stage 1, warm bank, hidden {hidden}"] = self.rate(bank, fusion)
        peer = rates["kd, torchdistill"]
        thirty = 30 / rates["kd, warm bank"] + args.views / rates["filling the bank"]
        figures["ratios"] = {
            "warm bank / torchdistill": rates["kd, warm bank"] / peer,
            "live / torchdistill": rates["kd, live teacher"] / peer,
            "30 epochs, cold bank / torchdistill (from these rates)": 30 / peer / thirty,
            "time of a step: warm bank / plain": rates["plain student"] / rates["kd, warm bank"],
        }
        figures["megabytes of the bank"] = bank.nbytes / 1e6
        return figures

    def filled_bank(self):
        """Return a bank with all views of all images, and the seconds that it took to fill it."""
        keys = image_keys(fingerprints(self.table.paths), self.table.ids)
        bank = BankedTeacher(self.live, {"logits", "last"}, keys, {}, self.folder / "bank")
        pictures = [(int(row), view) for row in self.rows for view in range(self.args.views)]
        started = time.perf_counter()
        bank.fill(
            pictures, self.batches[self.args.views].show, made=(), batch_size=self.args.batch, ask=self.live.answer,
            progress=lambda *_: None, log=print,
        )  # fmt: skip
        return bank, time.perf_counter() - started

    def rate(self, teacher, term=None, *, fresh=False):
        """Return images a second of the real loop: labels, and `term` of `teacher` if there is one."""
        args = self.args
        torch.manual_seed(0)
        student = zoo.make("shufflenet_v2_x1_0", classes=CLASSES).to(memory_format=torch.channels_last)
        parts = [("labels", 1.0, find("labels")(student.spec, None))]
        if term:
            name, options, weight = term
            parts.append((name, weight, find(name)(student.spec, teacher.spec, **options)))
        stage = Stage(name="bench", epochs=args.epochs, lr=1e-3, terms=(TermSettings(method="labels"),))
        clock = Clock()
        loop.fit(
            stage, Distiller(student, teacher, parts), self.batches[None if fresh else args.views],
            lambda student: {"balanced_accuracy": 0.0}, folder=Path(tempfile.mkdtemp(dir=self.folder)), digest="",
            seed=0, first_epoch=0, arithmetic=loop.Arithmetic(device=torch.device("cpu")), watcher=clock,
        )  # fmt: skip
        return args.batch / clock.seconds_a_step()

    def torchdistill(self):
        """Return images a second of torchdistill's own box and steps, on the same images."""
        logging.disable()
        from torchdistill.core.distillation import DistillationBox

        args = self.args
        torch.manual_seed(0)
        student = zoo.make("shufflenet_v2_x1_0", classes=CLASSES).network
        criterion = {"key": "KDLoss", "kwargs": {
            "student_module_path": "fc", "student_module_io": "output", "teacher_module_path": "fc",
            "teacher_module_io": "output", "temperature": 4.0, "alpha": 0.5, "reduction": "batchmean",
        }}  # fmt: skip
        hook = {"forward_hook": {"input": [], "output": ["fc"]}, "sequential": [], "forward_proc": "forward_batch_only"}
        box = DistillationBox(
            self.teacher.network, student, {"train": Folder(self.table, self.rows, args.size)},
            {
                "num_epochs": args.epochs,
                "train_data_loader": {
                    "dataset_id": "train",
                    "sampler": {"class_or_func": torch.utils.data.RandomSampler, "kwargs": {}},
                    "kwargs": {"batch_size": args.batch, "num_workers": 0, "drop_last": True},
                },
                "teacher": {**hook, "requires_grad": False},
                "student": {**hook, "requires_grad": True},
                "optimizer": {"key": "AdamW", "kwargs": {"lr": 1e-3}},
                "criterion": {
                    "key": "WeightedSumLoss",
                    "kwargs": {"sub_terms": {"kd": {"criterion": criterion, "weight": 1.0}}},
                },
            },
            torch.device("cpu"), None, False, 1,
        )  # fmt: skip
        clock = Clock()
        for epoch in range(args.epochs):
            box.pre_epoch_process(epoch=epoch)
            for images, labels, supplement in box.train_data_loader:
                box.pre_forward_process()
                loss = box.forward_process(images, labels, supplement)
                box.post_forward_process(loss=loss)
                clock.step("", epoch, 0, 0)
            box.post_epoch_process()
        return args.batch / clock.seconds_a_step()


class Folder(torch.utils.data.Dataset):
    """The same images by torchvision's usual transform."""

    def __init__(self, table, rows, size):
        self.table, self.rows = table, rows
        self.transform = v2.Compose([
            v2.RandomResizedCrop(size), v2.RandomHorizontalFlip(), v2.RandomVerticalFlip(), v2.RandAugment(2, 9),
            v2.PILToTensor(), v2.ToDtype(torch.float32, scale=True),
            v2.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        ])  # fmt: skip

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, position):
        row = self.rows[position]
        with Image.open(self.table.paths[row]) as image:
            return self.transform(image.convert("RGB")), int(self.table.labels[row])


if __name__ == "__main__":
    main()
