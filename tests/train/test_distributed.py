"""The step of several ranks is that of one process with the whole batch, for every method."""

import pytest
import torch
from together import together
from torch import nn
from torch.nn import functional as F

from dspkd.distiller import Distiller
from dspkd.methods import find, names, options
from dspkd.models import zoo
from dspkd.ranks import ALONE
from dspkd.teacher.live import LiveTeacher
from dspkd.train.distributed import averaged, shared
from dspkd.train.whole_batch import WholeBatch
from dspkd.types import Batch

B = 7
"""Pictures in a batch, which neither two nor three ranks divide."""

SMALL = {"width": 8, "hidden": 8, "gate": 0.7, "mask_ratio": 0.4, "regressor": "norm_relu", "compare": "unit"}
"""What makes a method quick, and shows all that it does."""


def whole_batch():
    torch.manual_seed(5)
    pictures, strong = torch.rand(2, B, 3, 32, 32, dtype=torch.float64)
    return Batch(pictures, torch.arange(B) % 4, torch.arange(B), torch.zeros(B, dtype=torch.int64), strong)


def share_of(batch, ranks):
    if ranks.count == 1:
        return batch
    mine = ranks.shares(B)[ranks.rank]
    part = batch.rows(mine.start, mine.stop)
    return Batch(**{**vars(part), "first": mine.start, "whole": B})


def step(name, ranks):
    """Return losses, gradients and statistics of one step with this method alone."""
    torch.manual_seed(0)
    student, network = zoo.make("tiny", classes=4).double(), zoo.make("tiny_wide", classes=4).double()
    teacher = LiveTeacher(network, network.spec)
    chosen = {key: value for key, value in SMALL.items() if key in options(name)}
    term = find(name)(student.spec, network.spec, **chosen).double()
    peer = teacher.apprentice() if term.trains_teacher else None
    distiller = Distiller(student, teacher, [(name, 0.5, term)], peer=peer)
    objective = shared(distiller, ranks)
    torch.manual_seed(1)
    losses = objective(share_of(whole_batch(), ranks), 0.0)
    losses["total"].backward()
    gradients = {key: value.grad for key, value in distiller.named_parameters() if value.requires_grad}
    statistics = {key: value.clone() for key, value in distiller.named_buffers() if "running" in key}
    return averaged(losses, ranks), gradients, statistics, torch.rand(3)


@pytest.mark.parametrize("count", [2, 3])
def test_every_method_gives_the_losses_gradients_and_statistics_of_the_whole_batch(count, tmp_path):
    """In float64 nothing but rounding is left between ranks and one process."""
    said = together(count, lambda ranks: {name: step(name, ranks) for name in names()}, tmp_path)
    for name in names():
        wanted = step(name, ALONE)
        assert any(gradient is not None and gradient.any() for gradient in wanted[1].values())
        for rank, given in enumerate(said):
            for here, there in zip(given[name][:3], wanted[:3], strict=True):
                assert here.keys() == there.keys()
                for key, value in there.items():
                    assert (here[key] is None) == (value is None), (name, key, rank)
                    if value is not None:
                        torch.testing.assert_close(here[key], value, rtol=1e-7, atol=1e-9, msg=f"{name} {key} {rank}")
            assert torch.equal(given[name][3], wanted[3]), f"{name} left the generator elsewhere on rank {rank}"
