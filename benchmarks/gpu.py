"""What a GPU makes of the package, in one go: steps, the loader, one whole run of DSP-KD; writes a page of results.

    python benchmarks/gpu.py --minutes 10

Steps are measured on a batch that is already on the GPU, by the package's own loop, each for the same time; the share
of the peak is that of a product of two large bfloat16 matrices, measured first. Beside them stands the loader alone:
where it is slower than a step, the step waits for it. Then a teacher and a DSP-KD student are trained as `dspkd train`
would train them, and the speed of each phase is that between its own first and last step. About half of the time is
for the steps; a run that has not ended in time is stopped, and what it reached is written. Without the recipe's
images, synthetic ones are used; without its initial weights, random ones.
"""

import argparse
import platform
import tempfile
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from gpu_steps import EnoughError, Steps, loading, peak

from dspkd.data.synthetic.dataset import synthesize
from dspkd.recipes import catalog, schema
from dspkd.runs import build, hardware
from dspkd.runs.train import train
from dspkd.runtime.cores import available_cores
from dspkd.runtime.memory import keep_freed_memory
from dspkd.training.progress import NullProgress


class Phases(NullProgress):
    """Records when each phase of a run takes its steps, and ends the run when the time is over."""

    def __init__(self, batch_size, deadline):
        self._batch_size, self._deadline = batch_size, deadline
        self._seen, self.scores = {}, {}

    def prepare(self, what, done, of):
        self._record(what, what, done)

    def step(self, stage, epoch, done, steps):
        self._record(f"stage {stage!r}", epoch, done * self._batch_size)

    def epoch(self, record):
        self.scores = record["val"]

    def _record(self, phase, part, images):
        now = time.perf_counter()
        self._seen.setdefault(phase, {}).setdefault(part, [(images, now)])[1:] = [(images, now)]
        if now > self._deadline:
            raise EnoughError

    def speeds(self):
        """Return images a second of each phase with two steps or more, without what lies between its epochs."""
        speeds = {}
        for phase, parts in self._seen.items():
            spans = [(*seen[0], *seen[-1]) for seen in parts.values()]
            images = sum(last - first for first, _, last, _ in spans)
            if images:
                speeds[phase] = images / sum(ended - began for _, began, _, ended in spans)
        return speeds


def kinds_of_steps(steps, stages, *, compiled):
    """Return functions that measure a kind of step, by its name."""
    kinds = {
        "teacher forward: filling the cache": steps.teach,
        "plain, contiguous": partial(steps.plain, channels_last=False),
        "plain, channels last": steps.plain,
    }
    if compiled:
        kinds["plain, channels last, compiled"] = partial(steps.plain, compiled=True)
    return kinds | {f"stage {stage.name!r}": partial(steps.distil, number) for number, stage in enumerate(stages)}


def measure_steps(recipe, teacher, options, device, folder):
    """Return the peak in operations a second, and the rows of the table of steps."""
    dataset = build.load_data(recipe)
    table, rows = dataset.table, dataset.split.rows("train")[: options.images]
    on_gpu = device.type == "cuda"
    processes = sorted({1, max(available_cores() - 1, 1)}) if on_gpu else [0]
    measurements = len(options.sizes) * (len(processes) + 6 * len(options.batches))
    seconds = 30 * options.minutes / measurements
    most = peak(device, seconds, 8192 if on_gpu else 512)
    lines = []
    for size in options.sizes:
        sized = replace(recipe, images=replace(recipe.images, size=size))
        alone = {count: loading(sized, table, rows, device, folder, seconds, count).images for count in processes}
        lines += [f"| {size} | | loader alone, {n} processes | {each:,.0f} | | | |" for n, each in alone.items()]
        for batch_size in options.batches:
            steps = Steps(sized, teacher, len(table.classes), size, batch_size, device, seconds)
            compiled = on_gpu and batch_size == max(options.batches)  # a minute of compilation for each
            for name, measure in kinds_of_steps(steps, recipe.stages, compiled=compiled).items():
                speed = measure()
                bound = "loader" if max(alone.values()) < speed.images else "step"
                share, start = speed.images * speed.flops / most, f"{speed.first:.1f}"
                lines.append(
                    f"| {size} | {batch_size} | {name} | {speed.images:,.0f} | {share:.1%} | {bound} | {start} |"
                )
                print(lines[-1], flush=True)
    return most, lines


