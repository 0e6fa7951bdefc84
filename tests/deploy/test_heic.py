"""Photographs in HEIC, as iPhones write them: a bundle reads what training reads, by path and by content."""

import sys

import numpy as np
import pytest

from command import call
from dspkd.data.decode import decode
from dspkd.data.table import Table
from dspkd.deploy import Predictor
from dspkd.deploy.bundle import preprocess
from dspkd.deploy.export import image_sets
from dspkd.errors import DataError
from serving import lesion, make_bundle, post

heif = pytest.importorskip("pillow_heif", reason="needs pillow-heif: pip install 'dspkd[heic]'")


@pytest.fixture(scope="module")
def bundle_file(tmp_path_factory):
    return make_bundle(tmp_path_factory.mktemp("bundle") / "model.dspkd")


@pytest.fixture(scope="module")
def photograph(tmp_path_factory):
    """A photograph of 96 x 80 pixels as a HEIC file."""
    path = tmp_path_factory.mktemp("heic") / "IMG_1.HEIC"
    heif.from_pillow(lesion(1).crop((0, 0, 96, 80))).save(path, quality=90)
    return path


def test_a_bundle_reads_what_training_reads(photograph, bundle_file):
    trained_on = decode(photograph)
    assert np.abs(trained_on.astype(int) - np.asarray(lesion(1).crop((0, 0, 96, 80)))).mean() < 12
    predictor = Predictor(bundle_file)
    expected = predictor.predict(trained_on).logits
    with photograph.open("rb") as file:
        for form in (photograph, str(photograph), photograph.read_bytes(), file):
            np.testing.assert_array_equal(predictor.predict(form).logits, expected)


def test_images_for_export_may_be_heic(photograph, bundle_file):
    steps = Predictor(bundle_file).bundle.spec.preprocessing
    table = Table(("a", "b"), ("IMG_1",), (photograph,), np.zeros(1, np.int64), ("1",), {}, photograph.parent)
    images = image_sets.read(table, steps).images
    expected = np.rint(preprocess.apply(preprocess.decode(decode(photograph)), steps) * 255)
    np.testing.assert_array_equal(images[0], expected)


def test_without_pillow_heif_the_error_has_the_remedy(photograph, bundle_file, monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    message = "reading HEIC needs pillow-heif: pip install 'dspkd[heic]'"
    _, err = call("predict", bundle_file, photograph, code=1)
    assert f"error: {photograph}: not a readable image: {message}" in err.splitlines()
    with pytest.raises(DataError, match="an image: not a readable image: reading HEIC needs pillow-heif"):
        preprocess.decode(photograph.read_bytes())


def test_a_server_still_refuses_it(photograph, bundle_file):
    response = post(bundle_file, ("IMG_1.HEIC", photograph.read_bytes()))
    assert (response.status_code, "not a JPEG, PNG or WebP image" in response.text) == (415, True)
