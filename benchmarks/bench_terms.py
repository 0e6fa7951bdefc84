"""Time and memory of each method without the networks, with the channels of the paper's teacher and student.

    pytest benchmarks/bench_terms.py --benchmark-sort=name --benchmark-columns=median,iqr,rounds
    pytest benchmarks/bench_terms.py --batch 2 --rounds 3      # within a minute
    pytest benchmarks/bench_terms.py --batch 128 --rounds 1 -k crkd --benchmark-json=crkd.json

One thread of a CPU. Use times only for ratios between the rows of one run; compare medians. Besides the time,
``extra_info`` in the file of ``--benchmark-json`` has

parameters
    Parameters that the term trains, discarded with it.
peak_mib
    The peak of torch's allocations during a forward and backward pass, less those before it: activations, gradients of
    maps and of parameters. Counted by torch's allocator, so reproducible; scratch space that libraries allocate
    otherwise is not included.
"""

from dataclasses import replace

import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from dspkd.methods import find, names
from dspkd.types import Batch, NetworkSpec, Output

CLASSES = 8
GRIDS = {"stride4": 56, "stride8": 28, "stride16": 14, "stride32": 7, "last": 7}
SHUFFLENET_V2 = NetworkSpec(
    CLASSES, 1024, dict(zip(GRIDS, (24, 116, 232, 464, 1024), strict=True)), class_counts=(100,) * CLASSES
)
RES2NET101 = NetworkSpec(CLASSES, 2048, dict(zip(GRIDS, (256, 512, 1024, 2048, 2048), strict=True)))

WIDTHS = [pytest.param("mgd", {"hidden": width}, id=f"mgd-hidden-{width}") for width in (512, 256, 128)]


def output_of(spec, batch_size, several=True):
    maps = {tap: torch.randn(batch_size, channels, GRIDS[tap], GRIDS[tap]) for tap, channels in spec.channels.items()}
    own = Output(torch.randn(batch_size, CLASSES), torch.randn(batch_size, spec.pooled), maps)
    return (
        replace(own, rotated=output_of(spec, 3 * batch_size, False), strong_aug=output_of(spec, batch_size, False))
        if several
        else own
    )


def peak_bytes(step):
    """Return the peak of torch's allocations during `step`, less those before."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        step()
    events = [event for event in profiled.profiler.kineto_results.events() if event.name() == "[memory]"]
    now = peak = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        now += event.nbytes()
        peak = max(peak, now)
    return peak


def test_peak_bytes_includes_what_is_freed_within_the_step():
    def step():
        a = torch.empty(1 << 20)  # 4 MiB
        b = a + 1
        del a
        b + 1

    assert 0 <= peak_bytes(step) - (8 << 20) < 1024  # the number 1 is a tensor too


@pytest.mark.parametrize(("name", "options"), [*(pytest.param(name, {}, id=name) for name in names()), *WIDTHS])
def test_forward_and_backward(benchmark, name, options, batch_size, rounds):
    torch.manual_seed(0)
    several = find(name).wants_rotated or find(name).wants_strong_aug
    student, teacher = (output_of(spec, batch_size, several) for spec in (SHUFFLENET_V2, RES2NET101))
    term = find(name)(SHUFFLENET_V2, RES2NET101, **options)
    rows = torch.arange(batch_size)
    batch = Batch(torch.zeros(batch_size, 3, 224, 224), rows % CLASSES, rows, torch.zeros_like(rows))
    leaves = [x.requires_grad_() for x in (student.logits, student.pooled, *student.maps.values())]

    def step():
        loss = term(student, teacher, batch)
        torch.autograd.grad(
            loss, [*leaves, *(value for value in term.parameters() if value.requires_grad)], allow_unused=True
        )

    benchmark.pedantic(step, rounds=rounds, warmup_rounds=1)
    benchmark.extra_info["parameters"] = sum(p.numel() for p in term.parameters())
    benchmark.extra_info["peak_mib"] = round(peak_bytes(step) / 2**20, 1)
