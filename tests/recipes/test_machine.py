"""Hardware settings of a recipe, applied to this machine."""

import os

import pytest
import torch

from dspkd.errors import RecipeError
from dspkd.recipes.machine import MachineConfig
from dspkd.runs import hardware
from dspkd.runtime.distributed import SINGLE, World

CPU, GPU = torch.device("cpu"), torch.device("cuda")


@pytest.mark.parametrize(
    ("cores", "ranks", "expected"), [(1, 1, 0), (4, 1, 3), (64, 1, 16), (64, 8, 7), (8, 8, 0), (2, 8, 0)]
)
def test_with_a_gpu_a_rank_keeps_one_core_for_itself(cores, ranks, expected, monkeypatch):
    """Only the cores that this process may use count, not all of the machine."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cores)), raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 128)
    assert hardware.workers(MachineConfig(), GPU, World(0, ranks, 0, ranks)) == expected
    assert hardware.workers(MachineConfig(), CPU) == 0
    assert hardware.workers(MachineConfig(workers=5), CPU) == hardware.workers(MachineConfig(workers=5), GPU) == 5


def test_without_cpu_affinity_all_cores_count(monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert hardware.workers(MachineConfig(), GPU, SINGLE) == 5


def test_the_device_is_as_configured_and_an_invalid_one_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert hardware.device(MachineConfig()) == torch.device("cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert hardware.device(MachineConfig()) == torch.device("cuda")
    assert hardware.device(MachineConfig(device="cpu")) == torch.device("cpu")
    with pytest.raises(RecipeError, match=r"^machine\.device = 'quantum': [^\n]*device type[^\n]*$"):
        hardware.device(MachineConfig(device="quantum"))
    with pytest.raises(RecipeError, match=r"^machine\.device = 'meta': "):
        hardware.device(MachineConfig(device="meta"))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_missing_gpu_is_refused_by_name():
    with pytest.raises(RecipeError, match=r"^machine\.device = 'cuda': "):
        hardware.device(MachineConfig(device="cuda"))
