"""`dspkd serve` as a process: start, output, stop."""

import signal
import socket
import subprocess
import sys
import time
from urllib.parse import urlsplit

import httpx
import pytest

from command import call, refused
from dspkd.deploy.serve import server
from dspkd.deploy.serve.server import _addresses as addresses
from dspkd.deploy.serve.server import _listen as listen
from serving import start_server


def test_sigterm_finishes_running_requests_and_nothing_of_images_is_logged(bundle_file, jpeg):
    process, address = start_server(bundle_file, stderr=subprocess.PIPE)
    files = [("files", ("Jane Doe.jpg", jpeg)), ("files", ("Jane Doe.png", b"no image"))]
    assert httpx.post(f"{address}/predict", files=files).status_code == 200
    broken = {"content": b"--x", "headers": {"Content-Type": "multipart/form-data; boundary=b"}}
    assert httpx.post(f"{address}/predict", **broken).status_code == 400
    body = b'--b\r\nContent-Disposition: form-data; name="files"; filename="Jane.jpg"\r\n\r\n' + jpeg + b"\r\n--b--\r\n"
    where = urlsplit(address)
    with socket.create_connection((where.hostname, where.port), timeout=30) as half:
        head = f"POST /predict HTTP/1.1\r\nHost: {where.netloc}\r\nContent-Type: multipart/form-data; boundary=b\r\n"
        half.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body[:2000])
        while httpx.get(f"{address}/healthz").json()["in_flight"] != 1:
            time.sleep(0.02)
        process.send_signal(signal.SIGTERM)
        stopped = False
        while not stopped:
            try:
                httpx.get(f"{address}/healthz")
                time.sleep(0.02)
            except httpx.TransportError:
                stopped = True
        half.sendall(body[2000:])
        response = half.makefile("rb").read()
    assert response.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b'"top"' in response
    out, err = process.communicate(timeout=30)
    assert process.returncode == -signal.SIGTERM  # as of any process with the default handler
    assert "Jane" not in out + err
    assert err == ""


def test_an_address_in_use_is_an_error_of_one_line(bundle_file):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        assert refused("serve", bundle_file, "--port", port) == (
            f"error: cannot listen on 127.0.0.1:{port}: Address already in use; take another --port or --host"
        )
    assert "cannot listen on no.such.host.invalid:8000" in refused(
        "serve", bundle_file, "--host", "no.such.host.invalid"
    )


@pytest.mark.parametrize("token", ["two words", "tökén", "line\n"])
def test_an_invalid_token_is_refused(bundle_file, token):
    assert "the token must be printable ASCII without spaces" in refused("serve", bundle_file, "--token", token)


@pytest.mark.parametrize(("options", "variable"), [(("--token", ""), "s3cret"), (("--token", ""), None), ((), "")])
def test_an_empty_token_is_refused_and_does_not_mean_none(bundle_file, monkeypatch, options, variable):
    monkeypatch.delenv("DSPKD_TOKEN", raising=False)
    if variable is not None:
        monkeypatch.setenv("DSPKD_TOKEN", variable)
    monkeypatch.setattr(server, "run", lambda *_, **given: pytest.fail(f"served with the token {given['token']!r}"))
    error = refused("serve", bundle_file, *options)
    assert error.startswith("error: --token or DSPKD_TOKEN: is empty")
    assert "leave both out" in error


def test_a_token_beside_an_empty_variable_is_used(bundle_file, monkeypatch):
    given = {}
    monkeypatch.setattr(server, "run", lambda *_, **options: given.update(options))
    monkeypatch.setenv("DSPKD_TOKEN", "")
    call("serve", bundle_file, "--token", "s3cret")
    assert given["token"] == "s3cret"
    monkeypatch.delenv("DSPKD_TOKEN")
    call("serve", bundle_file)
    assert given["token"] is None


def test_all_interfaces_are_printed_as_addresses_that_can_be_opened():
    for host, own in (("0.0.0.0", "127.0.0.1"), ("::", "::1")):
        *_, last = found = addresses(host)
        assert last == own
        assert host not in found
    assert addresses("127.0.0.1") == ["127.0.0.1"]
    assert addresses("skin.example.org") == ["skin.example.org"]


def test_a_missing_bundle_is_refused_before_listening(tmp_path):
    assert "there is no such file" in refused("serve", tmp_path / "none.dspkd")


def test_the_server_imports_neither_torch_nor_what_trains():
    program = (
        "import sys, dspkd.deploy.serve.server, dspkd.deploy.serve.web_page\n"
        "print(sorted(n for n in sys.modules if n.split('.')[0] in {'torch', 'timm', 'sklearn', 'matplotlib', 'onnx'}"
        " or n.startswith(('dspkd.training', 'dspkd.methods', 'dspkd.models', 'dspkd.runs'))))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_tcp_nodelay_is_set():
    with listen("127.0.0.1", 0) as listener, socket.create_connection(listener.getsockname()):
        accepted, _ = listener.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
