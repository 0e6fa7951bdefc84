"""Uploads: too large, too slow, not an image, not a form; and that none reaches the disk."""

import asyncio
import tempfile

import numpy as np
import pytest
from fastapi import HTTPException, Request
from PIL import Image

from dspkd.deploy.serve import uploads
from dspkd.deploy.serve.admission import Admission
from dspkd.deploy.serve.limits import Limits
from serving import encoded, lesion, post, talk


def jpeg_claiming(width, height):
    data = bytearray(encoded(lesion(size=32)))
    at = data.index(b"\xff\xc0")
    data[at + 5 : at + 9] = height.to_bytes(2, "big") + width.to_bytes(2, "big")
    return bytes(data)


@pytest.mark.parametrize(
    ("files", "options", "status", "message"),
    [
        ([("a", b"GIF89a" + bytes(40))], {}, 415, "not a JPEG, PNG or WebP image"),
        ([("a", b"")], {}, 415, "not a JPEG, PNG or WebP image"),
        ([("a", encoded(lesion(size=64), "TIFF"))], {}, 415, "not a JPEG, PNG or WebP image"),
        ([("a", encoded(lesion(size=64))[:900])], {}, 422, "not a readable image: image file is truncated"),
        ([("a", jpeg_claiming(9000, 9000))], {}, 413, "9000 x 9000 pixels are more than 50,000,000"),
        ([("a", jpeg_claiming(65000, 65000))], {}, 413, "50,000,000 pixels"),
        ([("a", encoded(lesion(size=64)))], {"pixels": 4000}, 413, "64 x 64 pixels are more than 4,000"),
        ([("a", b"x"), ("b", b"x"), ("c", b"x")], {"files": 2}, 413, "Too many files. Maximum number of files is 2"),
        ([("a", bytes(5000))], {"upload_bytes": 4000}, 413, "bytes are more than 4,000"),
        ([("a", bytes(5000))], {"bytes_in_flight": 4000}, 503, "too many uploads at once"),
    ],
)
def test_too_large_or_invalid_images_are_refused(bundle_file, files, options, status, message):
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
        (b'--b\r\nContent-Disposition: form-data; name="files"\r\n\r\nx\r\n--b--\r\n', "", 422, "filename="),
        (
            b"--b\r\nContent-Disposition: form-data; name=files; filename*=UTF-8''a\r\n\r\nx\r\n--b--\r\n",
            "",
            422,
            "filename=",
        ),
        (b'--b\r\nContent-Disposition: form-data; name="n"\r\n\r\nx\r\n' * 101 + b"--b--", "", 400, "Too many fields"),
        (b"--b--\r\n", "Multipart/Form-Data; boundary=b", 422, "'files'"),
        (b"--b\r\nContent-Disposition: form-data\r\n\r\nx\r\n--b--\r\n", "", 400, '"name" must be provided'),
    ],
)
def test_a_body_without_a_form_with_images_is_refused(bundle_file, body, content_type, status, message):
    kind = "multipart/form-data; boundary=b" if content_type == "" else content_type
    headers = {} if kind is None else {"Content-Type": kind}
    response = talk(bundle_file, lambda client: client.post("/predict", content=body, headers=headers))
    assert (response.status_code, message in response.json()["detail"]) == (status, True), response.text


@pytest.mark.parametrize("missing", [3, 8, 100])
def test_a_body_that_ends_too_early_loses_no_file_in_silence(bundle_file, jpeg, missing):
    """Its length is as in the header, as a proxy or a client writes it that cuts; the first file is whole."""
    part = b'--b\r\nContent-Disposition: form-data; name="files"; filename="a.jpg"\r\n\r\n' + jpeg + b"\r\n"
    whole = part + part + b"--b--"
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    for body, status in ((whole, 200), (whole[:-missing], 400)):
        response = talk(bundle_file, lambda client, body=body: client.post("/predict", content=body, headers=headers))
        assert response.status_code == status, response.text
    assert "before its last boundary" in response.json()["detail"]


def streamed(data, *, length=None, wait=0.0):
    """Return the arguments of a POST whose body arrives in pieces, with this Content-Length, if any."""
    head = b'--b\r\nContent-Disposition: form-data; name="files"; filename="a.jpg"\r\n\r\n'
    whole = head + data + b"\r\n--b--\r\n"

    async def pieces():
        for start in range(0, len(whole), 1000):
            yield whole[start : start + 1000]
            await asyncio.sleep(wait)

    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    return {"content": pieces(), "headers": headers | ({"Content-Length": length} if length else {})}


@pytest.mark.parametrize("length", [None, "10", "-1", "9" * 5])
def test_bytes_are_counted_while_they_arrive_whatever_the_header(bundle_file, length):
    body = streamed(bytes(200_000), length=length)
    response = talk(bundle_file, lambda c: c.post("/predict", **body), limits=Limits(upload_bytes=50_000))
    assert response.status_code == 413


def test_a_slow_upload_is_given_up(bundle_file, jpeg):
    response = talk(
        bundle_file, lambda c: c.post("/predict", **streamed(jpeg, wait=0.2)), limits=Limits(upload_seconds=0.3)
    )
    assert (response.status_code, "longer than 0.3 s" in response.text) == (408, True)


@pytest.mark.parametrize("error", [ValueError, UnicodeDecodeError, LookupError])
def test_a_parser_error_is_a_client_error(bundle_file, jpeg, monkeypatch, error):
    async def fail(parser):
        raise error(*("utf-8", b"x", 0, 1, "x")[: 5 if error is UnicodeDecodeError else 1])

    monkeypatch.setattr(uploads.MultiPartParser, "parse", fail)
    response = post(bundle_file, ("a.jpg", jpeg))
    assert (response.status_code, response.json()["detail"]) == (400, f"invalid multipart body: {error.__name__}")


def test_an_interrupted_upload_is_an_error():
    async def disconnect():
        return {"type": "http.disconnect"}

    scope = {"type": "http", "headers": [(b"content-type", b"multipart/form-data; boundary=b")]}
    limits = Limits()
    with Admission(limits).admit("a") as slot, pytest.raises(HTTPException) as raised:
        asyncio.run(uploads.read(Request(scope, disconnect), limits, slot))
    assert (raised.value.status_code, raised.value.detail) == (400, "the upload was interrupted")


def test_no_upload_is_written_to_disk(bundle_file, monkeypatch):
    """An image of 5 MB: the form parser by itself would spool it into a file from 1 MB."""
    monkeypatch.setattr(tempfile.SpooledTemporaryFile, "rollover", lambda self: pytest.fail("spooled to disk"))
    noise = np.random.default_rng(0).integers(0, 256, (1300, 1300, 3), dtype=np.uint8)
    data = encoded(Image.fromarray(noise), "PNG", compress_level=0)
    assert len(data) > 5_000_000
    assert post(bundle_file, ("a.png", data)).status_code == 200


def test_fields_of_text_beside_an_image_are_ignored(bundle_file, jpeg):
    def conversation(client):
        return client.post("/predict", files={"files": ("a.jpg", jpeg)}, data={"patient": "7", "site": "arm"})

    assert talk(bundle_file, conversation).status_code == 200


def test_a_file_in_another_field_is_refused_and_not_left_out(bundle_file, jpeg):
    def conversation(client):
        return client.post("/predict", files=[("files", ("a.jpg", jpeg)), ("file", ("b.jpg", jpeg))])

    response = talk(bundle_file, conversation)
    assert response.status_code == 422
    assert "a file is in the field 'file'; send all files as fields named 'files'" in response.json()["detail"]
