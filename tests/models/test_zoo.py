import difflib
from functools import cache
from pathlib import Path

import pytest
import timm
import torch

from dspkd.errors import RecipeError
from dspkd.models import markdown as page
from dspkd.models import zoo
from dspkd.models.entries import ENTRIES

# Parameters at 1000, 8 and 6 classes, and channels at strides 4, 8, 16, 32 and last, as the libraries' networks have.
PUBLISHED = {
    "res2net101": ((45_206_688, 43_174_080, 43_169_982), (256, 512, 1024, 2048, 2048)),
    "convnext_base": ((88_591_464, 87_574_664, 87_572_614), (128, 256, 512, 1024, 1024)),
    "efficientnet_b4": ((19_341_616, 17_562_960, 17_559_374), (32, 56, 160, 448, 1792)),
    "efficientnet_b0": ((5_288_548, 4_017_796, 4_015_234), (24, 40, 112, 320, 1280)),
    "mobilenetv2": ((3_504_872, 2_234_120, 2_231_558), (24, 32, 96, 320, 1280)),
    "shufflenet_v2_x1_0": ((2_278_604, 1_261_804, 1_259_754), (24, 116, 232, 464, 1024)),
    "shufflenet_v1_x1_0": ((1_865_728, 912_416, 910_494), (24, 240, 480, 960, 960)),
    "wide_shufflenet": ((3_092_512, 1_758_272, 1_755_582), (24, 336, 672, 1344, 1344)),
    "resnet50": ((25_557_032, 23_524_424, 23_520_326), (256, 512, 1024, 2048, 2048)),
    "resnet18": ((11_689_512, 11_180_616, 11_179_590), (64, 128, 256, 512, 512)),
    "efficientnet_lite0": ((4_652_008, 3_381_256, 3_378_694), (24, 40, 112, 320, 1280)),
    "efficientnet_lite2": ((6_092_072, 4_821_320, 4_818_758), (24, 48, 120, 352, 1280)),
}
TAPS = ("stride4", "stride8", "stride16", "stride32", "last")


@cache
def on_meta(name, classes=8):
    with torch.device("meta"):
        return zoo.make(name, classes=classes).eval()


@cache
def rows():
    built = {name: on_meta(name) for name in zoo.names()}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(zoo, "_build", lambda name, classes: built[name])  # they take seconds
        return {row.name: row for row in zoo.describe()}


def test_the_description_builds_its_own_networks(monkeypatch):
    described = rows()["shufflenet_v1_x1_0"]
    monkeypatch.setattr(zoo, "ENTRIES", {described.name: ENTRIES[described.name]})
    assert zoo.describe() == [described]


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameters_are_as_published(name):
    at_1000, at_8, at_6 = PUBLISHED[name][0]
    assert sum(p.numel() for p in on_meta(name).parameters()) == at_8
    assert rows()[name].parameters == {1000: at_1000, 8: at_8, 6: at_6}


@pytest.mark.parametrize(
    ("name", "classes"), [("mobilenetv2", 1000), ("shufflenet_v1_x1_0", 6), ("shufflenet_v2_x1_0", 1000)]
)
def test_only_the_classifier_depends_on_the_class_count(name, classes):
    assert sum(p.numel() for p in on_meta(name, classes).parameters()) == rows()[name].parameters[classes]


@pytest.mark.parametrize("name", PUBLISHED)
def test_maps_at_224_px_are_as_published(name):
    tapped = on_meta(name)
    with torch.no_grad():
        maps = tapped(torch.empty(2, 3, 224, 224, device="meta")).maps
    sides = (56, 28, 14, 7, 7)
    want = {tap: (2, c, side, side) for tap, c, side in zip(TAPS, PUBLISHED[name][1], sides, strict=True)}
    assert {tap: tuple(m.shape) for tap, m in maps.items()} == want
    assert tapped.spec.channels == {tap: shape[1] for tap, shape in want.items()}


