import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import torch

torch.set_num_threads(1)


def pytest_addoption(parser):
    parser.addoption("--batch", type=int, default=16, help="images in a batch")
    parser.addoption("--rounds", type=int, default=20, help="timed rounds of each step, after one that is not timed")


@pytest.fixture
def batch_size(request):
    return request.config.getoption("--batch")


@pytest.fixture
def rounds(request):
    return request.config.getoption("--rounds")
