"""What a recipe says of the machine, and what is made of it here."""

import os

import pytest
import torch

from dspkd.errors import RecipeError
from dspkd.recipes.machine import MachineConfig
from dspkd.runs import hardware
from dspkd.runtime.distributed import SINGLE, World

CPU, GPU = torch.device("cpu"), torch.device("cuda")


@pytest.mark.parametrize(
    ("cores", "beside", "wanted"), [(1, 1, 0), (4, 1, 3), (64, 1, 16), (64, 8, 7), (8, 8, 0), (2, 8, 0)]
)
def test_beside_a_gpu_a_rank_leaves_one_of_its_cores_to_itself(cores, beside, wanted, monkeypatch):
    """The cores that this process may use: on a machine that is shared out, not all that there are."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cores)), raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 128)
    assert hardware.workers(MachineConfig(), GPU, World(0, beside, 0, beside)) == wanted
    assert hardware.workers(MachineConfig(), CPU) == 0
    assert hardware.workers(MachineConfig(workers=5), CPU) == hardware.workers(MachineConfig(workers=5), GPU) == 5


def test_where_a_system_does_not_tell_a_process_its_cores_all_count(monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert hardware.workers(MachineConfig(), GPU, SINGLE) == 5


def test_a_device_is_as_asked_for_and_nonsense_is_refused(monkeypatch):
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
def test_a_gpu_where_there_is_none_is_refused_by_name():
    with pytest.raises(RecipeError, match=r"^machine\.device = 'cuda': "):
        hardware.device(MachineConfig(device="cuda"))
