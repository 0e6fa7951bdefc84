"""Token, host names, and the headers of every response."""

import pytest

from dspkd.deploy.serve.security import HEADERS
from serving import get, post, talk


def test_routes_with_bundle_or_image_require_the_token(bundle_file, jpeg):
    async def conversation(client):
        statuses = {}
        for given in (None, "Bearer wrong", "Basic s3cret", "Bearer s3cret ", "bearer s3cret", "Bearer s3crét"):
            headers = {} if given is None else {"Authorization": given.encode("latin-1")}
            responses = [
                await client.get(path, headers=headers) for path in ("/model", "/metrics", "/bundle/spec.json")
            ]
            for path in ("/predict", "/heatmap"):
                responses.append(await client.post(path, files={"files": ("a.jpg", jpeg)}, headers=headers))
            statuses[given] = {response.status_code for response in responses}
            if given is None:
                assert all(response.headers["www-authenticate"] == "Bearer" for response in responses)
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
def test_every_response_has_the_strict_headers(bundle_file, path):
    headers = get(bundle_file, path).headers
    assert {name: headers.get(name) for name in HEADERS} == HEADERS
    assert "cache-control" in headers
    assert "server" not in headers


def test_a_prediction_is_not_cached(bundle_file, jpeg):
    assert post(bundle_file, ("a.jpg", jpeg)).headers["cache-control"] == "no-store"


def test_the_policy_forbids_other_servers_and_inline_code():
    rules = dict(rule.strip().split(" ", 1) for rule in HEADERS["Content-Security-Policy"].split(";"))
    assert rules["default-src"] == "'none'"
    allowed = {source for sources in rules.values() for source in sources.split()}
    assert allowed == {"'none'", "'self'", "'wasm-unsafe-eval'", "blob:"}


def test_an_unknown_host_name_is_refused(bundle_file):
    hosts = ("127.0.0.1", "localhost")
    assert get(bundle_file, "/healthz", hosts=hosts).status_code == 200
    for host in ("evil.example", "a/b", "localhost.evil.example", "x" * 500):
        response = get(bundle_file, "/model", hosts=hosts, headers={"Host": host})
        assert response.status_code == 400
        assert {name: response.headers.get(name) for name in HEADERS} == HEADERS
        detail = response.json()["detail"]
        assert detail.startswith(f"Host '{host[:79]}")
        assert detail.endswith("accepts 127.0.0.1, localhost alone; a proxy in front of it has to send Host: 127.0.0.1")
        assert len(detail) < 250
