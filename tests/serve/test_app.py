"""The server's answers, limits and refusals, in this process."""

import asyncio
import tempfile
import threading
import time

import httpx
import numpy as np
import pytest
from PIL import Image

from dspkd.deploy import Predictor
from dspkd.deploy.bundle import open_bundle
from dspkd.serve import asking, occlusion
from dspkd.serve.app import create
from dspkd.serve.limits import Limits
from dspkd.serve.security import HEADERS
from serving import CLASSES, NOTICE, encoded, lesion


def talk(bundle_file, conversation, **options):
    """Make an application, and let `conversation` speak with it."""

    async def spoken():
        transport = httpx.ASGITransport(create(open_bundle(bundle_file), **options))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return await conversation(client)

    return asyncio.run(spoken())


def post(bundle_file, *files, path="/predict", headers=None, **options):
    fields = [("files", (name, data)) for name, data in files]
    return talk(bundle_file, lambda client: client.post(path, files=fields, headers=headers), **options)


def get(bundle_file, path, *, headers=None, **options):
    return talk(bundle_file, lambda client: client.get(path, headers=headers), **options)


def test_it_answers_what_the_predictor_says(bundle_file, jpeg):
    png = encoded(lesion(3, label="MEL"), "PNG")
    response = post(bundle_file, ("a.jpg", jpeg), ("b.png", png), workers=2)
    assert response.status_code == 200
    said = response.json()
    assert said["notice"] == NOTICE
    assert said["bundle"] == open_bundle(bundle_file).digest
    predictor = Predictor(bundle_file)
    for answer, name, data in zip(said["answers"], ("a.jpg", "b.png"), (jpeg, png), strict=True):
        wanted = predictor.predict(data)
        assert answer["file"] == name
        assert answer["probabilities"] == pytest.approx(dict(wanted.probabilities), abs=1e-6)
        assert (answer["top"], answer["refer"], answer["error"]) == (wanted.top, wanted.refer, None)
        assert answer["confidence"] == max(answer["probabilities"].values())


def test_a_file_that_is_no_picture_does_not_spoil_the_others(bundle_file, jpeg):
    said = post(bundle_file, ("notes.pdf", b"%PDF-1.7"), ("a.jpg", jpeg)).json()["answers"]
    assert [answer["error"] for answer in said] == ["no JPEG, PNG or WebP picture", None]
    assert said[0]["probabilities"] is None


def test_the_heat_map_is_that_of_the_predictors_probabilities(bundle_file, jpeg):
    predictor = Predictor(bundle_file)
    picture = predictor.preprocess(jpeg)
    top = predictor.predict(jpeg).top
    for of in (top, "VASC"):
        response = post(bundle_file, ("a.jpg", jpeg), path="/heatmap" + (f"?of={of}" if of != top else ""))
        said = response.json()
        k = [known["id"] for known in CLASSES].index(of)
        assert said["of"] == of
        assert said["probability"] == pytest.approx(predictor.probabilities(picture[None])[0, k])
        np.testing.assert_allclose(said["cells"], occlusion.heat_map(predictor.probabilities, picture, k), atol=1e-6)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "MPO"])
def test_these_formats_are_read(bundle_file, form):
    assert post(bundle_file, ("picture", encoded(lesion(), form))).status_code == 200


def jpeg_claiming(width, height):
    data = bytearray(encoded(lesion(size=32)))
    at = data.index(b"\xff\xc0")
    data[at + 5 : at + 9] = height.to_bytes(2, "big") + width.to_bytes(2, "big")
    return bytes(data)


@pytest.mark.parametrize(
    ("files", "options", "status", "message"),
    [
        ([("a", b"GIF89a" + bytes(40))], {}, 415, "no JPEG, PNG or WebP picture"),
        ([("a", b"")], {}, 415, "no JPEG, PNG or WebP picture"),
        ([("a", encoded(lesion(size=64), "TIFF"))], {}, 415, "no JPEG, PNG or WebP picture"),
        ([("a", encoded(lesion(size=64))[:900])], {}, 422, "not a readable image: image file is truncated"),
        ([("a", jpeg_claiming(9000, 9000))], {}, 413, "9000 x 9000 pixels are more than the 50,000,000"),
        ([("a", jpeg_claiming(65000, 65000))], {}, 413, "50,000,000 pixels"),
        ([("a", encoded(lesion(size=64)))], {"pixels": 4000}, 413, "64 x 64 pixels are more than the 4,000"),
        ([("a", b"x"), ("b", b"x"), ("c", b"x")], {"files": 2}, 413, "Too many files. Maximum number of files is 2"),
        ([("a", bytes(5000))], {"upload_bytes": 4000}, 413, "bytes are more than the 4,000 accepted"),
        ([("a", bytes(5000))], {"held_bytes": 4000}, 503, "too many uploads at once"),
    ],
)
def test_what_is_too_much_or_no_picture_is_refused(bundle_file, files, options, status, message):
    response = post(bundle_file, *files, limits=Limits(**options))
    assert response.status_code == status
    assert message in response.json()["detail"]
    assert (status == 503) == ("retry-after" in response.headers)


