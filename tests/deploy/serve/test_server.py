"""`dspkd serve` as a process: start, what it prints, and how it stops."""

import signal
import socket
import subprocess
import sys
import time
from urllib.parse import urlsplit

import httpx
import pytest

from command import refused
from dspkd.deploy.serve.server import _listening as listening
from serving import start_server


def test_sigterm_finishes_what_is_running_and_nothing_was_told_of_images(bundle_file, jpeg):
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
        while httpx.get(f"{address}/healthz").json()["inside"] != 1:
            time.sleep(0.02)
        process.send_signal(signal.SIGTERM)
        refuses = False
        while not refuses:
            try:
                httpx.get(f"{address}/healthz")
                time.sleep(0.02)
            except httpx.TransportError:
                refuses = True
        half.sendall(body[2000:])
        answer = half.makefile("rb").read()
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b'"top"' in answer
    out, err = process.communicate(timeout=30)
    assert process.returncode == -signal.SIGTERM  # as a process that no one has asked to ignore it
    assert "Jane" not in out + err
    assert err == ""


def test_an_address_that_is_taken_is_told_in_one_line(bundle_file):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        assert refused("serve", bundle_file, "--port", port) == (
            f"error: cannot listen on 127.0.0.1:{port}: Address already in use; take another --port or --host"
        )
    assert "cannot listen on no.such.host.invalid:8000" in refused(
        "serve", bundle_file, "--host", "no.such.host.invalid"
    )


@pytest.mark.parametrize("token", ["two words", "tökén", "line\n"])
def test_a_token_that_no_header_can_carry_is_refused(bundle_file, token):
    assert "the token must be printable ASCII without spaces" in refused("serve", bundle_file, "--token", token)


def test_what_is_no_bundle_is_refused_before_anything_listens(tmp_path):
    assert "there is no such file" in refused("serve", tmp_path / "none.dspkd")


def test_the_server_imports_neither_torch_nor_what_trains():
    program = (
        "import sys, dspkd.deploy.serve.server, dspkd.deploy.serve.web_page\n"
        "print(sorted(n for n in sys.modules if n.split('.')[0] in {'torch', 'timm', 'sklearn', 'matplotlib', 'onnx'}"
        " or n.startswith(('dspkd.training', 'dspkd.methods', 'dspkd.models', 'dspkd.runs'))))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_an_answer_does_not_wait_for_the_client_to_confirm_its_head():
    with listening("127.0.0.1", 0) as listener, socket.create_connection(listener.getsockname()):
        accepted, _ = listener.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
