"""What the server tells of itself: its network, its routes, its counts."""

from dspkd.deploy import Predictor
from dspkd.deploy.serve.limits import Limits
from serving import CLASSES, get, talk


def test_model_says_which_network_answers(bundle_file):
    said = get(bundle_file, "/model").json()
    assert said["classes"] == CLASSES
    assert said["limits"]["upload_bytes"] == Limits().upload_bytes
    assert (said["name"], said["precision"], said["temperature"], said["refer_below"]) == ("by hand", "fp32", 1.5, 0.4)
    assert said["card"].startswith("---\nlicense")


def test_openapi_describes_images_answers_refusals_and_token(bundle_file):
    said = get(bundle_file, "/openapi.json").json()
    asked = said["paths"]["/predict"]["post"]
    schema = asked["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert schema["properties"]["files"]["maxItems"] == Limits().files
    assert set(asked["responses"]) == {"200", "400", "401", "408", "413", "415", "422", "429", "503"}
    assert said["components"]["schemas"]["PredictionResponse"]["examples"][0]["top"] == "NV"
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
