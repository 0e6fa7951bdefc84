"""The page's files, served from memory."""

import pytest

from serving import get, talk


def test_the_page_is_compressed_and_cached_by_etag(bundle_file):
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
