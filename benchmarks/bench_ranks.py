"""Measure training on several ranks: images a second by the clock, and processor time for an image.

    python benchmarks/bench_ranks.py
    python benchmarks/bench_ranks.py --ranks 1 2 4 --student shufflenet_v2_x1_0 --size 224 --batch 64 --method crkd

Steps of a student with precomputed teacher outputs, one thread for each rank, gloo; loading is left out. One rank is
the plain process. Where each rank has a core, images a second should grow with the number of ranks. On a busy machine
processor time still measures the cost of sharing: batch normalisation in several kernels, copies, waiting in gloo.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from statistics import median

import torch

from dspkd.methods import find
from dspkd.models import zoo
from dspkd.runtime.distributed import joined
from dspkd.training.ddp import shared
from dspkd.training.distiller import Distiller
from dspkd.types import Batch


class PrecomputedTeacher:
    """A teacher with one output, computed before."""

    def __init__(self, spec, output):
        self.spec, self.output = spec, output

    def answer(self, batch):
        return self.output


def share(options, world):
    """Return this rank's share of the batch."""
    own = world.shares(options.batch)[world.rank]
    torch.manual_seed(0)
    images, labels = torch.rand(options.batch, 3, options.size, options.size), torch.arange(options.batch) % 8
    whole = Batch(images, labels, labels, labels)
    if world.size == 1:
        return whole
    return Batch(**{**vars(whole.rows(own.start, own.stop)), "first": own.start, "whole": options.batch})


def measure(options):
    """Time steps on this rank; rank 0 prints the seconds of one step, by the clock and of all ranks' processors."""
    torch.set_num_threads(1)
    with joined() as world:
        batch = share(options, world)
        torch.manual_seed(0)
        student, network = zoo.make(options.student, classes=8), zoo.make(options.teacher, classes=8).eval()
        with torch.no_grad():
            teacher = PrecomputedTeacher(network.spec, network(batch.images))
        terms = [(name, 1.0, find(name)(student.spec, network.spec)) for name in ("labels", options.method)]
        distiller = Distiller(student.to(memory_format=torch.channels_last), teacher, terms)
        objective = shared(distiller, world)
        optimizer = torch.optim.AdamW(distiller.parameters(), lr=1e-4, fused=True)
        laps = []
        for _ in range(options.steps + 2):
            started = time.perf_counter(), time.process_time()
            optimizer.zero_grad(set_to_none=True)
            objective(batch, 0.0)["total"].backward()
            optimizer.step()
            laps.append((time.perf_counter() - started[0], time.process_time() - started[1]))
        clock, processor = (median(lap) for lap in zip(*laps[2:], strict=True))
        processors = world.all_gather(processor)
        if world.rank == 0:
            print(json.dumps({"clock": clock, "processor": sum(processors)}))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ranks", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--student", default="shufflenet_v2_x1_0")
    parser.add_argument("--teacher", default="resnet18")
    parser.add_argument("--method", default="kd")
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--steps", type=int, default=10)
    options = parser.parse_args()
    if "WORLD_SIZE" in os.environ:
        measure(options)
        return
    setting = f"{options.student}, {options.method}, {options.size} px, batch {options.batch}"
    print(f"{setting}; medians of {options.steps} steps")
    for count in options.ranks:
        launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", str(count)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        run = subprocess.run([*launcher, *sys.argv], env=environment, check=True, capture_output=True, text=True)
        seconds = json.loads(run.stdout.splitlines()[-1])
        print(
            f"{count} ranks: {options.batch / seconds['clock']:.1f} images/s by the clock; "
            f"{1e3 * seconds['processor'] / options.batch:.2f} ms of processor time an image"
        )


if __name__ == "__main__":
    main()
