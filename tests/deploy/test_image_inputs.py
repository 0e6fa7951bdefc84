"""A Predictor takes open files and torch tensors, and goes to other processes."""

import io
import multiprocessing
import pickle

import numpy as np
import pytest
import torch
from PIL import Image

from dspkd.deploy import Predictor
from dspkd.errors import BundleError, DataError
from serving import encoded, lesion, make_bundle


@pytest.fixture(scope="module")
def bundle_file(tmp_path_factory):
    return make_bundle(tmp_path_factory.mktemp("bundle") / "model.dspkd")


@pytest.fixture(scope="module")
def predictor(bundle_file):
    return Predictor(bundle_file)


def test_open_files_and_tensors_are_the_same_image(predictor, tmp_path):
    pixels = np.asarray(lesion(3))
    path = tmp_path / "a.png"
    Image.fromarray(pixels).save(path)
    expected = predictor.predict(path).logits
    tensor = torch.from_numpy(pixels.transpose(2, 0, 1).copy())
    with path.open("rb") as file:
        forms = [file.read(), io.BytesIO(path.read_bytes()), tensor, tensor.float() / 255, tensor.double() / 255]
    with path.open("rb") as file:
        assert np.array_equal(predictor.predict(file).logits, expected)
    for form in forms:
        assert np.array_equal(predictor.predict(form).logits, expected), type(form)
    assert np.array_equal(predictor.preprocess(tensor), predictor.preprocess(path))


def test_a_tensor_in_bfloat16_is_an_image(predictor):
    tensor = torch.rand(3, 40, 40, generator=torch.Generator().manual_seed(0)).bfloat16()
    assert np.array_equal(predictor.predict(tensor).logits, predictor.predict(tensor.float()).logits)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (torch.zeros(1, 3, 8, 8), r"\[1, 3, 8, 8\]; want \[3, H, W\]"),
        (torch.zeros(8, 8, 3), r"\[8, 8, 3\]; want \[3, H, W\]"),
        (torch.full((3, 8, 8), -2.1), r"from -2\.1 .*before they are normalised"),
        (torch.full((3, 8, 8), float("nan")), "nan"),
        (torch.zeros(3, 8, 8, dtype=torch.int64), "int64"),
        (torch.zeros(3, 0, 8), "want"),
        (io.StringIO("text"), "mode 'rb'"),
    ],
)
def test_what_is_no_image_is_refused_in_words(predictor, image, message):
    with pytest.raises(DataError, match=message):
        predictor.predict(image)


def test_a_predictor_is_used_in_a_process_that_was_spawned(bundle_file, monkeypatch):
    data = encoded(lesion(1))
    monkeypatch.chdir(bundle_file.parent)
    predictor = Predictor(bundle_file.name, threads=2)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert np.array_equal(pool.apply(predictor.predict, (data,)).logits, predictor.predict(data).logits)


def test_a_pickled_predictor_refuses_another_file_in_its_place(tmp_path):
    path = make_bundle(tmp_path / "model.dspkd")
    pickled = pickle.dumps(Predictor(path))
    make_bundle(path, size=16, short_side=20)
    with pytest.raises(BundleError, match=r"does not match the manifest|cannot be read"):
        pickle.loads(pickled)
