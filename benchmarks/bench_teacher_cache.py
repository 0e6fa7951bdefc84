"""Distilling with a cache of answers beside the live teacher, beside torchdistill, and beside the floor.

    pip install --no-deps torchdistill
    python benchmarks/bench_teacher_cache.py --data ../shared/data/dermoscopy-288-mini
    python benchmarks/bench_teacher_cache.py --data ../shared/data/dermoscopy-150 --size 96 --batch 32 --threads 2

Every contestant runs in a process of its own, and they take turns, one step each in every round: see `contestants.py`.
Ratios are medians, with quartiles, over the rounds: of time by the clock, and of the processor. The latter, with one
thread, is good on a machine that is busy with other things; the former on a quiet one.

The floor of stage 2 (`kd`) is plain training of the student; that of stage 1 is plain training and the term by itself.
"""

import argparse
import json
import tempfile
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
from contestants import KD, Here, Setting, dspkd, filling, silent, term_alone, torchdistill
from turns import Apart, ratio, take_turns, told

from dspkd.data.synthetic.dataset import synthesize

FUSIONS = {
    "hidden 256": ("hierarchical_fusion", {"hidden": 256}, 1e-4),
    "separable": ("hierarchical_fusion", {"generator": "separable", "hidden": 256}, 1e-4),
}


def add_arguments(parser, *, images, views):
    """Add what the setting of a run is made of."""
    parser.add_argument("--data", help="a folder with a data set; painted images of 450 px without it")
    parser.add_argument("--teacher", default="res2net101")
    parser.add_argument("--student", default="shufflenet_v2_x1_0")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--images", type=int, default=images)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--views", type=int, default=views)
    parser.add_argument("--threads", type=int, default=1)


def setting_of(asked, folder):
    if asked.data is None:
        synthesize(folder / "painted", images=asked.images, size=450, seed=0)
    said = {name: value for name, value in vars(asked).items() if name in Setting.__dataclass_fields__}
    return Setting(**{**said, "data": asked.data or str(folder / "painted"), "folder": str(folder)})


def contestants(setting, rounds, without):
    """Return the contestants by name, each ready to take its first step."""
    made = {
        "filling": (filling, replace(setting, views=rounds + 1)),  # a batch a round at least, to the last
        "plain": (dspkd, setting, None, None),
        "warm": (dspkd, setting, "teacher_cache", KD),
        "live": (dspkd, setting, "live", KD),
        "torchdistill": (torchdistill, setting, False),
        "torchdistill, our allocator": (torchdistill, setting, True),
        "kd alone": (term_alone, setting, KD),
    }
    for name, term in FUSIONS.items():
        made[f"stage 1, {name}"] = (dspkd, setting, "teacher_cache", term)
        made[f"{name} alone"] = (term_alone, setting, term)
    return {name: Apart(*work) for name, work in made.items() if name not in without}


def ratios(spent, views):
    """Return what the figures say, by a sentence that says which."""
    found = {
        "images a second, warm cache / torchdistill": ("torchdistill", "warm"),
        "images a second, live / torchdistill": ("torchdistill", "live"),
        "images a second, warm cache / torchdistill, our allocator": ("torchdistill, our allocator", "warm"),
        "images a second, live / torchdistill, our allocator": ("torchdistill, our allocator", "live"),
        "images a second, plain student / torchdistill: the bound": ("torchdistill", "plain"),
        "images a second, filling the cache / torchdistill": ("torchdistill", "filling"),
        "time, stage 2 from a warm cache / plain student": ("warm", "plain"),
    }
    lines = {text: ratio(spent[a], spent[b]) for text, (a, b) in found.items() if {a, b} <= set(spent)}
    for name in FUSIONS:
        if {f"stage 1, {name}", f"{name} alone", "plain"} <= set(spent):
            floor = spent["plain"] + spent[f"{name} alone"]
            lines[f"time, stage 1 ({name}) / (plain + term alone)"] = ratio(spent[f"stage 1, {name}"], floor)
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
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        setting = setting_of(asked, Path(folder))
        # Two views are enough to measure reading them; what filling costs is measured batch by batch.
        few = replace(setting, views=min(2, setting.views))
        here = Here(few)
        here.fill(silent)
        field = contestants(few, asked.rounds, asked.without)
        try:
            spent = take_turns(field, asked.rounds)
        finally:
            for contestant in field.values():
                contestant.end()
    figures = ratios(spent, asked.views)
    for name, pairs in spent.items():
        clock, processor = asked.batch / np.median(pairs, axis=0)
        print(f"{name:58} images a second {clock:7.1f}, a processor second {processor:7.1f}")
    for text, found in figures.items():
        print(told(text, found))
    images = here.setting.views * (len(here.rows) // asked.batch) * asked.batch
    print(f"the cache: {here.teacher_cache.nbytes / images / 1e3:.0f} kB an image")
    if asked.out:
        kept = {"settings": asdict(setting), "ratios": figures}
        asked.out.write_text(json.dumps(kept, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