@pytest.mark.parametrize(
    ("body", "content_type", "status", "message"),
    [
        (b"{}", "application/json", 415, "send multipart/form-data"),
        (b"{}", None, 415, "send multipart/form-data"),
        (b"x", "multipart/form-data", 400, "Missing boundary"),
        (b"x", "multipart/form-data; boundary=b", 400, "multipart"),
        (
            b'--b\r\nContent-Disposition: form-data; name="other"; filename="f"\r\n\r\nx\r\n--b--\r\n',
            "",
            422,
            "'files'",
        ),
        (b'--b\r\nContent-Disposition: form-data; name="files"\r\n\r\nx\r\n--b--\r\n', "", 400, "Too many fields"),
        (b"--b\r\nContent-Disposition: form-data\r\n\r\nx\r\n--b--\r\n", "", 400, '"name" must be provided'),
    ],
)
def test_a_body_that_is_not_a_form_with_pictures_is_refused(bundle_file, body, content_type, status, message):
    kind = "multipart/form-data; boundary=b" if content_type == "" else content_type
    headers = {} if kind is None else {"Content-Type": kind}
    response = talk(bundle_file, lambda client: client.post("/predict", content=body, headers=headers))
    assert (response.status_code, message in response.json()["detail"]) == (status, True), response.text


def streamed(data, *, announced=None, wait=0.0):
    """Return the arguments of a POST whose body comes in pieces, without a length unless one is announced."""
    head = b'--b\r\nContent-Disposition: form-data; name="files"; filename="a.jpg"\r\n\r\n'
    whole = head + data + b"\r\n--b--\r\n"

    async def pieces():
        for start in range(0, len(whole), 1000):
            yield whole[start : start + 1000]
            await asyncio.sleep(wait)

    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    return {"content": pieces(), "headers": headers | ({"Content-Length": announced} if announced else {})}


@pytest.mark.parametrize("announced", [None, "10", "-1", "9" * 5])
def test_bytes_are_counted_while_they_come_whatever_was_announced(bundle_file, announced):
    body = streamed(bytes(200_000), announced=announced)
    response = talk(bundle_file, lambda c: c.post("/predict", **body), limits=Limits(upload_bytes=50_000))
    assert response.status_code == 413


def test_a_slow_upload_is_given_up(bundle_file, jpeg):
    response = talk(
        bundle_file, lambda c: c.post("/predict", **streamed(jpeg, wait=0.2)), limits=Limits(upload_seconds=0.3)
    )
    assert (response.status_code, "longer than 0.3 s" in response.text) == (408, True)


def test_no_upload_is_written_to_disk(bundle_file, monkeypatch):
    """A picture of 5 MB: the form parser by itself would spool it into a file from 1 MB."""
    monkeypatch.setattr(tempfile.SpooledTemporaryFile, "rollover", lambda self: pytest.fail("spooled to disk"))
    noise = np.random.default_rng(0).integers(0, 256, (1300, 1300, 3), dtype=np.uint8)
    data = encoded(Image.fromarray(noise), "PNG", compress_level=0)
    assert len(data) > 5_000_000
    assert post(bundle_file, ("a.png", data)).status_code == 200


def slow(monkeypatch, seconds):
    """Make every answer wait so long, and return the list of threads that gave one."""
    threads, answer = [], asking._answer

    def slowly(*arguments):
        threads.append(threading.current_thread().name)
        time.sleep(seconds)
        return answer(*arguments)

    monkeypatch.setattr(asking, "_answer", slowly)
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


def test_pictures_are_looked_at_on_so_many_threads_and_no_more(bundle_file, jpeg, monkeypatch):
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


def test_the_token_is_asked_for_where_the_bundle_or_a_picture_is(bundle_file, jpeg):
    async def conversation(client):
        statuses = {}
        for shown in (None, "Bearer wrong", "Basic s3cret", "Bearer s3cret ", "bearer s3cret", "Bearer s3crét"):
            headers = {} if shown is None else {"Authorization": shown.encode("latin-1")}
            asked = [await client.get(path, headers=headers) for path in ("/model", "/metrics", "/bundle/spec.json")]
            for path in ("/predict", "/heatmap"):
                asked.append(await client.post(path, files={"files": ("a.jpg", jpeg)}, headers=headers))
            statuses[shown] = {answer.status_code for answer in asked}
            if shown is None:
                assert all(answer.headers["www-authenticate"] == "Bearer" for answer in asked)
        open_to_all = [(await client.get(path)).status_code for path in ("/", "/static/page.js", "/healthz")]
        return statuses, open_to_all

    statuses, open_to_all = talk(bundle_file, conversation, token="s3cret")
    assert statuses == {
        None: {401}, "Bearer wrong": {401}, "Basic s3cret": {401}, "Bearer s3cret ": {200}, "bearer s3cret": {200},
        "Bearer s3crét": {401},
    }  # fmt: skip
    assert open_to_all == [200] * 3


