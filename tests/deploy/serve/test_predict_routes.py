"""The routes that are asked about images: answers, and what happens when many ask at once."""

import asyncio
import threading
import time

import numpy as np
import pytest

from dspkd.deploy import Predictor
from dspkd.deploy.bundle.reader import open_bundle
from dspkd.deploy.serve import occlusion, predict_routes
from dspkd.deploy.serve.limits import Limits
from serving import CLASSES, NOTICE, encoded, lesion, post, talk


def test_it_answers_what_the_predictor_says(bundle_file, jpeg):
    png = encoded(lesion(3, label="MEL"), "PNG")
    response = post(bundle_file, ("a.jpg", jpeg), ("b.png", png), workers=2)
    assert response.status_code == 200
    said = response.json()
    assert said["notice"] == NOTICE
    assert (said["bundle"], said["precision"]) == (open_bundle(bundle_file).digest, "fp32")
    predictor = Predictor(bundle_file)
    for answer, name, data in zip(said["answers"], ("a.jpg", "b.png"), (jpeg, png), strict=True):
        wanted = predictor.predict(data)
        assert answer["file"] == name
        assert answer["probabilities"] == pytest.approx(dict(wanted.probabilities), abs=1e-6)
        assert (answer["top"], answer["refer"], answer["error"]) == (wanted.top, wanted.refer, None)
        assert answer["confidence"] == max(answer["probabilities"].values())


def test_a_file_that_is_no_image_does_not_spoil_the_others(bundle_file, jpeg):
    said = post(bundle_file, ("notes.pdf", b"%PDF-1.7"), ("a.jpg", jpeg)).json()["answers"]
    assert [answer["error"] for answer in said] == ["no JPEG, PNG or WebP image", None]
    assert said[0]["probabilities"] is None


def test_the_heat_map_is_that_of_the_predictors_probabilities(bundle_file, jpeg):
    predictor = Predictor(bundle_file)
    image = predictor.preprocess(jpeg)
    top = predictor.predict(jpeg).top
    for of in (top, "VASC"):
        response = post(bundle_file, ("a.jpg", jpeg), path="/heatmap" + (f"?of={of}" if of != top else ""))
        said = response.json()
        k = [known["id"] for known in CLASSES].index(of)
        assert said["of"] == of
        assert said["probability"] == pytest.approx(predictor.probabilities(image[None])[0, k])
        np.testing.assert_allclose(said["cells"], occlusion.heat_map(predictor.probabilities, image, k), atol=1e-6)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "MPO"])
def test_these_formats_are_read(bundle_file, form):
    assert post(bundle_file, ("image", encoded(lesion(), form))).status_code == 200


def test_an_unknown_class_is_refused(bundle_file, jpeg):
    response = post(bundle_file, ("a.jpg", jpeg), path="/heatmap?of=XYZ")
    assert (response.status_code, response.json()["detail"]) == (
        422, "no class has the id 'XYZ'; they are MEL, NV, BCC, VASC",
    )  # fmt: skip
    response = post(bundle_file, ("a.jpg", jpeg), ("b.jpg", jpeg), path="/heatmap")
    assert response.status_code == 413


def slow(monkeypatch, seconds):
    """Make every answer wait so long, and return the list of threads that gave one."""
    threads, answer = [], predict_routes._answer

    def slowly(*arguments):
        threads.append(threading.current_thread().name)
        time.sleep(seconds)
        return answer(*arguments)

    monkeypatch.setattr(predict_routes, "_answer", slowly)
    return threads


def at_once(bundle_file, data, count, **options):
    async def conversation(client):
        asks = [client.post("/predict", files={"files": ("a.jpg", data)}) for _ in range(count)]
        answers = await asyncio.gather(*asks)
        return answers, await client.post("/predict", files={"files": ("a.jpg", data)})

    return talk(bundle_file, conversation, **options)


def test_who_finds_no_place_is_told_when_to_come_again(bundle_file, jpeg, monkeypatch):
    slow(monkeypatch, 0.2)
    answers, later = at_once(bundle_file, jpeg, 6, limits=Limits(places=4))
    assert sorted(answer.status_code for answer in answers) == [200] * 4 + [503] * 2
    assert all(answer.headers["retry-after"] == "1" for answer in answers if answer.status_code == 503)
    answers, _ = at_once(bundle_file, jpeg, 6, limits=Limits(share=2))
    assert sorted(answer.status_code for answer in answers) == [200] * 2 + [429] * 4
    assert all(answer.headers["retry-after"] == "1" for answer in answers if answer.status_code == 429)
    assert later.status_code == 200


def test_images_are_looked_at_on_so_many_threads_and_no_more(bundle_file, jpeg, monkeypatch):
    threads = slow(monkeypatch, 0.1)
    started = time.perf_counter()
    answers, _ = at_once(bundle_file, jpeg, 6, workers=3)
    assert [answer.status_code for answer in answers] == [200] * 6
    assert time.perf_counter() - started >= 0.3  # six on three threads, and one after them
    assert len(set(threads)) <= 3


def test_an_answer_that_takes_too_long_is_given_up(bundle_file, jpeg, monkeypatch):
    slow(monkeypatch, 0.5)
    (answer,), _ = at_once(bundle_file, jpeg, 1, limits=Limits(answer_seconds=0.1))
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert "no answer within 0.1 s" in answer.text
