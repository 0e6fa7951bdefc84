"""A student's training step on a CPU: compiled, in bfloat16, on two threads, and without the norm of its gradient.

    python benchmarks/bench_student_step.py
    python benchmarks/bench_student_step.py --kinds "two threads" "two threads, default of OpenMP" --busy 2
    python benchmarks/bench_student_step.py --size 224 --batch 16 --kinds "two threads" bfloat16

Plain training on one batch of random images, as `dspkd train` does it: forward, backward, clipping, AdamW. Each
contestant has a process and takes turns with the others, five steps each. Ratios of times to those of float32 on one
thread are medians, with quartiles, over the rounds. The first compiled step is timed by itself, with an empty cache of
the compiler: by the clock and, compilers included, in processor time. The last line says when it has paid, and how many
more images a run of 30 minutes trains on than one that does not compile.

`two threads` soon sleep while they wait for each other, as in every process that imports dspkd before torch; by the
default of OpenMP they compute meanwhile. With `--busy N`, N other processes compute all the time.

Two runs at once are compared by `bench_compare.py`.
"""

import argparse
import multiprocessing
import os
import resource
import tempfile
import time
from functools import partial

import numpy as np
import torch
from turns import SeparateProcess, as_line, ratio, take_turns

from dspkd.experiments.fastest.timed_steps import training_step
from dspkd.training import loop

STEPS = 5
"""Steps in a turn."""

OPENMP = "two threads, default of OpenMP"

KINDS = {
    "float32": {},
    "bfloat16": {"bf16": True},
    "compiled": {"compiled": True},
    "two threads": {},
    OPENMP: {},
    "without norm": {},
}


def step_of(name, student, size, batch):
    """Return a function that takes a training step of this kind."""
    torch.set_num_threads(2 if name.startswith("two threads") else 1)
    arithmetic = loop.StepConfig(device=torch.device("cpu"), **KINDS[name])
    return training_step(student, size, batch, arithmetic, clips=name != "without norm")


def take_steps(turn, name, student, size, batch):
    step = step_of(name, student, size, batch)
    step()
    while True:
        turn()
        for _ in range(STEPS):
            step()


def first_compiled_step(student, size, batch):
    """Return its seconds by the clock and of processors: of this process and of the compilers that it starts."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {"TORCHINDUCTOR_CACHE_DIR": folder, "TORCHINDUCTOR_COMPILE_THREADS": "1"}
        step = step_of("compiled", student, size, batch)
        started, before = time.perf_counter(), _processors()
        step()
        return time.perf_counter() - started, _processors() - before


def _processors():
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def contestant(name, setting):
    """Start the process of a kind of step; OpenMP reads how threads wait when torch is loaded there."""
    ours = os.environ.pop("GOMP_SPINCOUNT", None) if name == OPENMP else None
    process = SeparateProcess(take_steps, name, *setting)
    if ours:
        os.environ["GOMP_SPINCOUNT"] = ours
    return process


def compute():
    while True:
        pass


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--student", default="shufflenet_v2_x1_0")
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--kinds", nargs="+", choices=list(KINDS)[1:], default=list(KINDS)[1:])
    parser.add_argument("--busy", type=int, default=0, metavar="N", help="processes that compute beside the steps")
    arguments = parser.parse_args()
    setting = (arguments.student, arguments.size, arguments.batch)
    if "compiled" in arguments.kinds:
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            clock, processors = pool.apply(partial(first_compiled_step, *setting))
        print(f"first compiled step: {clock:.0f} s by the clock, {processors:.0f} s of processors", flush=True)
    field = {name: contestant(name, setting) for name in ("float32", *arguments.kinds)}
    for _ in range(arguments.busy):
        multiprocessing.Process(target=compute, daemon=True).start()
    try:
        spent = take_turns(field, arguments.rounds)
    finally:
        for process in field.values():
            process.end()
    for name, pairs in spent.items():
        milliseconds = 1000 * np.median(pairs, axis=0) / STEPS
        print(f"{name:20} {milliseconds[0]:7.1f} ms a step by the clock, {milliseconds[1]:7.1f} ms of processors")
    for name in arguments.kinds:
        print(as_line(f"time, {name} / float32 on one thread", ratio(spent[name], spent["float32"])))
    if "compiled" not in arguments.kinds:
        return
    plain, quick = (np.median(spent[name][:, 1]) / STEPS for name in ("float32", "compiled"))
    if quick >= plain:
        print("compiling never pays: a compiled step is not faster")
        return
    gain = (1800 - processors) / quick / (1800 / plain)
    minutes = processors * plain / (plain - quick) / 60
    print(f"compiling has paid after {minutes:.0f} minutes; a run of 30 minutes sees {gain:.2f} times the images")


if __name__ == "__main__":
    main()
