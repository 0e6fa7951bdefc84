import json

import pytest

from dspkd.errors import WeightsError
from dspkd.models import hub_folder


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
