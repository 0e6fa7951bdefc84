"""Write the page on the methods: ``python -m dspkd.methods > docs/methods.md``."""

from __future__ import annotations

import torch
from torch import nn

from dspkd.methods import describe, names
from dspkd.methods._masking import GeneratorKind
from dspkd.methods.mgd import MGD
from dspkd.types import NetworkSpec

_STUDENT = NetworkSpec(classes=8, pooled=1024, channels={"last": 1024})
_TEACHERS = {"Res2Net101": 2048, "EfficientNet-B4": 1792, "ConvNeXt-Base": 1024}
_GENERATORS: tuple[tuple[GeneratorKind, int], ...] = (
    *(("conv", hidden) for hidden in (0, 512, 256, 128)),
    *(("separable", hidden) for hidden in (0, 256)),
)
_POSITIONS = 7 * 7

_HEAD = """\
# Methods

Each is one term of a stage's objective, by the name that a recipe uses; its weight is the stage's affair
(`{ method = "mgd", weight = 7e-5, options = { hidden = 256 } }`). Options stand with their defaults. "Inferred" is what
no publication states. Formula, shapes, the meaning of each option and deviations are in the docstring:
`python -m pydoc dspkd.methods.mgd`. `dspkd methods` lists the same, other packages' methods included.
[How to add one](how-to/add-a-method.md).

This page is made by `python -m dspkd.methods > docs/methods.md`.
"""

_COST = """\
## What the generator of `mgd` costs

Methods on maps train layers of their own, and `mgd` and `hierarchical_fusion` by far the largest: the generator's two
3x3 convolutions have 18 C² weights for a teacher of C channels, all of them in training alone. `hidden` puts a narrower
layer between the two, which then have 18 C·hidden. `generator = "separable"` makes each a depthwise 3x3 and a 1x1, and
leaves 2 C·hidden and a little. Both are ours, not the authors'. Here are the parameters of `mgd`, and its
multiply-accumulates for one image in the forward pass (with the backward pass three times as many), for maps of 7x7
and a ShuffleNetV2 x1.0, which itself has 1.26 million parameters and does 0.14 GMAC at 224x224:
"""

# Medians of benchmarks/bench_terms.py --batch 4 --rounds 7 -k mgd, forwards and backwards.
_MEASURED = """\
With the 2048 channels of Res2Net101, in batches of 4 on one CPU core, widths of 512, 256 and 128 took 0.26, 0.12 and
0.07 of the full generator's time and 0.26, 0.13 and 0.07 of its 437 MiB peak memory, forwards and backwards, optimiser
state not counted. These are ratios of one run on a busy machine: to have those of yours, and all methods side by side,
run `pytest benchmarks/bench_terms.py`. What a narrower generator does to accuracy is a question for runs.

## What the relations of `crkd` cost

At 2048 channels and 128 images of 7x7, forwards and backwards, `crkd` takes 393 MiB at its peak, which is eight
times the teacher's map of 49 MiB; the two sets of 2048 x 2048 matrices of the formula as written would take 4 GiB,
before any gradient. `ssd_kd` with 32 images, hence 128 images, takes 564 MiB. Peak memory is counted by torch's
allocator and the same each time:

```bash
pytest benchmarks/bench_terms.py --batch 128 --rounds 1 -k crkd --benchmark-json=crkd.json      # extra_info.peak_mib
pytest benchmarks/bench_terms.py --batch 32 --rounds 1 -k ssd_kd --benchmark-json=ssd_kd.json
```

## Weights

A published weight belongs to the networks, the resolution and the reduction it was found with. In the recipes for
dermoscopy-150 (96 pixels, EfficientNet-Lite2 teaching ShuffleNetV2) most published weights let one term have nearly
all of the first gradient, or none of it; there each is set so that the term starts with 10 to 60 % of it, and the
recipe's header says which weight is published and what it gave. Exceptions are the controls of `dsp_kd`, which keep
its weights so that they differ from it in one thing. `dspkd explain RECIPE` prints the shares; [the log](log.md) has
the table.
"""


def page() -> str:
    """Return the page, as Markdown."""
    return "\n".join([_HEAD, *(_section(name) for name in names()), _COST, _costs(), _MEASURED]).rstrip("\n")


def _section(name: str) -> str:
    """Return what there is to say of one method."""
    about = describe(name)
    lines = [f"## {name}", "", about.line, ""]
    if about.options:
        lines += ["| option and default | takes |", "|---|---|"]
        lines += [f"| `{default}` | `{domain}` |" for default, domain in about.settings()]
        lines += [""]
    lines += [f"Source: {about.source}", ""]
    lines += [f"Inferred: {about.inferred}", ""] if about.inferred else []
    return "\n".join(lines)


def _costs() -> str:
    """Return the table of what MGD costs with each teacher and generator."""
    lines = ["| teacher | channels | `generator` | `hidden` | parameters | GMAC |", "|---|---|---|---|---|---|"]
    for teacher, channels in _TEACHERS.items():
        for kind, hidden in _GENERATORS:
            spec = NetworkSpec(classes=8, pooled=channels, channels={"last": channels})
            with torch.device("meta"):
                term = MGD(_STUDENT, spec, generator=kind, hidden=hidden)
            parameters = sum(p.numel() for p in term.parameters())
            weights = sum(layer.weight.numel() for layer in term.modules() if isinstance(layer, nn.Conv2d))
            costs = f"{parameters:,} | {weights * _POSITIONS / 1e9:.3f}"
            lines.append(f"| {teacher} | {channels} | {kind} | {hidden} | {costs} |")
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    print(page())
