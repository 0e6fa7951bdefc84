"""Who may ask, under which name, and what every answer's headers forbid."""

import pytest

from dspkd.deploy.serve.security import HEADERS
from serving import get, post, talk


def test_the_token_is_asked_for_where_the_bundle_or_a_image_is(bundle_file, jpeg):
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


def test_what_is_said_of_a_image_is_not_cached(bundle_file, jpeg):
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
