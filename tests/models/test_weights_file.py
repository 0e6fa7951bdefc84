"""The file of weights that a run writes."""

import torch
from safetensors import safe_open
from safetensors.torch import load_file

from dspkd.models import weights, zoo


def test_a_file_of_weights_has_the_same_bytes_each_time(tmp_path):
    state = zoo.make("tiny", classes=3).library_state()
    metadata = {name: f"\u00fc {name}" for name in ("network", "mean", "std", "ema", "more")}
    files = {weights.as_safetensors(state, metadata) for _ in range(8)}
    assert len(files) == 1
    (tmp_path / "w.safetensors").write_bytes(*files)
    with safe_open(tmp_path / "w.safetensors", "pt") as file:
        assert file.metadata() == metadata
    back = load_file(tmp_path / "w.safetensors")
    assert back.keys() == state.keys()
    assert all(torch.equal(back[name], value) for name, value in state.items())
