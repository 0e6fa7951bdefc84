"""Cost of the generators of `mgd` and `hierarchical_fusion`: published, with a bottleneck, separable.

    python benchmarks/bench_generators.py
    python benchmarks/bench_generators.py --maps res2net101-224 --batch 16

Forward and backward pass of `mgd` from a ShuffleNetV2 x1.0's last map (1024 channels) to a teacher's, every generator
in turn, one thread of a CPU. Parameters and multiply-accumulates (of one image, forward) are those of the generator.
Ratios are of times in the same round, to the published generator.
"""

import argparse

import torch
from torch.utils.flop_counter import FlopCounterMode
from turns import ratio, take_turns

from dspkd.methods.mgd import MGD
from dspkd.runtime.memory import keep_freed_memory
from dspkd.types import Batch, NetworkSpec, Output

MAPS = {
    "res2net101-224": (2048, 7),
    "lite2-64": (1280, 2),
    "lite2-96": (1280, 3),
}
"""Channels and side of the last map of a teacher at a resolution."""
GENERATORS = {
    "published": {},
    "hidden 256": {"hidden": 256},
    "hidden 128": {"hidden": 128},
    "hidden 64": {"hidden": 64},
    "separable": {"generator": "separable"},
    "separable, hidden 256": {"generator": "separable", "hidden": 256},
}


def contestant(options, channels, side, batch):
    """Return the term, and a function that takes one forward and backward pass of it."""
    torch.manual_seed(0)
    student, teacher = (NetworkSpec(8, c, {"last": c}) for c in (1024, channels))
    term = MGD(student, teacher, **options)
    teacher_map, student_map = (
        torch.randn(batch, c, side, side).contiguous(memory_format=torch.channels_last) for c in (channels, 1024)
    )
    absent = torch.zeros(batch, 0)
    outputs = [Output(absent, absent, {"last": x}) for x in (student_map.requires_grad_(), teacher_map)]
    rows = torch.arange(batch)
    images = Batch(torch.zeros(batch, 3, 1, 1), rows % 8, rows, torch.zeros_like(rows))

    def step():
        torch.autograd.grad(term(*outputs, images), [student_map, *term.parameters()])

    return term, step


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--maps", nargs="+", choices=list(MAPS), default=list(MAPS))
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()
    for name in arguments.maps:
        channels, side = MAPS[name]
        terms = {kind: contestant(options, channels, side, arguments.batch) for kind, options in GENERATORS.items()}
        spent = take_turns({kind: step for kind, (_, step) in terms.items()}, arguments.rounds)
        print(f"{name}: {channels} x {side} x {side}, batch {arguments.batch}")
        print("| generator | parameters | GMAC | time, processor | quartiles |\n|---|---|---|---|---|")
        for kind, (term, _) in terms.items():
            with FlopCounterMode(display=False) as counted:
                term.generation(torch.zeros(1, channels, side, side))
            parameters = sum(value.numel() for value in term.generation.parameters())
            middle, low, high = ratio(spent[kind], spent["published"])["processor"]
            gmac = counted.get_total_flops() / 2e9
            print(f"| {kind} | {parameters:,} | {gmac:.3f} | {middle:.3f} | {low:.3f} to {high:.3f} |")


if __name__ == "__main__":
    main()
