"""What a bundle's networks say in Chromium, on the device, beside the Predictor on this machine, on real images.

    python benchmarks/device_answers.py model.dspkd ../shared/data/dermoscopy-150 --images 200

Each network of the bundle is run by the page's own modules (they need `make web`). Printed for each network and folder:
the largest difference of a value of the network's image (of 255), of a logit and of a probability, how many answers
have another class or another advice, and by how much the bundle's other networks differ, so that one network could not
pass for another.
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
from dspkd.deploy.batch.csv_sheet import find
from dspkd.deploy.bundle.reader import open_bundle
from dspkd.deploy.serve import web_page

ASK = """async () => {
  const { onDevice } = await import("/static/device.js");
  const { decode, image } = await import("/static/picture.js");
  const fetched = async (name) => (await fetch(`/bundle/${name}.json`)).json();
  const [spec, about] = [await fetched("spec"), await fetched("about")];
  globalThis.network ??= onDevice(spec, about, () => ({}));
  await globalThis.network.ready();
  const said = [];
  for (const file of document.getElementById("probe").files) {
    const answer = await globalThis.network.answer(file);
    const pixels = image(await decode(file), spec.preprocessing).map((value) => Math.round(255 * value));
    said.push({ ...answer, pixels: Array.from(pixels) });
  }
  return said;
}"""
PROBE = """() => document.body.append(
  Object.assign(document.createElement("input"), { type: "file", multiple: true, id: "probe" }))"""
AT_ONCE = 25


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


def written(bundle, precision, folder):
    """Write the page, as if `precision` were the bundle's default."""
    web_page.write(bundle, folder)
    model = bundle.spec.models[precision].file
    (folder / "bundle" / model).write_bytes(bundle.read(model))
    about = folder / "bundle" / "about.json"
    told = json.loads(about.read_text()) | {
        "model": model,
        "precision": precision,
        "sha256": bundle.files[model].sha256,
    }
    about.write_text(json.dumps(told))
    return folder


def compared(page, files, predictor, others):
    """Return the largest differences: image, logit, probability, other networks; and how many answers differ."""
    far, differ = np.zeros(4), 0
    for start in range(0, len(files), AT_ONCE):
        some = files[start : start + AT_ONCE]
        page.set_input_files("#probe", [str(file) for file in some])
        for said, file in zip(page.evaluate(ASK), some, strict=True):
            wanted = predictor.predict(file)
            shares = np.array(list(wanted.probabilities.values()))
            elsewhere = [list(other.predict(file).probabilities.values()) for other in others]
            apart = [
                np.rint(predictor.preprocess(file) * 255).ravel() - said["pixels"],
                wanted.logits - np.array(said["logits"]),
                shares - list(said["probabilities"].values()),
                np.array(elsewhere) - shares if others else np.zeros(1),
            ]
            far = np.maximum(far, [np.abs(values).max() for values in apart])
            differ += (said["top"], said["refer"]) != (wanted.top, wanted.refer)
    return far, differ


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("bundle", type=Path)
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--images", type=int, default=100, help="of each folder, drawn by --seed")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--chromium", default="/usr/bin/chromium")
    options = parser.parse_args()
    bundle = open_bundle(options.bundle)
    asked = {precision: Predictor(bundle, precision) for precision in bundle.spec.models}
    print("| network | images | images | pixel | logit | probability | other answers | other networks |")
    print("|---|---|---|---|---|---|---|---|")
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as scratch:
        browser = playwright.chromium.launch(executable_path=options.chromium, args=["--no-sandbox"])
        for precision, predictor in asked.items():
            folder = written(bundle, precision, Path(scratch) / precision)
            web = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder))
            threading.Thread(target=web.serve_forever, daemon=True).start()
            page = browser.new_page()
            page.goto(f"http://127.0.0.1:{web.server_port}/")
            page.wait_for_selector("body[data-ready]")
            page.evaluate(PROBE)
            others = [other for name, other in asked.items() if name != precision]
            for images in options.folders:
                files = find([images])
                files = random.Random(options.seed).sample(files, min(options.images, len(files)))
                (pixel, logit, share, other), differ = compared(page, files, predictor, others)
                cells = [precision, images.name, len(files), *(f"{v:.2g}" for v in (pixel, logit, share)), differ]
                print("| " + " | ".join(map(str, [*cells, f"{other:.2g}"])) + " |", flush=True)
            web.shutdown()
        print(f"Chromium {browser.version}")


if __name__ == "__main__":
    main()
