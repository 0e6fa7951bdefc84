"""Distillation from cached teacher outputs, compared with the live teacher, torchdistill, and the lower bound.

    pip install --no-deps torchdistill
    python benchmarks/bench_teacher_cache.py --data ../shared/data/dermoscopy-288-mini
    python benchmarks/bench_teacher_cache.py --data ../shared/data/dermoscopy-150 --size 96 --batch 32 --threads 2

Every contestant runs in its own process, and they take turns, one step each in every round: see `contestants.py`.
Ratios are medians, with quartiles, over the rounds: of wall-clock time, and of processor time. The latter, with one
thread, is reliable on a busy machine; the former on a quiet one.

The lower bound of stage 2 (`kd`) is plain training of the student; that of stage 1, plain training and the term alone.
"""

import argparse
import json
import tempfile
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
from contestants import KD, Inputs, Setting, dspkd, filling, silent, term_alone, torchdistill
from turns import SeparateProcess, as_line, ratio, take_turns

from dspkd.data.synthetic.dataset import synthesize

FUSIONS = {
    "hidden 256": ("hierarchical_fusion", {"hidden": 256}, 1e-4),
    "separable": ("hierarchical_fusion", {"generator": "separable", "hidden": 256}, 1e-4),
}


def add_arguments(parser, *, images, views):
    """Add the arguments for the settings of a run."""
    parser.add_argument("--data", help="a folder with a data set; default: synthetic images of 450 px")
    parser.add_argument("--teacher", default="res2net101")
    parser.add_argument("--student", default="shufflenet_v2_x1_0")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--images", type=int, default=images)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--views", type=int, default=views)
    parser.add_argument("--threads", type=int, default=1)


def setting_of(arguments, folder):
    if arguments.data is None:
        synthesize(folder / "synthetic", images=arguments.images, size=450, seed=0)
    settings = {name: value for name, value in vars(arguments).items() if name in Setting.__dataclass_fields__}
    return Setting(**{**settings, "data": arguments.data or str(folder / "synthetic"), "folder": str(folder)})


def contestants(setting, rounds, without):
    """Return the contestants by name, each ready to take its first step."""
    work = {
        "filling": (filling, replace(setting, views=rounds + 1)),  # at least one batch per round
        "plain": (dspkd, setting, None, None),
        "warm": (dspkd, setting, "teacher_cache", KD),
        "live": (dspkd, setting, "live", KD),
        "torchdistill": (torchdistill, setting, False),
        "torchdistill, our allocator": (torchdistill, setting, True),
        "kd alone": (term_alone, setting, KD),
    }
    for name, term in FUSIONS.items():
        work[f"stage 1, {name}"] = (dspkd, setting, "teacher_cache", term)
        work[f"{name} alone"] = (term_alone, setting, term)
    return {name: SeparateProcess(*parts) for name, parts in work.items() if name not in without}


def ratios(spent, views):
    """Return ratios by a text that describes them."""
    pairs = {
        "images a second, warm cache / torchdistill": ("torchdistill", "warm"),
        "images a second, live / torchdistill": ("torchdistill", "live"),
        "images a second, warm cache / torchdistill, our allocator": ("torchdistill, our allocator", "warm"),
        "images a second, live / torchdistill, our allocator": ("torchdistill, our allocator", "live"),
        "images a second, plain student / torchdistill: the bound": ("torchdistill", "plain"),
        "images a second, filling the cache / torchdistill": ("torchdistill", "filling"),
        "time, stage 2 from a warm cache / plain student": ("warm", "plain"),
    }
    lines = {text: ratio(spent[a], spent[b]) for text, (a, b) in pairs.items() if {a, b} <= set(spent)}
    for name in FUSIONS:
        if {f"stage 1, {name}", f"{name} alone", "plain"} <= set(spent):
            bound = spent["plain"] + spent[f"{name} alone"]
            lines[f"time, stage 1 ({name}) / (plain + term alone)"] = ratio(spent[f"stage 1, {name}"], bound)
            lines[f"time, stage 1 ({name}) / plain student"] = ratio(spent[f"stage 1, {name}"], spent["plain"])
    if {"torchdistill", "warm", "filling"} <= set(spent):
        ours = 30 * spent["warm"] + views * spent["filling"]
        lines[f"30 epochs, cold cache, {views} views / torchdistill, computed"] = ratio(
            30 * spent["torchdistill"], ours
        )
    return lines


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(parser, images=64, views=4)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--without", nargs="*", default=[], metavar="NAME", help='e.g. torchdistill "kd alone"')
    parser.add_argument("--out", type=Path, help="also write the figures to this JSON file")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        setting = setting_of(arguments, Path(folder))
        # Two views are enough to measure reading; the cost of filling is measured batch by batch.
        few = replace(setting, views=min(2, setting.views))
        inputs = Inputs(few)
        inputs.fill(silent)
        field = contestants(few, arguments.rounds, arguments.without)
        try:
            spent = take_turns(field, arguments.rounds)
        finally:
            for contestant in field.values():
                contestant.end()
    figures = ratios(spent, arguments.views)
    for name, pairs in spent.items():
        clock, processor = arguments.batch / np.median(pairs, axis=0)
        print(f"{name:58} images a second {clock:7.1f}, a processor second {processor:7.1f}")
    for text, quartiles in figures.items():
        print(as_line(text, quartiles))
    images = inputs.setting.views * (len(inputs.rows) // arguments.batch) * arguments.batch
    print(f"the cache: {inputs.teacher_cache.nbytes / images / 1e3:.0f} kB an image")
    if arguments.out:
        content = {"settings": asdict(setting), "ratios": figures}
        arguments.out.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
