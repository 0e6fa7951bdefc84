"""The routes about the server: network, OpenAPI, metrics."""

import asyncio

import httpx

from dspkd.deploy import Predictor
from dspkd.deploy.bundle.reader import open_bundle
from dspkd.deploy.serve.app import create
from dspkd.deploy.serve.limits import Limits
from serving import CLASSES, get, talk


def test_model_describes_the_network(bundle_file):
    info = get(bundle_file, "/model").json()
    assert info["classes"] == CLASSES
    assert info["limits"]["upload_bytes"] == Limits().upload_bytes
    assert (info["name"], info["precision"], info["temperature"], info["refer_below"]) == ("by hand", "fp32", 1.5, 0.4)
    assert (info["refer_from"], info["refer_from_rule"], len(info["measured"])) == (0.5, "By hand.", 2)
    assert info["card"].startswith("---\nlicense")


def test_openapi_describes_images_responses_errors_and_token(bundle_file):
    api = get(bundle_file, "/openapi.json").json()
    predict = api["paths"]["/predict"]["post"]
    schema = predict["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert schema["properties"]["files"]["maxItems"] == Limits().files
    assert set(predict["responses"]) == {"200", "400", "401", "408", "413", "415", "422", "429", "503"}
    assert api["components"]["schemas"]["PredictionResponse"]["examples"][0]["top"] == "NV"
    assert api["components"]["securitySchemes"]["Bearer"]["scheme"] == "bearer"
    for path in ("/docs", "/redoc"):  # both would load scripts from other servers
        assert get(bundle_file, path).status_code == 404


def test_requests_and_images_are_counted(bundle_file, jpeg):
    async def conversation(client):
        await client.post("/predict", files=[("files", ("Jane Doe.jpg", jpeg)), ("files", ("b", b"x"))])
        for path in ("/healthz", "/static/one", "/static/other", "/strange", "/stranger"):
            await client.get(path)
        return (await client.get("/metrics")).text

    text = talk(bundle_file, conversation)
    top = Predictor(bundle_file).predict(jpeg)
    assert f'dspkd_images_total{{refer="{str(top.refer).lower()}",top="{top.top}"}} 1.0' in text
    for line in (
        'dspkd_requests_total{path="/predict",status="200"} 1.0',
        'dspkd_requests_total{path="/static/{name:path}",status="404"} 2.0',
        'dspkd_requests_total{path="other",status="404"} 2.0',
        "dspkd_images_refused_total 1.0",
        "dspkd_image_seconds_count 1.0",
        "dspkd_requests_inside 0.0",
        "dspkd_upload_bytes_held 0.0",
    ):
        assert line in text
    assert "Jane" not in text


def test_openapi_needs_the_token_and_names_the_prefix(bundle_file):
    headers = {"Authorization": "Bearer s3cret"}
    assert get(bundle_file, "/openapi.json", token="s3cret").status_code == 401
    assert "servers" not in get(bundle_file, "/openapi.json", token="s3cret", headers=headers).json()
    app = create(open_bundle(bundle_file))
    transport = httpx.ASGITransport(app, root_path="/skin")

    async def described():
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost/skin") as client:
            return (await client.get("/openapi.json")).json()

    assert asyncio.run(described())["servers"] == [{"url": "/skin"}]


def test_head_is_get_without_its_body_and_no_address_redirects(bundle_file):
    async def conversation(client):
        for path in ("/", "/healthz", "/model", "/metrics", "/openapi.json", "/static/page.js"):
            head, whole = await client.head(path), await client.get(path)
            assert (head.status_code, head.content) == (200, b""), path
            assert head.headers["content-type"] == whole.headers["content-type"]
        return [(await client.head("/predict")).status_code, (await client.get("/healthz/")).status_code]

    assert talk(bundle_file, conversation) == [405, 404]
