import http.server
import threading
import time
from functools import partial

import pytest
import skimage
import timm
import torch
import torchvision
from safetensors.torch import load_file, save_file
from torchvision.transforms.v2.functional import center_crop, resize

from dspkd.errors import WeightsError
from dspkd.models import weights, zoo

HEAD = ("classifier.weight", "classifier.bias")
CONV5 = ("conv5.0.weight", "conv5.1.weight", "conv5.1.bias", "conv5.1.running_mean", "conv5.1.running_var")


@pytest.fixture
def tiny():
    torch.manual_seed(0)
    return zoo.make("tiny", classes=3)


def saved(state, path):
    save_file(state, path) if path.suffix == ".safetensors" else torch.save(state, path)
    return path


def test_without_weights_everything_is_random(tiny):
    assert tiny.loaded.source == "none"
    assert tiny.loaded.count == 0
    assert len(tiny.loaded.fresh) == 6 * 5 + 2
    assert not any("num_batches" in name for name in tiny.loaded.fresh)


@pytest.mark.parametrize("suffix", [".safetensors", ".pt", ".pth"])
def test_a_saved_network_comes_back_whole(tiny, tmp_path, suffix):
    path = saved(tiny.library_state(), tmp_path / f"model{suffix}")
    torch.manual_seed(1)
    back = zoo.make("tiny", classes=3, weights=path)
    assert back.loaded == weights.Loaded(str(path), 32, ())
    for name, tensor in tiny.library_state().items():
        assert torch.equal(back.library_state()[name], tensor), name


def test_a_classifier_of_another_class_count_stays_random(tiny, tmp_path):
    path = saved(tiny.library_state(), tmp_path / "model.safetensors")
    torch.manual_seed(1)
    other = zoo.make("tiny", classes=5)
    head = other.network.fc.weight.clone()
    assert weights.load(other, path) == weights.Loaded(str(path), 30, ("fc.weight", "fc.bias"), 3)
    assert torch.equal(other.network.fc.weight, head)
    assert torch.equal(other.network.stem[0].weight, tiny.network.stem[0].weight)


@pytest.mark.parametrize(
    ("file", "name", "classes", "loaded"),
    [
        ("tf_efficientnet_lite0_in1k", "efficientnet_lite0", 1000, (247, ())),
        ("tf_efficientnet_lite0_in1k", "efficientnet_lite0", 8, (245, HEAD)),
        ("tf_efficientnet_lite2_in1k", "efficientnet_lite2", 8, (320, HEAD)),
        ("mobilenetv2_100_backbone_in1k", "mobilenetv2", 8, (260, HEAD)),
        ("shufflenet_v2_x1_0_coco", "shufflenet_v2_x1_0", 8, (275, (*CONV5, "fc.weight", "fc.bias"))),
    ],
)
def test_real_weights_load_all_but_the_named_tensors(shared, file, name, classes, loaded):
    count, fresh = loaded
    path = shared / "weights" / f"{file}_fp16.safetensors"
    tapped = zoo.make(name, classes=classes, weights=str(path), partial_weights="coco" in file)
    assert (tapped.loaded.count, tapped.loaded.fresh) == (count, fresh)
    state, source = tapped.library_state(), load_file(path)
    assert {t.dtype for key, t in state.items() if "num_batches" not in key} == {torch.float32}
    assert all(torch.equal(state[key], t.float()) for key, t in source.items() if key not in fresh)


