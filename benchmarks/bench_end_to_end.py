"""A whole distillation from nothing to its last epoch, by dspkd with a cold cache and by torchdistill.

    pip install --no-deps torchdistill
    python benchmarks/bench_end_to_end.py --data ../shared/data/dermoscopy-288-mini --images 32 --epochs 30 --views 4

The same KD on the same pair, images, epochs, batch and threads, each in a process of its own. They take turns, batch by
batch. All is counted from the making of the networks on: for dspkd also decoding the images, hashing the teacher's
weights, its answers to all views, and a checkpoint after each epoch. Validation is the same for both, and left out.
"""

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from bench_teacher_cache import add_arguments, setting_of
from contestants import KD, Here, Watcher, box_of_torchdistill, epoch_of_torchdistill, train
from turns import Apart


def dspkd(turn, setting, epochs):
    turn()
    here = Here(setting)
    batches = here.batches(setting.views)
    here.fill(lambda *_: turn())
    train(here.teacher_cache, KD, batches, setting, Watcher(turn), epochs=epochs)


def torchdistill(turn, setting, epochs):
    torch.set_num_threads(setting.threads)
    turn()
    box = box_of_torchdistill(setting, epochs)
    for epoch in range(epochs):
        epoch_of_torchdistill(box, epoch, turn)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(parser, images=32, views=4)
    parser.add_argument("--epochs", type=int, default=30)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        setting = setting_of(asked, Path(folder))
        field = {work.__name__: Apart(work, setting, asked.epochs) for work in (dspkd, torchdistill)}
        spent = {name: [] for name in field}
        running = list(field)
        while running:
            for name in list(running):
                seconds = field[name]()
                if seconds is None:
                    running.remove(name)
                else:
                    spent[name].append(seconds)
    totals = {name: np.sum(steps, axis=0) for name, steps in spent.items()}
    steps = replace(setting, folder="")
    print(f"{asked.epochs} epochs of {asked.images} images, {asked.views} views: {steps}")
    for name, (clock, processor) in totals.items():
        print(f"{name:20} {clock:7.1f} s by the clock, {processor:7.1f} s of the processor, {len(spent[name])} steps")
    clock, processor = totals["torchdistill"] / totals["dspkd"]
    print(f"torchdistill / dspkd: {clock:.2f} by the clock, {processor:.2f} of the processor")


if __name__ == "__main__":
    main()
