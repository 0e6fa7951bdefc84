"""A complete distillation, by dspkd with a cold cache and by torchdistill.

    pip install --no-deps torchdistill
    python benchmarks/bench_end_to_end.py --data ../shared/data/dermoscopy-288-mini --images 32 --epochs 30 --views 4

The same KD with the same networks, images, epochs, batch size and threads, each in its own process. They take turns,
batch by batch. Time is counted from the construction of the networks: for dspkd it includes decoding the images,
hashing the teacher's weights, its outputs for all views, and a checkpoint after each epoch. Validation is excluded for
both.
"""

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from bench_teacher_cache import add_arguments, setting_of
from contestants import KD, Inputs, StepListener, box_of_torchdistill, epoch_of_torchdistill, train
from turns import SeparateProcess


def dspkd(turn, setting, epochs):
    turn()
    inputs = Inputs(setting)
    batches = inputs.batches(setting.views)
    inputs.fill(lambda *_: turn())
    train(inputs.teacher_cache, KD, batches, setting, StepListener(turn), epochs=epochs)


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
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        setting = setting_of(arguments, Path(folder))
        field = {work.__name__: SeparateProcess(work, setting, arguments.epochs) for work in (dspkd, torchdistill)}
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
    print(f"{arguments.epochs} epochs of {arguments.images} images, {arguments.views} views: {steps}")
    for name, (clock, processor) in totals.items():
        print(f"{name:20} {clock:7.1f} s wall-clock, {processor:7.1f} s processor, {len(spent[name])} steps")
    clock, processor = totals["torchdistill"] / totals["dspkd"]
    print(f"torchdistill / dspkd: {clock:.2f} wall-clock, {processor:.2f} processor")


if __name__ == "__main__":
    main()
