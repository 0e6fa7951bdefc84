"""What a folder of the Hugging Face hub says of its network, and that nothing is loaded that contradicts it."""

import json

import pytest
import torch
from safetensors.torch import save_file

from dspkd.errors import RecipeError, WeightsError
from dspkd.experiments.own_images import networks
from dspkd.models import hub_folder, zoo
from dspkd.runs import as_it_is


@pytest.fixture
def folder(tmp_path):
    def written(config):
        (tmp_path / "config.json").write_text(config if isinstance(config, str) else json.dumps(config))
        return tmp_path

    return written


@pytest.mark.parametrize(
    ("config", "names"),
    [
        ({"architecture": "resnet18", "label_names": ["NV", "MEL"]}, ("NV", "MEL")),
        ({"pretrained_cfg": {"label_names": ["NV", "MEL"]}}, ("NV", "MEL")),
        ({"id2label": {"10": "z", "9": "y", "0": "x"}}, ("x", "y", "z")),
        ({"id2label": {"0": "LABEL_0", "1": "LABEL_1"}}, ()),
        ({"architecture": "resnet18"}, ()),
        ([], ()),
    ],
)
def test_classes_are_in_the_order_of_the_logits(folder, config, names):
    assert hub_folder.class_names(folder(config)) == names


def test_a_folder_without_it_says_nothing(tmp_path):
    assert (hub_folder.architecture(tmp_path), hub_folder.class_names(tmp_path)) == ("", ())


def test_a_damaged_file_is_named(folder):
    with pytest.raises(WeightsError, match=r"config\.json: not JSON"):
        hub_folder.architecture(folder('{"architecture": '))


HALF = {"mean": [0.5] * 3, "std": [0.5] * 3}
IMAGENET = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}


@pytest.fixture
def save(tmp_path):
    """Write random weights of a network, and the files beside them; return the folder."""

    def written(name, config, preprocessor=None, wrapped=False):
        torch.manual_seed(0)
        state = zoo.make(name, classes=3).library_state()
        if wrapped:
            torch.save({"state_dict": state}, tmp_path / "pytorch_model.bin")
        else:
            save_file(state, tmp_path / "model.safetensors")
        (tmp_path / "config.json").write_text(json.dumps(config))
        if preprocessor:
            (tmp_path / "preprocessor_config.json").write_text(json.dumps(preprocessor))
        return tmp_path

    return written


def weights_in(folder):
    """Return the ways to name them: the folder and the file."""
    (file,) = (path for path in folder.iterdir() if path.suffix != ".json")
    return folder, file


@pytest.mark.parametrize(
    ("config", "preprocessor"),
    [
        ({"architecture": "mobilenetv3_small_050", "pretrained_cfg": HALF}, None),
        ({"architecture": "mobilenetv3_small_050", **HALF}, None),
        ({"model_type": "resnet"}, {"image_mean": HALF["mean"], "image_std": HALF["std"]}),
        ({"pretrained_cfg": {**IMAGENET, "std": [0.5] * 3}}, None),
    ],
)
@pytest.mark.parametrize("wrapped", [False, True])
def test_weights_for_another_normalisation_are_refused(save, config, preprocessor, wrapped):
    for weights in weights_in(save("mobilenetv3_small_050", config, preprocessor, wrapped)):
        with pytest.raises(
            WeightsError, match=r"deviation 0\.5 0\.5 0\.5, but mobilenetv3_small_050 .*0\.229.*save the tensors alone"
        ) as error:
            zoo.make("mobilenetv3_small_050", classes=3, weights=weights)
        assert str(weights) in str(error.value)


def test_the_tag_of_timm_that_has_the_normalisation_is_named_and_loads(save):
    folder = save("vit_small_patch16_224", {"architecture": "vit_small_patch16_224", "pretrained_cfg": IMAGENET})
    with pytest.raises(WeightsError, match=r"name the network vit_small_patch16_224\.dino, which fits"):
        zoo.make("vit_small_patch16_224", classes=3, weights=folder)
    fitting = zoo.make("vit_small_patch16_224.dino", classes=3, weights=folder)
    assert fitting.mean.flatten().tolist() == pytest.approx(IMAGENET["mean"])


