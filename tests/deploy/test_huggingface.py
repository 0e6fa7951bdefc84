"""Other formats: a folder for the Hugging Face hub, torch.export. None of it names files of this machine."""

import json
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from dspkd.data.transforms import CentreCrop
from dspkd.deploy import Predictor
from dspkd.deploy.bundle.spec import Preprocessing
from dspkd.deploy.export import huggingface, torch_formats
from dspkd.deploy.export.export import ExportSource
from dspkd.errors import BundleError
from dspkd.models import zoo
from dspkd.runs.run_folder import Run


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(2).random((3, 3, 32, 32), np.float32)


@pytest.fixture(scope="module")
def expected(finished, images):
    network = Run(finished).model
    with torch.inference_mode():
        return network.eval()(torch.from_numpy(images)).logits.numpy()


def test_the_hubs_folder_has_card_weights_graphs_and_configuration(made, finished, tmp_path):
    folder = huggingface.write(finished, made[0], tmp_path / "hub")
    card = (folder / "README.md").read_text()
    assert card.startswith("---\nlicense: other\n")
    assert made[0].read_text("card.md") in card
    (lines,) = re.findall("```python\n(.*?)```", card, re.DOTALL)
    assert 'zoo.make("tiny", classes=8, weights="model.safetensors")' in lines
    assert 'model_name: "tiny student"' in card
    config = json.loads((folder / "config.json").read_text())
    assert (config["num_classes"], config["label_names"][0]) == (8, "MEL")
    assert set(load_file(folder / "model.safetensors")) == set(load_file(finished / "model.safetensors"))
    assert (folder / "onnx/model.onnx").read_bytes() == made[0].read("model.fp32.onnx")
    assert (folder / "onnx/model_int8.onnx").read_bytes() == made[0].read("model.int8.onnx")
    with pytest.raises(BundleError, match="hub: is not empty"):
        huggingface.write(finished, made[0], folder)


def test_weights_say_that_they_are_torchs_and_the_cards_lines_load_them(
    made, finished, images, expected, tmp_path, monkeypatch
):
    folder = huggingface.write(finished, made[0], tmp_path / "hub")
    with safe_open(folder / "model.safetensors", "pt") as file:
        assert file.metadata()["network"] == "tiny"
        assert file.metadata()["format"] == "pt"
    monkeypatch.chdir(folder)
    found = {}
    exec(re.search("```python\n(.*?)```", (folder / "README.md").read_text(), re.DOTALL)[1], found)
    with torch.inference_mode():
        np.testing.assert_allclose(found["network"](torch.from_numpy(images)).logits, expected, atol=1e-5)


@pytest.mark.parametrize("name", ["shufflenet_v2_x1_0", "mobilenetv3_small_050"])
def test_the_lines_for_networks_of_other_libraries_load_them(name, tmp_path, monkeypatch):
    torch.manual_seed(0)
    network = zoo.make(name, classes=3)
    crop = CentreCrop(size=64)
    exported = ExportSource(tmp_path, network, None, ("a", "b", "c"), crop, Preprocessing(73, 64, ()), ("unknown",) * 3)
    (tmp_path / "config.json").write_text(json.dumps(huggingface._config(exported)))
    save_file(network.library_state(), tmp_path / "model.safetensors", metadata={"format": "pt"})
    monkeypatch.chdir(tmp_path)
    found = {}
    exec(re.search("```python\n(.*?)```", huggingface._loading(exported), re.DOTALL)[1], found)
    if hasattr(found["network"], "pretrained_cfg"):
        assert found["network"].pretrained_cfg["label_names"] == ["a", "b", "c"]
    images = torch.rand(2, 3, 64, 64)
    with torch.inference_mode():
        normal = (images - network.mean) / network.std
        torch.testing.assert_close(found["network"](normal), network.eval()(images).logits, rtol=1e-5, atol=1e-5)


def test_an_exported_program_takes_any_batch_size_and_names_no_file(finished, images, expected, tmp_path):
    path = torch_formats.program(finished, tmp_path / "new" / "model.pt2")
    module = torch.export.load(path).module()
    for count in (1, 3):
        logits = module(torch.from_numpy(images[:count])).detach().numpy()
        np.testing.assert_allclose(logits, expected[:count], atol=1e-5)
    assert_no_local_path(path)


def assert_no_local_path(path):
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            content = archive.read(name)
            for place in (str(Path.cwd()), str(Path.home()) + "/", "site-packages"):
                assert place.encode() not in content, (name, place)


def test_exporting_leaves_the_bundles_network_unchanged(bundle, images, expected):
    np.testing.assert_allclose(Predictor(bundle, "fp32").logits(images), expected, atol=1e-4)
