"""Ranks start clean, whatever the test process has done before."""

import torch

from together import together


def test_ranks_compute_with_threads_after_the_test_process_has_done_so(tmp_path):
    """A fork of this process would wait for ever for the threads of OpenMP, which it does not inherit."""

    def total(world=None):
        torch.set_num_threads(2)
        try:
            return torch.ones(1000, 1000).exp().softmax(1).sum().item()
        finally:
            torch.set_num_threads(1)

    expected = total()
    assert together(2, total, tmp_path) == [expected] * 2
