"""Compare a bundle's predictions in Chromium, on the device, with the Predictor's, on real images.

    python benchmarks/device_predictions.py model.dspkd ../shared/data/dermoscopy-150 --images 200

Each network of the bundle is run by the page's own modules (they need `make web`). Printed for each network and folder:
the largest difference of a pixel of the network's input (of 255), of a logit and of a probability, the number of
predictions with another class or referral, and the difference to the bundle's other networks, which shows that one
network could not be mistaken for another.
"""

import argparse
import json
import random
import tempfile
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
from playwright.sync_api import sync_playwright

from dspkd.deploy import Predictor
from dspkd.deploy.batch.listing import find_images
from dspkd.deploy.bundle.reader import open_bundle
from dspkd.deploy.serve import web_page

PREDICT = """async () => {
  const { onDevice } = await import("/static/device.js");
  const { decode, preprocess } = await import("/static/image.js");
  const fetchJson = async (name) => (await fetch(`/bundle/${name}.json`)).json();
  const [spec, about] = [await fetchJson("spec"), await fetchJson("about")];
  globalThis.network ??= onDevice(spec, about, () => ({}));
  await globalThis.network.load();
  const results = [];
  for (const file of document.getElementById("probe").files) {
    const prediction = await globalThis.network.predict(file);
    const pixels = preprocess(await decode(file), spec.preprocessing).map((value) => Math.round(255 * value));
    results.push({ ...prediction, pixels: Array.from(pixels) });
  }
  return results;
}"""
PROBE = """() => document.body.append(
  Object.assign(document.createElement("input"), { type: "file", multiple: true, id: "probe" }))"""
BATCH = 25


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


def write_page(bundle, precision, folder):
    """Write the page, as if `precision` were the bundle's default."""
    web_page.write(bundle, folder)
    model = bundle.spec.models[precision].file
    (folder / "bundle" / model).write_bytes(bundle.read(model))
    about = folder / "bundle" / "about.json"
    content = json.loads(about.read_text()) | {
        "model": model,
        "precision": precision,
        "sha256": bundle.files[model].sha256,
    }
    about.write_text(json.dumps(content))
    return folder


def compare(page, files, predictor, others):
    """Return the largest differences (pixel, logit, probability, other networks) and how many predictions differ."""
    largest, differ = np.zeros(4), 0
    for start in range(0, len(files), BATCH):
        some = files[start : start + BATCH]
        page.set_input_files("#probe", [str(file) for file in some])
        for result, file in zip(page.evaluate(PREDICT), some, strict=True):
            expected = predictor.predict(file)
            probabilities = np.array(list(expected.probabilities.values()))
            of_others = [list(other.predict(file).probabilities.values()) for other in others]
            differences = [
                np.rint(predictor.preprocess(file) * 255).ravel() - result["pixels"],
                expected.logits - np.array(result["logits"]),
                probabilities - list(result["probabilities"].values()),
                np.array(of_others) - probabilities if others else np.zeros(1),
            ]
            largest = np.maximum(largest, [np.abs(values).max() for values in differences])
            differ += (result["top"], result["refer"]) != (expected.top, expected.refer)
    return largest, differ


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("bundle", type=Path)
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--images", type=int, default=100, help="of each folder, sampled by --seed")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--chromium", default="/usr/bin/chromium")
    options = parser.parse_args()
    bundle = open_bundle(options.bundle)
    predictors = {precision: Predictor(bundle, precision) for precision in bundle.spec.models}
    print("| network | folder | images | pixel | logit | probability | predictions that differ | other networks |")
    print("|---|---|---|---|---|---|---|---|")
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as scratch:
        browser = playwright.chromium.launch(executable_path=options.chromium, args=["--no-sandbox"])
        for precision, predictor in predictors.items():
            folder = write_page(bundle, precision, Path(scratch) / precision)
            web = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder))
            threading.Thread(target=web.serve_forever, daemon=True).start()
            page = browser.new_page()
            page.goto(f"http://127.0.0.1:{web.server_port}/")
            page.wait_for_selector("body[data-ready]")
            page.evaluate(PROBE)
            others = [other for name, other in predictors.items() if name != precision]
            for folder_of_images in options.folders:
                files = find_images([folder_of_images])
                files = random.Random(options.seed).sample(files, min(options.images, len(files)))
                (pixel, logit, probability, other), differ = compare(page, files, predictor, others)
                cells = [
                    precision,
                    folder_of_images.name,
                    len(files),
                    *(f"{v:.2g}" for v in (pixel, logit, probability)),
                    differ,
                ]
                print("| " + " | ".join(map(str, [*cells, f"{other:.2g}"])) + " |", flush=True)
            web.shutdown()
        print(f"Chromium {browser.version}")


if __name__ == "__main__":
    main()
