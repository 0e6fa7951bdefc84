"""The routes for images: predictions, and many requests at once."""

import asyncio
import threading
import time

import numpy as np
import pytest

from dspkd.deploy import Predictor
from dspkd.deploy.bundle import network
from dspkd.deploy.bundle.reader import open_bundle
from dspkd.deploy.serve import occlusion, predict_routes
from dspkd.deploy.serve.limits import Limits
from dspkd.errors import BundleError, DataError
from serving import CLASSES, NOTICE, encoded, lesion, post, talk


def test_predictions_are_those_of_the_predictor(bundle_file, jpeg):
    png = encoded(lesion(3, label="MEL"), "PNG")
    response = post(bundle_file, ("a.jpg", jpeg), ("b.png", png), workers=2)
    assert response.status_code == 200
    content = response.json()
    assert content["notice"] == NOTICE
    assert (content["bundle"], content["precision"]) == (open_bundle(bundle_file).digest, "fp32")
    predictor = Predictor(bundle_file)
    for prediction, name, data in zip(content["predictions"], ("a.jpg", "b.png"), (jpeg, png), strict=True):
        expected = predictor.predict(data)
        assert prediction["file"] == name
        assert prediction["probabilities"] == pytest.approx(dict(expected.probabilities), abs=1e-6)
        assert (prediction["top"], prediction["refer"], prediction["error"]) == (expected.top, expected.refer, None)
        assert {key: prediction[key] for key in expected.advice.to_json()} == expected.advice.to_json()
        assert prediction["confidence"] == max(prediction["probabilities"].values())


def test_an_invalid_file_does_not_affect_the_others(bundle_file, jpeg):
    predictions = post(bundle_file, ("notes.pdf", b"%PDF-1.7"), ("a.jpg", jpeg)).json()["predictions"]
    assert [prediction["error"] for prediction in predictions] == ["not a JPEG, PNG or WebP image", None]
    assert predictions[0]["probabilities"] is None


def test_the_heat_map_is_that_of_the_predictors_probabilities(bundle_file, jpeg):
    predictor = Predictor(bundle_file)
    image = predictor.preprocess(jpeg)
    top = predictor.predict(jpeg).top
    for class_id in (top, "VASC"):
        response = post(
            bundle_file, ("a.jpg", jpeg), path="/heatmap" + (f"?class_id={class_id}" if class_id != top else "")
        )
        content = response.json()
        k = [each["id"] for each in CLASSES].index(class_id)
        assert content["class_id"] == class_id
        assert content["probability"] == pytest.approx(predictor.probabilities(image[None])[0, k])
        np.testing.assert_allclose(content["cells"], occlusion.heat_map(predictor.probabilities, image, k), atol=1e-6)


@pytest.mark.parametrize("error", [BundleError("the network does not run"), DataError("logits are not finite")])
@pytest.mark.parametrize("path", ["/predict", "/heatmap"])
def test_a_network_that_fails_is_an_error_in_words(bundle_file, jpeg, monkeypatch, path, error):
    working = network.logits

    def fail(runtime, images, classes, options=None):
        if options is None:  # a prediction, not the trial at the start
            raise error
        return working(runtime, images, classes, options)

    monkeypatch.setattr(network, "logits", fail)
    response = post(bundle_file, ("a.jpg", jpeg), path=path)
    assert (response.status_code, response.json()["detail"]) == (422, str(error))


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "MPO"])
def test_accepted_formats(bundle_file, form):
    assert post(bundle_file, ("image", encoded(lesion(), form))).status_code == 200


def test_an_unknown_class_is_refused(bundle_file, jpeg):
    response = post(bundle_file, ("a.jpg", jpeg), path="/heatmap?class_id=XYZ")
    assert response.status_code == 422
    assert "'XYZ'; known: MEL, BCC, NV, VASC" in response.json()["detail"]
    response = post(bundle_file, ("a.jpg", jpeg), ("b.jpg", jpeg), path="/heatmap")
    assert response.status_code == 413


def slow(monkeypatch, seconds):
    """Make every prediction take so long; return the list of the threads that computed one."""
    threads, predict = [], predict_routes._predict

    def slowly(*arguments):
        threads.append(threading.current_thread().name)
        time.sleep(seconds)
        return predict(*arguments)

    monkeypatch.setattr(predict_routes, "_predict", slowly)
    return threads


def at_once(bundle_file, data, count, **options):
    async def conversation(client):
        requests = [client.post("/predict", files={"files": ("a.jpg", data)}) for _ in range(count)]
        responses = await asyncio.gather(*requests)
        return responses, await client.post("/predict", files={"files": ("a.jpg", data)})

    return talk(bundle_file, conversation, **options)


def test_requests_beyond_the_limits_are_refused_with_retry_after(bundle_file, jpeg, monkeypatch):
    slow(monkeypatch, 0.2)
    responses, later = at_once(bundle_file, jpeg, 6, limits=Limits(requests=4))
    assert sorted(response.status_code for response in responses) == [200] * 4 + [503] * 2
    assert all(response.headers["retry-after"] == "1" for response in responses if response.status_code == 503)
    responses, _ = at_once(bundle_file, jpeg, 6, limits=Limits(requests_per_client=2))
    assert sorted(response.status_code for response in responses) == [200] * 2 + [429] * 4
    assert all(response.headers["retry-after"] == "1" for response in responses if response.status_code == 429)
    assert later.status_code == 200


def test_images_are_predicted_on_that_many_threads(bundle_file, jpeg, monkeypatch):
    threads = slow(monkeypatch, 0.1)
    started = time.perf_counter()
    responses, _ = at_once(bundle_file, jpeg, 6, workers=3)
    assert [response.status_code for response in responses] == [200] * 6
    assert time.perf_counter() - started >= 0.3  # six on three threads, and one after them
    assert len(set(threads)) <= 3


def test_a_prediction_that_takes_too_long_is_given_up(bundle_file, jpeg, monkeypatch):
    slow(monkeypatch, 0.5)
    (response,), _ = at_once(bundle_file, jpeg, 1, limits=Limits(prediction_seconds=0.1))
    assert (response.status_code, response.headers["retry-after"]) == (503, "1")
    assert "within 0.1 s" in response.text