@pytest.mark.parametrize(
    ("name", "config"),
    [
        ("resnet18", {"pretrained_cfg": {**IMAGENET, "mean": [0.48500001430511475, 0.456, 0.406]}}),
        ("mobilenetv2", {"architecture": "mobilenetv2_100"}),
        ("resnet18", {"architecture": "resnet18.a1_in1k"}),
        ("tiny", {"architecture": "tiny", "pretrained_cfg": None}),
        ("torchvision:resnet18", {"architecture": "resnet18", "library": "torchvision"}),
        ("resnet18", {"pretrained_cfg": {"mean": 0.5, "std": "?"}}),
    ],
)  # fmt: skip
def test_a_folder_that_agrees_or_says_nothing_is_loaded(save, name, config):
    for weights in weights_in(save(name, config)):
        assert zoo.make(name, classes=3, weights=weights).loaded.fresh == ()


def test_weights_of_another_network_are_refused_though_all_tensors_fit(save):
    folder = save("tf_efficientnet_b0", {"architecture": "tf_efficientnet_b0"})
    for weights in weights_in(folder):
        with pytest.raises(WeightsError, match="tf_efficientnet_b0, not of efficientnet_b0; name the network tf_eff"):
            zoo.make("efficientnet_b0", classes=3, weights=weights)
        with pytest.raises(RecipeError, match=r"--teacher: .*tf_efficientnet_b0, not of efficientnet_b0"):
            networks.named(f"efficientnet_b0={weights}", 3, option="--teacher")
        assert networks.named(str(weights), 3, option="--teacher").name == "tf_efficientnet_b0"


@pytest.mark.parametrize("wrapped", [False, True])
def test_other_classes_are_found_in_wrapped_checkpoints_and_beside_a_file(save, wrapped):
    folder = save("tiny", {"architecture": "tiny", "label_names": ["NV", "MEL", "BCC"]}, wrapped=wrapped)
    for weights in weights_in(folder):
        network = zoo.make("tiny", classes=3, weights=weights)
        with pytest.raises(
            WeightsError, match="has the classes NV, MEL, BCC, and the data BCC, MEL, NV: another order"
        ):
            as_it_is.require_classifier(network, ("BCC", "MEL", "NV"))
        as_it_is.require_classifier(network, ("NV", "MEL", "BCC"))


def of_a_run(path, name):
    """Write weights of a network as a run does."""
    torch.manual_seed(0)
    network = zoo.make(name, classes=3)
    save_file(network.library_state(), path, metadata=hub_folder.metadata(network))
    return path


def test_weights_of_a_run_are_refused_by_a_network_that_only_has_the_same_tensors(tmp_path):
    weights = of_a_run(tmp_path / "model.safetensors", "tf_efficientnet_b0")
    for named in (weights, tmp_path):
        with pytest.raises(WeightsError, match=r"run that trained tf_efficientnet_b0, not efficientnet_b0; name the"):
            zoo.make("efficientnet_b0", classes=3, weights=named)
    assert zoo.make("tf_efficientnet_b0", classes=3, weights=weights).loaded.fresh == ()
    assert networks.named(str(weights), 3, option="--teacher").name == "tf_efficientnet_b0"


def test_weights_of_a_run_are_refused_by_a_network_with_another_normalisation(tmp_path):
    weights = of_a_run(tmp_path / "vit.safetensors", "vit_small_patch16_224.dino")
    with pytest.raises(WeightsError, match=r"0\.485 .* but vit_small_patch16_224 normalises with mean 0\.5"):
        zoo.make("vit_small_patch16_224", classes=3, weights=weights)


@pytest.mark.parametrize("name", ["mobilenetv2_100", "mobilenetv2_100.ra_in1k", "mobilenetv2"])
def test_weights_of_a_run_load_under_each_name_of_the_network(tmp_path, name):
    weights = of_a_run(tmp_path / "model.safetensors", "mobilenetv2")
    assert zoo.make(name, classes=3, weights=weights).loaded.fresh == ()


def test_metadata_of_another_program_say_nothing(tmp_path):
    weights = tmp_path / "w.safetensors"
    save_file(
        zoo.make("tiny", classes=3).library_state(), weights, metadata={"mean": "?", "std": "0.5", "format": "pt"}
    )
    assert zoo.make("tiny", classes=3, weights=weights).loaded.fresh == ()