def test_every_network_of_ours_is_published_above_or_for_tests():
    assert set(zoo.names()) == {*PUBLISHED, "tiny", "tiny_wide"}


def test_the_description_has_a_row_for_each_network():
    assert list(rows()) == zoo.names()
    for name, (_, channels) in PUBLISHED.items():
        assert (rows()[name].stride32, rows()[name].last) == channels[-2:]
        assert (rows()[name].library, rows()[name].key) == (ENTRIES[name].library, ENTRIES[name].key)


# The paper's figures, the class count of its parameters, and convolutions and products at that count in billions.
PAPER = {
    "res2net101": (43.174, 8.102, 8, 8.065),
    "convnext_base": (87.575, 15.383, 8, 15.354),
    "efficientnet_b4": (19.342, 1.543, 1000, 1.504),
    "shufflenet_v1_x1_0": (0.912, 0.143, 8, 0.137),
    "shufflenet_v2_x1_0": (1.262, 0.148, 8, 0.144),
    "efficientnet_b0": (5.289, 0.4, 1000, 0.386),
    "mobilenetv2": (3.505, 0.313, 1000, 0.301),
}


@pytest.mark.parametrize("name", PAPER)
def test_the_papers_sizes_come_out_as_printed(name):
    millions, gmacs, classes, products = PAPER[name]
    row = rows()[name]
    assert (row.paper_millions, row.paper_gmacs, row.paper_classes) == (millions, gmacs, classes)
    assert round(row.parameters[classes] / 1e6, 3) == millions
    assert round(row.macs.backbone / 1e9, 3) == gmacs
    assert round(row.macs.whole(classes) / 1e9, 3) == products


def test_other_networks_have_no_figures_of_the_paper_but_the_stand_in_its_parameters():
    assert {name for name, row in rows().items() if row.paper_gmacs} == set(PAPER)
    assert {name for name, row in rows().items() if row.paper_classes} == {*PAPER, "wide_shufflenet"}
    assert (rows()["wide_shufflenet"].paper_millions, rows()["wide_shufflenet"].paper_classes) == (1.8, 8)
    assert "stand-in" in rows()["wide_shufflenet"].note


def test_the_figures_are_those_of_the_papers_table(shared):
    (paper,) = (shared / "paper").glob("*.txt")
    called = {"Res2Net101": "res2net101", "ConvNeXt": "convnext_base", "EfficientNet-B4": "efficientnet_b4",
              "ShuffleNetV1": "shufflenet_v1_x1_0", "ShuffleNetV2": "shufflenet_v2_x1_0",
              "EfficientNet-B0": "efficientnet_b0", "MobileNetV2": "mobilenetv2"}  # fmt: skip
    lines = [line.split(" | ") for line in paper.read_text(encoding="utf-8").splitlines()]
    printed = {
        called[line[0]]: (float(line[1]), float(line[2])) for line in lines if len(line) == 11 and line[0] in called
    }
    assert printed == {name: figures[:2] for name, figures in PAPER.items()}


def test_resnet_50_has_the_macs_that_are_known():
    assert round(rows()["resnet50"].macs.whole(1000) / 1e9, 2) == 4.09
    assert round(rows()["resnet18"].macs.whole(1000) / 1e9, 2) == 1.81


def test_the_committed_page_is_up_to_date():
    committed = Path(__file__).parents[2] / "docs" / "models.md"
    assert committed.read_text(encoding="utf-8") == page.markdown(list(rows().values()))


@pytest.mark.parametrize("name", ["efficientnet_lite0", "mobilenetv2", "shufflenet_v2_x1_0", "tiny"])
def test_lite_networks_expect_pixels_in_minus_one_to_one_and_others_imagenets_mean_and_std(name):
    tapped = zoo.make(name, classes=2)
    mean, std = ([0.5] * 3, [0.5] * 3) if "lite" in name else ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    torch.testing.assert_close(tapped.mean.flatten(), torch.tensor(mean))
    torch.testing.assert_close(tapped.std.flatten(), torch.tensor(std))


