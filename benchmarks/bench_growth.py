"""How time and bytes grow with images, views and resolution, and whether memory grows with epochs.

    python benchmarks/bench_growth.py
    python benchmarks/bench_growth.py --data ../shared/data/dermoscopy-150 --images 1000

First a student trains from a cache for some epochs, and the process's memory is reported after each. Then each row
increases one factor: images are decoded into an empty store, and the teacher's outputs for all views (logits and last
map) into an empty cache. Seconds are processor time of one thread.
"""

import argparse
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from bench_teacher_cache import add_arguments, setting_of
from contestants import KD, Inputs, StepListener, silent, train
from memory import memory_mib

from dspkd.runtime.files import readable


def timed(work):
    started = time.process_time()
    result = work()
    return result, time.process_time() - started


def fill(setting, folder):
    """Fill an empty store and an empty cache; return both with their costs."""
    inputs = Inputs(replace(setting, folder=str(folder)))
    batches, decoding = timed(lambda: inputs.batches(setting.views))
    _, filling = timed(lambda: inputs.fill(silent))
    pixels = sum(path.stat().st_size for path in (folder / "pixels").rglob("*.bin"))
    kept = sum(path.stat().st_size for path in (folder / "teacher_cache").rglob("*.bin"))
    return inputs, batches, (decoding, pixels, filling, kept)


def train_with_memory(setting, folder, epochs):
    """Train from a cache, and report memory after each epoch."""
    inputs, batches, _ = fill(setting, folder)
    memory = []

    class MemoryRecorder(StepListener):
        def epoch(self, record):
            memory.append(memory_mib())

    train(inputs.teacher_cache, KD, batches, inputs.setting, MemoryRecorder(silent), epochs=epochs)
    print(f"MiB resident (in use by the allocator) after each epoch of training from the cache: {', '.join(memory)}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(parser, images=256, views=2)
    parser.set_defaults(size=64, teacher="tiny_wide", student="tiny", batch=32)
    parser.add_argument("--epochs", type=int, default=10)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        most = setting_of(arguments, Path(temporary))
        least = replace(most, images=most.images // 4)
        rows = [least]
        rows += [replace(least, images=factor * least.images) for factor in (2, 4)]
        rows += [replace(least, views=factor * least.views) for factor in (2, 4)]
        rows += [replace(least, size=factor * least.size) for factor in (2, 4)]
        train_with_memory(most, Path(temporary) / "watched", arguments.epochs)
        print("| images | views | size | decoding | pixels | filling | cache |\n|---|---|---|---|---|---|---|")
        first = None
        for number, setting in enumerate(rows):
            _, _, costs = fill(setting, Path(temporary) / str(number))
            first = first or costs
            times = [f"{value:.2f} s ({value / first[place]:.2f})" for place, value in enumerate(costs)]
            times[1::2] = [f"{readable(costs[n])} ({costs[n] / first[n]:.2f})" for n in (1, 3)]
            print(f"| {setting.images} | {setting.views} | {setting.size} | {' | '.join(times)} |")


if __name__ == "__main__":
    main()
