"""Attacks on `dspkd serve`, each beside a client that behaves; a line for each with what that client saw.

    python benchmarks/attack_serve.py model.dspkd

JPEGs of thousands of scans, idle connections, headers that never end, garbage after a request; then SIGTERM while an
image is decoded. Where a line has other statuses than 200, or the log grew, the attack worked.
"""

import argparse
import contextlib
import io
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

from PIL import Image
from served import multipart, request


def jpeg(scans, size):
    """Return a progressive JPEG, from black to white, whose last scan is there so many times more."""
    file = io.BytesIO()
    Image.linear_gradient("L").resize((size, size)).convert("RGB").save(file, "JPEG", progressive=True)
    data = file.getvalue()
    return data[:-2] + data[data.rindex(b"\xff\xda") : -2] * scans + data[-2:]


def exchange(address, data, seconds):
    """Return the status of the response, "closed" or "none" within some seconds; and how long it took."""
    started = time.perf_counter()
    try:
        with socket.create_connection(address, timeout=seconds) as connection:
            connection.sendall(data)
            head = connection.recv(100)
            status = head.split()[1].decode() if head else "closed"
    except TimeoutError:
        status = "none"
    except OSError:
        status = "closed"
    return status, time.perf_counter() - started


def opened(address, count, sent):
    """Return open connections that have sent this and wait."""
    connections = []
    for _ in range(count):
        with contextlib.suppress(OSError):
            connections.append(socket.create_connection(address, timeout=10))
            connections[-1].sendall(sent)
    return connections


def start(bundle, log):
    """Start a server with its output in a file; return the process and its address."""
    command = [sys.executable, "-m", "dspkd", "serve", str(bundle), "--port", "0", "--workers", "1"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
    where = urlsplit(process.stdout.readline().strip())
    return process, (where.hostname, where.port)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--scans", type=int, default=8000)
    parser.add_argument("--connections", type=int, default=1100)
    parser.add_argument("--wait", type=float, default=60.0, help="Seconds that the client that behaves waits.")
    options = parser.parse_args()
    scans = request(multipart(jpeg(options.scans, 2000)))
    image = request(multipart(jpeg(0, 96)))
    health = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    slow = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nX: "
    garbage = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n\0\0"

    def report(name):
        for kind, data in (("health", health), ("image", image)):
            status, seconds = exchange(address, data, options.wait)
            print(f"{name}: {kind} {status} in {seconds:.1f} s", flush=True)

    with tempfile.TemporaryFile() as log:
        process, address = start(options.bundle, log)
        try:
            report("no attack")
            for name, count, sent in (("idle", options.connections, b""), ("slow headers", options.connections, slow)):
                connections = opened(address, count, sent)
                report(f"{len(connections)} {name} connections")
                for connection in connections:
                    connection.close()
            for _ in range(200):
                exchange(address, garbage, 10)
            report("garbage")
            attack = threading.Thread(target=exchange, args=(address, scans, 600), daemon=True)
            attack.start()
            time.sleep(0.5)
            report(f"JPEG of {len(scans):,} bytes and {options.scans:,} scans")
            print(f"log: {log.seek(0, 2):,} bytes", flush=True)
            started = time.perf_counter()
            process.terminate()
            process.wait(75)
            print(f"SIGTERM: ended after {time.perf_counter() - started:.1f} s")
        finally:
            process.kill()
            process.wait()


if __name__ == "__main__":
    main()
