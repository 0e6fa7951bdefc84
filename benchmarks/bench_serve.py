"""Requests a second, latency and memory of `dspkd serve`, from a client on the same machine.

    python benchmarks/bench_serve.py model.dspkd ../shared/data/dermoscopy-224-mini --seconds 10
    python benchmarks/bench_serve.py model.dspkd ../shared/data/dermoscopy-224-mini --soak 100000 --clients 8

Each client sends an image, waits for the response and sends the next, over a persistent connection. The first second
is not counted. 429 and 503 are counted separately: they are responses without a prediction.
"""

import argparse
import asyncio
import time
from collections import Counter
from pathlib import Path

import numpy as np
from served import Client, multipart, request, resident, served


async def load(address, requests, clients, *, seconds=None, count=None, on_progress=lambda done: None):
    """Return (start, duration, status) of each request that `clients` sent."""
    done, began = [], time.perf_counter()

    async def one(number):
        client = Client(address)
        while (seconds is None or time.perf_counter() - began < seconds) and (count is None or len(done) < count):
            started = time.perf_counter()
            status = await client.send(requests[(number + len(done)) % len(requests)])
            done.append((started - began, time.perf_counter() - started, status))
            on_progress(len(done))
        client.close()

    await asyncio.gather(*map(one, range(clients)))
    return done


def row(done, clients, seconds):
    counted = [entry for entry in done if entry[0] >= 1]
    good = np.array([duration for _, duration, status in counted if status == 200]) * 1000
    p50, p95, p99 = np.percentile(good, [50, 95, 99])
    others = Counter(status for *_, status in counted if status != 200)
    print(
        f"| {clients} | {len(good) / (seconds - 1):.0f} | {p50:.1f} | {p95:.1f} | {p99:.1f} | {dict(others) or '-'} |",
        flush=True,
    )


def soak(process, address, requests, clients, count):
    """Send `count` requests, and print the memory from time to time."""
    began = time.perf_counter()

    def on_progress(done):
        if done in {1000, *range(0, count + 1, count // 10)}:
            print(f"| {done:,} | {resident(process.pid):.1f} MB | {time.perf_counter() - began:.0f} s |", flush=True)

    done = asyncio.run(load(address, requests, clients, count=count, on_progress=on_progress))
    print(f"statuses: {dict(Counter(status for *_, status in done))}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("images", type=Path)
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 2, 4, 8, 16, 32, 64])
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--soak", type=int, default=0, metavar="REQUESTS")
    parser.add_argument("--workers", default="2")
    options = parser.parse_args()
    images = sorted(options.images.rglob("*.jpg"))[::7][:50]
    requests = [request(multipart(path.read_bytes())) for path in images]
    with served(options.bundle, "--workers", options.workers) as (process, address):
        asyncio.run(load(address, requests, 1, count=20))
        if options.soak:
            soak(process, address, requests, options.clients[0], options.soak)
            return
        print("| clients | predictions/s | p50 ms | p95 ms | p99 ms | refused |\n|---|---|---|---|---|---|")
        for clients in options.clients:
            row(asyncio.run(load(address, requests, clients, seconds=options.seconds)), clients, options.seconds)
        print(f"resident: {resident(process.pid):.0f} MB")


if __name__ == "__main__":
    main()