def test_timm_agrees_for_every_key():
    means = {n: timm.get_pretrained_cfg(e.key).mean for n, e in ENTRIES.items() if e.library == "timm"}
    assert {n for n, mean in means.items() if mean == (0.5, 0.5, 0.5)} == {"efficientnet_lite0", "efficientnet_lite2"}
    assert set(means.values()) == {(0.5, 0.5, 0.5), (0.485, 0.456, 0.406)}


def test_timms_keys_carry_the_tag_of_imagenet_1k_weights():
    keys = [entry.key for entry in ENTRIES.values() if entry.library == "timm"]
    assert keys
    assert set(keys) <= set(timm.list_pretrained())
    assert all(timm.get_pretrained_cfg(key).num_classes == 1000 for key in keys)
    assert not any("in22k" in key or "in12k" in key for key in keys)


def test_batch_normalisation_averages_over_about_ten_batches_in_the_lite_networks_too():
    norms = [m for m in on_meta("efficientnet_lite0").modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert {(norm.momentum, norm.eps) for norm in norms} == {(0.1, 1e-3)}


@pytest.mark.parametrize(
    ("name", "taps", "channels"),
    [
        ("mobilenetv3_small_050", {"stride4", "stride8", "stride16", "stride32", "last"}, {"last": 288}),
        ("vit_tiny_patch16_224", {"stride16", "last"}, {"stride16": 192, "last": 192}),
        ("swin_tiny_patch4_window7_224", {*TAPS}, {"stride4": 96, "last": 768}),
        ("resnest14d", {*TAPS}, {"last": 2048}),  # normalises 1 x 1 maps: its dry run needs evaluation
        ("resnet18.tv_in1k", {*TAPS}, {"last": 512}),
    ],
)
def test_any_network_of_timm_is_made_by_its_own_name(name, taps, channels):
    tapped = on_meta(name, classes=5)
    assert tapped.name == name
    assert tapped.spec.classes == 5
    assert set(tapped.spec.channels) == taps
    assert {tap: tapped.spec.channels[tap] for tap in channels} == channels


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("shuflenet_v2_x1_0", r"no model is called 'shuflenet_v2_x1_0'; did you mean 'shufflenet_v2_x1_0'\?"),
        ("vit_tiny_patch16_223", r"did you mean 'vit_tiny_patch16_224'"),
        ("%%%", r"no model is called '%%%'; known: convnext_base, .*timm's"),
        ("resnet18.nope", r"model 'resnet18.nope': timm: Invalid pretrained tag .*resnet18\.a1_in1k"),
        ("levit_128", r"'levit_128' cannot be tapped: its classifier is a tuple, not one linear layer"),
        ("volo_d1_224", r"'volo_d1_224' cannot be tapped: an auxiliary head adds to its logits"),
        ("coat_tiny", r"'coat_tiny' cannot be tapped: its dry run failed: .*list"),
    ],
)
def test_a_name_that_cannot_be_made_is_refused(name, message):
    with torch.device("meta"), pytest.raises(RecipeError, match=message):
        zoo.make(name, classes=2)


def test_a_network_of_timm_without_intermediate_maps_is_refused(monkeypatch):
    monkeypatch.delattr(timm.models.ResNet, "forward_intermediates")
    with (
        torch.device("meta"),
        pytest.raises(RecipeError, match="'resnet18' cannot be tapped: timm offers no forward_int"),
    ):
        zoo.make("resnet18", classes=2)


def test_one_class_is_refused():
    with pytest.raises(RecipeError, match="model 'tiny': 1 classes; at least 2"):
        zoo.make("tiny", classes=1)


def test_a_friendly_name_is_not_far_from_its_key():
    for name, entry in ENTRIES.items():
        assert difflib.SequenceMatcher(None, name, entry.key).ratio() > 0.6