@pytest.mark.parametrize(
    "path", ["/", "/healthz", "/model", "/nowhere", "/static/page.css", "/openapi.json", "/metrics"]
)
def test_every_answer_has_the_strict_headers(bundle_file, path):
    headers = get(bundle_file, path).headers
    assert {name: headers.get(name) for name in HEADERS} == HEADERS
    assert "cache-control" in headers
    assert "server" not in headers


def test_what_is_said_of_a_picture_is_not_cached(bundle_file, jpeg):
    assert post(bundle_file, ("a.jpg", jpeg)).headers["cache-control"] == "no-store"


def test_the_policy_allows_nothing_from_elsewhere_and_no_inline_code():
    rules = dict(rule.strip().split(" ", 1) for rule in HEADERS["Content-Security-Policy"].split(";"))
    assert rules["default-src"] == "'none'"
    allowed = {source for sources in rules.values() for source in sources.split()}
    assert allowed == {"'none'", "'self'", "'wasm-unsafe-eval'", "blob:"}


def test_a_strange_name_for_this_machine_is_refused(bundle_file):
    hosts = ("127.0.0.1", "localhost")
    assert get(bundle_file, "/healthz", hosts=hosts).status_code == 200
    assert get(bundle_file, "/model", hosts=hosts, headers={"Host": "evil.example"}).status_code == 400


def test_model_says_which_network_answers(bundle_file):
    said = get(bundle_file, "/model").json()
    assert said["classes"] == CLASSES
    assert said["limits"]["upload_bytes"] == Limits().upload_bytes
    assert (said["name"], said["precision"], said["temperature"], said["refer_below"]) == ("by hand", "fp32", 1.5, 0.4)
    assert said["card"].startswith("---\nlicense")


def test_openapi_describes_pictures_answers_refusals_and_token(bundle_file):
    said = get(bundle_file, "/openapi.json").json()
    asked = said["paths"]["/predict"]["post"]
    schema = asked["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert schema["properties"]["files"]["maxItems"] == Limits().files
    assert set(asked["responses"]) == {"200", "400", "401", "408", "413", "415", "422", "429", "503"}
    assert said["components"]["schemas"]["Answer"]["examples"][0]["top"] == "NV"
    assert said["components"]["securitySchemes"]["Bearer"]["scheme"] == "bearer"
    for path in ("/docs", "/redoc"):  # both would load scripts from elsewhere
        assert get(bundle_file, path).status_code == 404


def test_requests_and_answers_are_counted(bundle_file, jpeg):
    async def conversation(client):
        await client.post("/predict", files=[("files", ("Jane Doe.jpg", jpeg)), ("files", ("b", b"x"))])
        for path in ("/healthz", "/static/one", "/static/other", "/strange", "/stranger"):
            await client.get(path)
        return (await client.get("/metrics")).text

    text = talk(bundle_file, conversation)
    top = Predictor(bundle_file).predict(jpeg)
    assert f'dspkd_pictures_total{{refer="{str(top.refer).lower()}",top="{top.top}"}} 1.0' in text
    for line in (
        'dspkd_requests_total{path="/predict",status="200"} 1.0',
        'dspkd_requests_total{path="/static/{name:path}",status="404"} 2.0',
        'dspkd_requests_total{path="other",status="404"} 2.0',
        "dspkd_pictures_refused_total 1.0",
        "dspkd_picture_seconds_count 1.0",
        "dspkd_requests_inside 0.0",
        "dspkd_upload_bytes_held 0.0",
    ):
        assert line in text
    assert "Jane" not in text


def test_the_page_is_sent_compressed_and_not_twice(bundle_file):
    async def conversation(client):
        plain = await client.get("/static/page.js", headers={"Accept-Encoding": "identity"})
        packed = await client.get("/static/page.js", headers={"Accept-Encoding": "gzip"})
        again = await client.get("/static/page.js", headers={"If-None-Match": plain.headers["etag"]})
        return plain, packed, again

    plain, packed, again = talk(bundle_file, conversation)
    assert "content-encoding" not in plain.headers
    assert packed.headers["content-encoding"] == "gzip"
    assert plain.content == packed.content  # httpx unpacks
    assert int(packed.headers["content-length"]) < len(plain.content) / 2
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize(
    "path", ["/static/../app.py", "/static/%2e%2e/app.py", "/bundle/model.int8.onnx", "/static//etc/passwd"]
)
def test_a_path_is_never_looked_up_on_the_disk(bundle_file, path):
    assert get(bundle_file, path).status_code == 404


def test_an_unknown_class_is_refused(bundle_file, jpeg):
    response = post(bundle_file, ("a.jpg", jpeg), path="/heatmap?of=XYZ")
    assert (response.status_code, response.json()["detail"]) == (
        422, "no class has the id 'XYZ'; they are MEL, NV, BCC, VASC",
    )  # fmt: skip
    response = post(bundle_file, ("a.jpg", jpeg), ("b.jpg", jpeg), path="/heatmap")
    assert response.status_code == 413