def test_real_weights_classify_a_cat(shared):
    """Weights and normalisation fit together: a photo of a cat is classified as one."""
    path = shared / "weights" / "tf_efficientnet_lite0_in1k_fp16.safetensors"
    tapped = zoo.make("efficientnet_lite0", classes=1000, weights=path).eval()
    cat = torch.from_numpy(skimage.data.chelsea()).permute(2, 0, 1)[None] / 255
    with torch.no_grad():
        logits = tapped(center_crop(resize(cat, [224], antialias=True), [224])).logits
    assert 281 <= logits.argmax() <= 285  # the cats of ImageNet


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda s: s | {"neck.2.gain": torch.ones(1)},
            r"'tiny': 1 tensors have no place in this network: neck\.2\.gain",
        ),
        (
            lambda s: s | {f"extra.{n}": torch.ones(1) for n in range(9)},
            r"9 tensors have no place .*extra\.0, extra\.1, extra\.2, extra\.3 and 5 more",
        ),
        (
            lambda s: s | {"stem.0.weight": torch.ones(12, 3, 5, 5)},
            r"stem\.0\.weight is \[12, 3, 5, 5\], .*\[12, 3, 3, 3\]",
        ),
        (lambda s: s | {"stem.1.bias": torch.ones(13)}, r"stem\.1\.bias is \[13\], .*\[12\]"),
        (lambda s: s | {"fc.weight": torch.ones(3, 95)}, r"fc\.weight is \[3, 95\], .*\[3, 96\]"),
        (lambda s: s | {"fc.weight": torch.ones(7, 95)}, r"fc\.weight is \[7, 95\], .*\[3, 96\]"),
        (
            lambda s: {f"{part}.{key}": t for key, t in s.items() for part in ("student", "teacher")},
            r"several networks of this kind, under student\., teacher\.",
        ),
    ],
)
def test_a_file_that_does_not_fit_is_refused(tiny, tmp_path, change, message):
    path = saved(change(tiny.library_state()), tmp_path / "model.pt")
    torch.manual_seed(1)
    other = zoo.make("tiny", classes=3)
    before = {key: t.clone() for key, t in other.library_state().items()}
    with pytest.raises(WeightsError, match=message):
        weights.load(other, path)
    assert all(torch.equal(before[key], t) for key, t in other.library_state().items())


class Pickled:
    pass


@pytest.mark.parametrize(
    ("held", "message"),
    [
        (
            {"epoch": 3, "model": {}, "optimizer": {}},
            r"holds a dict of epoch, model, optimizer, not tensors by name; save",
        ),
        ([torch.ones(1)], r"holds a list, not tensors by name"),
        (Pickled(), r"cannot be read as tensors alone \(Weights only load failed"),
    ],
)
def test_a_pickle_that_is_no_state_dict_is_refused(tiny, tmp_path, held, message):
    with pytest.raises(WeightsError, match=message):
        weights.load(tiny, saved(held, tmp_path / "model.pt"))


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        (
            "model.safetensors",
            b"garbage",
            r"model\.safetensors: cannot be read as tensors alone \(.+\); save a state dict",
        ),
        ("model.pt", b"garbage", r"model\.pt: cannot be read as tensors alone"),
        ("model.pth", b"", r"model\.pth: cannot be read as tensors alone"),
        ("model.h5", b"", r"'\.h5'; accepted are \.safetensors, \.pt"),
        ("model", b"", r"'no suffix'; accepted are \.safetensors"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused(tiny, tmp_path, file, content, message):
    (tmp_path / file).write_bytes(content)
    with pytest.raises(WeightsError, match=message):
        weights.load(tiny, tmp_path / file)


def test_what_was_loaded_is_said_in_one_line(tiny, tmp_path):
    path = saved(tiny.library_state(), tmp_path / "model.safetensors")
    assert str(zoo.make("tiny", classes=5, weights=path).loaded) == (
        f"weights: 30 of 32 tensors from {path} (its classifier is for 3 classes); random: fc.weight, fc.bias"
    )
    assert str(tiny.loaded) == "weights: random"


def test_an_empty_file_is_refused(tiny, tmp_path):
    with pytest.raises(WeightsError, match="not tensors by name"):
        weights.load(tiny, saved({}, tmp_path / "model.pt"))


def test_a_missing_file_is_refused(tiny):
    with pytest.raises(WeightsError, match="weights 'imagenett': no such file, and neither 'none' nor 'imagenet'"):
        weights.load(tiny, "imagenett")


def test_missing_imagenet_weights_are_refused(tiny):
    with pytest.raises(WeightsError, match="model 'tiny' has no ImageNet weights to download; use weights = 'none'"):
        weights.load(tiny, "imagenet")


@pytest.fixture
def server(tmp_path):
    class Hub(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

        def end_headers(self):
            self.send_header("ETag", '"0"')
            self.send_header("X-Repo-Commit", "0" * 40)
            super().end_headers()

    (tmp_path / "served").mkdir()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Hub, directory=tmp_path / "served"))
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield tmp_path / "served", f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def torchvision_url(server, tmp_path, monkeypatch):
    """Points torchvision's download to the local server."""
    folder, address = server

    def fetch(url, **_):
        return torch.hub.load_state_dict_from_url(
            f"{address}/{url.rpartition('/')[2]}", tmp_path / "cache", progress=False
        )

    monkeypatch.setattr(torchvision.models._api, "load_state_dict_from_url", fetch)
    return folder / torchvision.models.ShuffleNet_V2_X1_0_Weights.IMAGENET1K_V1.url.rpartition("/")[2]


