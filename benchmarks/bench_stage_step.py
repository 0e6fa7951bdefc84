"""Where the time of DSP-KD's first stage goes: training steps with its parts, one after another.

    python benchmarks/bench_stage_step.py
    python benchmarks/bench_stage_step.py --size 96 --rounds 5

ShuffleNetV2 learns from the outputs of EfficientNet-Lite2 with random weights, computed before, as from a cache, on one
batch of random images: forward, backward, clipping, AdamW, one thread. Each contestant has a process and takes turns
with the others, ten steps each, so that the measurements of a share (`dspkd.training.gradient_share`) are counted as
often as in training. Ratios of processor times to those of plain training are medians, with quartiles, over the rounds.
"""

import argparse

import numpy as np
import torch
from turns import SeparateProcess, as_line, ratio, take_turns

from dspkd.models import zoo
from dspkd.recipes.stage import StageConfig, TermConfig
from dspkd.runs import build
from dspkd.training import loop
from dspkd.training.teachers.frozen import FrozenTeacher
from dspkd.types import Batch

STEPS, CLASSES = 10, 8
LABELS = TermConfig(method="labels")
STRIDE16 = {"target": "stride16"}
KINDS = {
    "plain": (LABELS,),
    "kd": (LABELS, TermConfig(method="kd")),
    "normkd": (LABELS, TermConfig(method="normkd")),
    "mgd": (LABELS, TermConfig(method="mgd", weight=1e-3, options=STRIDE16)),
    "fusion": (LABELS, TermConfig(method="hierarchical_fusion", weight=1e-3, options=STRIDE16)),
    "fusion, share": (LABELS, TermConfig(method="hierarchical_fusion", share=0.4, options=STRIDE16)),
}


class Known:
    """A teacher whose output is known before the step."""

    def __init__(self, spec, output):
        self.spec, self.output = spec, output

    def answer(self, batch):
        return self.output


def step_of(kind, size, batch):
    """Return a function that takes a training step with these terms."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    numbers = torch.arange(batch)
    images = torch.rand(batch, 3, size, size).to(memory_format=torch.channels_last)
    data = Batch(images, numbers % CLASSES, numbers, torch.zeros_like(numbers))
    network = zoo.make("efficientnet_lite2", classes=CLASSES)
    teacher = Known(network.spec, FrozenTeacher(network, network.spec, name="lite2").answer(data))
    stage = StageConfig(name="timed", epochs=1, lr=1e-3, terms=KINDS[kind])
    distiller = build.distiller(
        stage,
        student=zoo.make("shufflenet_v2_x1_0", classes=CLASSES),
        teacher=teacher,
        class_counts=(100,) * CLASSES,
        balance=0.0,
        seed=0,
    ).train()
    optimizer = loop.make_optimizer(stage, distiller.trainable())
    trained = loop.owners(distiller.trainable())

    def step():
        loss = distiller(data)["total"]
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        loop.update(trained, optimizer, stage.lr, 5.0)

    return step


def take_steps(turn, kind, size, batch):
    step = step_of(kind, size, batch)
    for _ in range(STEPS):
        step()
    while True:
        turn()
        for _ in range(STEPS):
            step()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=8)
    arguments = parser.parse_args()
    field = {kind: SeparateProcess(take_steps, kind, arguments.size, arguments.batch) for kind in KINDS}
    try:
        spent = take_turns(field, arguments.rounds)
    finally:
        for contestant in field.values():
            contestant.end()
    for kind, pairs in spent.items():
        print(f"{kind:16} {1000 * np.median(pairs, axis=0)[1] / STEPS:7.1f} ms of a processor a step")
    for kind in list(KINDS)[1:]:
        print(as_line(f"{kind} / plain", ratio(spent[kind], spent["plain"])))


if __name__ == "__main__":
    main()
