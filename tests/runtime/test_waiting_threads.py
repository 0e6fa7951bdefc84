"""Threads of OpenMP sleep soon while they wait, unless the user has chosen otherwise."""

import os
import subprocess
import sys

import pytest

CHOICES = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")
OUTPUT = "import os, sys, dspkd; print(os.environ.get('GOMP_SPINCOUNT'), 'torch' in sys.modules)"


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [({}, "300"), ({"GOMP_SPINCOUNT": "5"}, "5"), ({"OMP_WAIT_POLICY": "ACTIVE"}, "None")],
)
def test_it_is_set_before_torch_is_loaded_and_a_users_choice_is_kept(chosen, expected):
    others = {name: value for name, value in os.environ.items() if name not in CHOICES}
    done = subprocess.run(
        [sys.executable, "-c", OUTPUT], env=others | chosen, capture_output=True, text=True, check=True
    )
    assert done.stdout == f"{expected} False\n"