def whole_runs(recipes, folder, deadline):
    """Train teacher and student; return the rows of the table of phases, and a sentence on how they ended."""
    lines, began = [], time.perf_counter()
    for recipe in recipes:
        phases = Phases(recipe.train.batch_size, deadline)
        try:
            train(recipe, folder / recipe.name, phases)
            ended = f"Both ended after {time.perf_counter() - began:.0f} s."
        except EnoughError:
            ended = f"The time was over before {recipe.name!r} ended."
        lines += [f"| {recipe.name} | {phase} | {speed:,.0f} |" for phase, speed in phases.speeds().items()]
        if time.perf_counter() > deadline:
            break
    scores = ", ".join(f"{name} {value:.3f}" for name, value in phases.scores.items())
    return lines, f"{ended} Validation set after the last epoch of {recipe.name!r}: {scores or 'none yet'}."


def prepared(options, folder):
    """Return the recipes of teacher and student, with images that exist, and weights where they exist."""
    recipes = [schema.load(catalog.find(name), options.set) for name in (options.teacher, options.student)]
    options.data = options.data or Path(recipes[1].data.path)
    data = options.data
    if not data.is_dir():
        options.data, data = None, folder / "synthetic"
        synthesize(data, images=options.images, size=150, seed=0)
    for place, recipe in enumerate(recipes):
        weights = recipe.model.weights
        kept = weights if Path(weights).exists() else "none"
        recipes[place] = replace(
            recipe,
            data=replace(recipe.data, path=str(data)),
            model=replace(recipe.model, weights=kept, partial_weights=bool(kept) and recipe.model.partial_weights),
            machine=replace(recipe.machine, cache=str(folder / "cache")),
            images=replace(recipe.images, size=options.run_size),
        )
    return recipes[0], recipes[1].with_teachers([str(folder / recipes[0].name)])


def page(options, device, recipes, most, steps, phases, ended):
    """Return the page of results, as Markdown."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{platform.machine()}, no GPU"
    teacher, student = recipes
    newline = "\n"
    images = f"`{options.data}`" if options.data else "synthetic images"
    return f"""# Performance on a GPU

{time.strftime("%Y-%m-%d")}, {name}, {available_cores()} cores, torch {torch.__version__}; {teacher.model.name} to
{student.model.name}; `python benchmarks/gpu.py --minutes {options.minutes:g}`.

The largest measured speed of a bfloat16 matrix product is {most / 1e12:.2f} TFLOP/s; shares are of it. *Bound* is
what limits training: the step, or the loader with all its processes, where that is slower.

| px | batch | | images a second | share of the peak | bound | first step, s |
|---|---|---|---|---|---|---|
{newline.join(steps)}

## A whole run

`{student.name}` from `{teacher.name}` on {images}, {options.run_size} px, batch {student.train.batch_size}. {ended}

| run | phase | images a second |
|---|---|---|
{newline.join(phases)}
"""


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10, help="for all of it")
    parser.add_argument("--student", default="dermoscopy150/dsp_kd", help="recipe of the student")
    parser.add_argument("--teacher", default="dermoscopy150/teacher", help="recipe of the teacher")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a setting of both recipes")
    parser.add_argument("--data", type=Path, help="the images, if they are not where the recipe expects them")
    parser.add_argument("--images", type=int, default=4000, help="for the loader alone, and of a synthetic set")
    parser.add_argument("--sizes", type=int, nargs="+", default=[128, 224], help="sides of an image, for the steps")
    parser.add_argument("--batches", type=int, nargs="+", default=[32, 256], help="images in a batch, for the steps")
    parser.add_argument("--run-size", type=int, default=128, help="side of an image in the whole run")
    parser.add_argument("--out", type=Path, default=Path("docs/performance-gpu.md"))
    options = parser.parse_args(arguments)
    began = time.perf_counter()
    keep_freed_memory()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        teacher, student = prepared(options, folder)
        device = hardware.device(student.machine)
        most, steps = measure_steps(student, teacher.model.name, options, device, folder)
        write = partial(page, options, device, (teacher, student), most, steps)
        options.out.write_text(write([], "Not run."), encoding="utf-8")  # should the run fail
        phases, ended = whole_runs((teacher, student), folder, began + 60 * options.minutes)
    options.out.write_text(write(phases, ended), encoding="utf-8")
    print(f"{options.out}: written after {time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