def test_torchvisions_imagenet_weights_are_downloaded(torchvision_url):
    torch.manual_seed(2)
    published = torchvision.models.shufflenet_v2_x1_0()
    torch.save(published.state_dict(), torchvision_url)
    tapped = zoo.make("shufflenet_v2_x1_0", classes=8, weights="imagenet")
    assert tapped.loaded == weights.Loaded("imagenet", 280, ("fc.weight", "fc.bias"), 1000)
    assert torch.equal(tapped.network.conv5[0].weight, published.conv5[0].weight)
    whole = zoo.make("shufflenet_v2_x1_0", classes=1000, weights="imagenet")
    assert whole.loaded.fresh == ()
    assert torch.equal(whole.network.fc.weight, published.fc.weight)


def test_a_failed_download_names_the_remedy(torchvision_url):
    with pytest.raises(
        WeightsError,
        match=r"'shufflenet_v2_x1_0' could not be downloaded \(HTTP Error 404.*use weights = 'none' or a file",
    ):
        zoo.make("shufflenet_v2_x1_0", classes=8, weights="imagenet")


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """Points the hub, with an empty cache, to an address; all steps of a download are real."""

    def at(address):
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", address)
        template = address + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", template)

    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    return at


NOBODY = "http://127.0.0.1:9"


@pytest.fixture
def repository(server):
    """The folder from which the hub serves MobileNetV2's weights, and the network that they belong to."""
    folder = server[0] / "timm" / "mobilenetv2_100.ra_in1k" / "resolve" / "main"
    folder.mkdir(parents=True)
    torch.manual_seed(2)
    return folder, timm.create_model("mobilenetv2_100")


def test_timms_imagenet_weights_are_downloaded_once(server, hub, repository):
    folder, published = repository
    save_file(published.state_dict(), folder / "model.safetensors")
    for address in (server[1], NOBODY):  # the second time from the cache
        hub(address)
        tapped = zoo.make("mobilenetv2", classes=8, weights="imagenet")
        assert tapped.loaded == weights.Loaded("imagenet", 260, HEAD, 1000)
        assert torch.equal(tapped.network.conv_head.weight, published.conv_head.weight)


def test_weights_that_the_hub_has_only_as_a_pickle_are_downloaded(server, hub, repository):
    folder, published = repository
    torch.save(published.state_dict(), folder / "pytorch_model.bin")
    hub(server[1])
    assert zoo.make("mobilenetv2", classes=8, weights="imagenet").loaded.count == 260


def test_a_hub_that_cannot_be_reached_fails_fast(hub):
    hub(NOBODY)
    started = time.monotonic()
    with pytest.raises(
        WeightsError, match=r"'mobilenetv2' could not be downloaded \(http://127.*weights = 'none' or a"
    ):
        zoo.make("mobilenetv2", classes=8, weights="imagenet")
    assert time.monotonic() - started < 10  # timm and the hub would try for 47 s


def test_timm_offline_names_the_remedy(hub, monkeypatch):
    hub(NOBODY)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(
        WeightsError, match=r"'mobilenetv2' could not be downloaded \(.*offline mode is enabled.*file of"
    ):
        zoo.make("mobilenetv2", classes=8, weights="imagenet")
