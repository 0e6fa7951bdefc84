"""What sharing each batch brings, and what it costs: images a second by the clock, and processor time for an image.

    python benchmarks/bench_ranks.py
    python benchmarks/bench_ranks.py --ranks 1 2 4 --student shufflenet_v2_x1_0 --size 224 --batch 64 --method crkd

Steps of a student beside a teacher whose answers are at hand, one thread for each rank, gloo; loading is left out. One
rank is the plain process. Where ranks have a core each, images a second should grow with them. On a busy machine
the processor's time still tells what sharing adds: batch normalisation in several kernels, copies, waiting in gloo.
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
from dspkd.runtime import distributed as ranks
from dspkd.training.ddp import shared
from dspkd.training.distiller import Distiller
from dspkd.types import Batch


class Said:
    """A teacher that has answered already, as a cache has."""

    def __init__(self, spec, output):
        self.spec, self.output = spec, output

    def answer(self, batch):
        return self.output


def share(asked, mine):
    """Return this rank's images."""
    own = mine.shares(asked.batch)[mine.rank]
    torch.manual_seed(0)
    images, labels = torch.rand(asked.batch, 3, asked.size, asked.size), torch.arange(asked.batch) % 8
    whole = Batch(images, labels, labels, labels)
    if mine.count == 1:
        return whole
    return Batch(**{**vars(whole.rows(own.start, own.stop)), "first": own.start, "whole": asked.batch})


def measure(asked):
    """Time steps on this rank; rank 0 prints seconds by the clock of one step, and of all ranks' processors."""
    torch.set_num_threads(1)
    with ranks.joined() as mine:
        batch = share(asked, mine)
        torch.manual_seed(0)
        student, network = zoo.make(asked.student, classes=8), zoo.make(asked.teacher, classes=8).eval()
        with torch.no_grad():
            said = Said(network.spec, network(batch.images))
        terms = [(name, 1.0, find(name)(student.spec, network.spec)) for name in ("labels", asked.method)]
        distiller = Distiller(student.to(memory_format=torch.channels_last), said, terms)
        objective = shared(distiller, mine)
        optimizer = torch.optim.AdamW(distiller.parameters(), lr=1e-4, fused=True)
        laps = []
        for _ in range(asked.steps + 2):
            started = time.perf_counter(), time.process_time()
            optimizer.zero_grad(set_to_none=True)
            objective(batch, 0.0)["total"].backward()
            optimizer.step()
            laps.append((time.perf_counter() - started[0], time.process_time() - started[1]))
        clock, processor = (median(lap) for lap in zip(*laps[2:], strict=True))
        everyone = mine.gathered(processor)
        if mine.rank == 0:
            print(json.dumps({"clock": clock, "processor": sum(everyone)}))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ranks", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--student", default="shufflenet_v2_x1_0")
    parser.add_argument("--teacher", default="resnet18")
    parser.add_argument("--method", default="kd")
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--steps", type=int, default=10)
    asked = parser.parse_args()
    if "WORLD_SIZE" in os.environ:
        measure(asked)
        return
    print(f"{asked.student}, {asked.method}, {asked.size} px, batch {asked.batch}; medians of {asked.steps} steps")
    for count in asked.ranks:
        launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", str(count)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        run = subprocess.run([*launcher, *sys.argv], env=environment, check=True, capture_output=True, text=True)
        told = json.loads(run.stdout.splitlines()[-1])
        print(
            f"{count} ranks: {asked.batch / told['clock']:.1f} images/s by the clock; "
            f"{1e3 * told['processor'] / asked.batch:.2f} ms of processor time an image"
        )


if __name__ == "__main__":
    main()
