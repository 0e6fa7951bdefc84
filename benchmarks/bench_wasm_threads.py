"""Milliseconds of a network in the browser with one and with several WebAssembly threads, taking turns.

    make web && python benchmarks/bench_wasm_threads.py [--student NAME] [--threads 2] [--runs 100] [--rounds 5]

ONNX Runtime's build for browsers, as the page has it, in Chromium. Threads need a page that is isolated from other
origins (headers COOP and COEP), which the benchmark's server sends and most web hosts do not. Each number of threads
has a page of its own, since it is fixed when the runtime starts; in each round every page times as many predictions
after 10 to warm up. Shown are the medians over all rounds, float32 and int8, of the network with initial weights.
"""

from __future__ import annotations

import argparse
import http.server
import shutil
import statistics
import tempfile
import threading
from functools import partial
from pathlib import Path

from bench_latency import make_bundle
from playwright.sync_api import sync_playwright

from dspkd.deploy.bundle.reader import open_bundle

STATIC = Path(__file__).parents[1] / "src/dspkd/deploy/serve/static/vendor"

PAGE = """<!doctype html><script type="module">
import * as ort from "/ort.wasm.bundle.min.js";
ort.env.wasm.numThreads = Number(new URL(location).searchParams.get("threads"));
ort.env.wasm.wasmPaths = {{ wasm: "/ort-wasm-simd-threaded.wasm" }};
const images = Float32Array.from({{ length: 3 * {size} * {size} }}, (_, i) => Math.sin(i));
const sessions = {{}};
window.time = async (network, runs) => {{
  sessions[network] ??= await ort.InferenceSession.create(`/${{network}}.onnx`, {{ executionProviders: ["wasm"] }});
  const times = [];
  for (let run = -10; run < runs; run++) {{
    const started = performance.now();
    await sessions[network].run({{ images: new ort.Tensor("float32", images, [1, 3, {size}, {size}]) }});
    if (run >= 0) times.push(performance.now() - started);
  }}
  return times;
}};
window.ready = self.crossOriginIsolated;
</script>"""


class Isolated(http.server.SimpleHTTPRequestHandler):
    """Serves a folder with the headers that WebAssembly threads need."""

    def end_headers(self):
        self.send_header("Cross-Origin-Opener-Policy", "same-origin")
        self.send_header("Cross-Origin-Embedder-Policy", "require-corp")
        super().end_headers()

    def log_message(self, *_):
        pass


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--student", default="shufflenet_v2_x1_0")
    parser.add_argument("--threads", type=int, nargs="+", default=[2])
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        size = write_files(root, args.student)
        server = http.server.ThreadingHTTPServer(("localhost", 0), partial(Isolated, directory=folder))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        times = measure(f"http://localhost:{server.server_port}", [1, *args.threads], args.runs, args.rounds)
        server.shutdown()
    print(f"{args.student}, {size} px, milliseconds for one image (median), {args.rounds} x {args.runs} runs")
    for network in ("fp32", "int8"):
        medians = {threads: statistics.median(times[network, threads]) for threads in [1, *args.threads]}
        print(
            network, ", ".join(f"{n} threads {value:.1f} ({medians[1] / value:.2f}x)" for n, value in medians.items())
        )


def write_files(root, student):
    """Write the page, the runtime and both networks; return the side of an image."""
    bundle = open_bundle(make_bundle(root / "model.dspkd", student))
    size = bundle.spec.preprocessing.size
    for precision in ("fp32", "int8"):
        (root / f"{precision}.onnx").write_bytes(bundle.read(bundle.spec.models[precision].file))
    for name in ("ort.wasm.bundle.min.js", "ort-wasm-simd-threaded.wasm"):
        shutil.copy(STATIC / name, root)
    (root / "index.html").write_text(PAGE.format(size=size))
    return size


def measure(address, threads, runs, rounds):
    """Return ``{(network, threads): milliseconds}``; the pages take turns."""
    times = {(network, n): [] for network in ("fp32", "int8") for n in threads}
    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        pages = {n: browser.new_page() for n in threads}
        for n, page in pages.items():
            page.goto(f"{address}/?threads={n}")
            page.wait_for_function("window.ready !== undefined")
            assert page.evaluate("window.ready"), "the page is not isolated, so threads would not start"
        for _ in range(rounds):
            for n, page in pages.items():
                for network in ("fp32", "int8"):
                    times[network, n] += page.evaluate("([network, runs]) => time(network, runs)", [network, runs])
        browser.close()
    return times


if __name__ == "__main__":
    main()
