"""Hostile bundles against the commands that open them: each must be refused with one line, within 10 s and 1 GB.

    PYTHONPATH=tests python benchmarks/attack_bundles.py

Each line: the attack, then for `verify`, `predict` and `serve` the exit code, seconds of a processor, on the wall, and
the most memory. `none` is an honest bundle. It ends with status 1 where a bundle is neither accepted nor refused with
one line, or a limit is exceeded.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import zlib
from functools import partial
from pathlib import Path
from signal import SIGTERM

import numpy as np
from onnx import helper

from bundles import contents, edited, write
from dspkd.deploy.bundle.golden_cases import GOLDEN
from hostile_networks import external_data, four, of
from serving import encoded, lesion, make_bundle

SECONDS, MEGABYTES = 10, 1000


def endless():
    """Return a network of products that take minutes."""
    weights = {"column": np.ones((2000, 1), np.float32), "row": np.ones((1, 2000), np.float32)}
    before = [
        helper.make_node("ReduceMean", ["images"], ["high"], keepdims=0),
        helper.make_node("Add", ["column", "high"], ["tall"]),
        helper.make_node("MatMul", ["tall", "row"], ["m0"]),
        *(helper.make_node("MatMul", [f"m{n}", "m0"], [f"m{n + 1}"]) for n in range(4000)),
    ]
    return four("m4000", weights, before=before)


def one_product():
    """Return a network with a single product that takes minutes and cannot be stopped."""
    weights = {"column": np.ones((9000, 1), np.float32), "row": np.ones((1, 9000), np.float32)}
    before = [
        helper.make_node("ReduceMean", ["images"], ["high"], keepdims=0),
        helper.make_node("Add", ["column", "high"], ["tall"]),
        helper.make_node("MatMul", ["tall", "row"], ["m0"]),
        helper.make_node("MatMul", ["m0", "m0"], ["m1"]),
    ]
    return four("m1", weights, before=before)


def folded():
    """Return a network whose products ONNX Runtime computes while it reads it, as no pixel takes part."""
    weights = {"column": np.ones((2500, 1), np.float32), "row": np.ones((1, 2500), np.float32)}
    before = [
        helper.make_node("MatMul", ["column", "row"], ["m0"]),
        *(helper.make_node("MatMul", [f"m{n}", "m0"], [f"m{n + 1}"]) for n in range(1000)),
    ]
    return four("m1000", weights, before=before)


def filled(shape):
    """Return a network that fills a tensor of this shape."""
    sides = {"sides": np.int64(shape)}
    return four("large", sides, before=[helper.make_node("ConstantOfShape", ["sides"], ["large"])])


def doubled():
    """Return a network whose tensor is doubled 40 times."""
    before = [helper.make_node("Concat", ["images", "images"], ["d0"], axis=0)]
    before += [helper.make_node("Concat", [f"d{n}", f"d{n}"], [f"d{n + 1}"], axis=0) for n in range(40)]
    return four("d40", before=before)


def tiled():
    return four(
        "t", {"many": np.int64([1, 1, 4000, 4000])}, before=[helper.make_node("Tile", ["images", "many"], ["t"])]
    )


def many_nodes():
    return of([helper.make_node("Relu", [f"r{n}" if n else "images"], [f"r{n + 1}"]) for n in range(19_999)])


NETWORKS = {
    "endless products": endless,
    "one product that cannot be stopped": one_product,
    "products computed while it is read": folded,
    "a tensor of 4 TB": lambda: filled([10**6, 10**6]),
    "a tensor of 8 GB": lambda: filled([2000, 10**6]),
    "a tensor doubled 40 times": doubled,
    "an image tiled to 200 GB": tiled,
    "20,000 nodes": many_nodes,
    "weights outside of the file": lambda: external_data("secret", backwards=True),
}


def attacks(files, folder):
    """Yield the name and the file of each attack."""
    yield "none", write(folder / "none.dspkd", files)
    for number, (name, network) in enumerate(NETWORKS.items()):
        model = network()
        members = files | {"model.fp32.onnx": model}

        yield name, edited(folder / f"network{number}.dspkd", members, "spec.json", partial(fit, len(model)))
    yield "JSON nested 400,000 deep", write(folder / "deep.dspkd", files | {"spec.json": b"[" * 400_000})
    yield "10,000 classes", edited(folder / "classes.dspkd", files, "spec.json", many_classes)
    yield "300 MB of zeros as a model", with_zeros(files, folder / "zeros.dspkd")
    golden = json.loads(files[GOLDEN])
    bomb = files | {"golden/a.png": png_bomb()}
    yield "a golden image of 170 megapixels in 0.5 MB", write(folder / "bomb.dspkd", bomb)
    golden["images"] = ["golden/a.png"] * 100_000
    yield (
        "a golden image named 100,000 times",
        write(folder / "again.dspkd", files | {GOLDEN: json.dumps(golden).encode()}),
    )
    yield "70,000 members", write(folder / "many.dspkd", {f"m{number}": b"" for number in range(70_000)})


def fit(size, spec):
    spec["models"]["fp32"]["bytes"] = size


def many_classes(spec):
    spec["classes"] = [{"id": f"{n}", "name": "a", "meaning": "b"} for n in range(10_000)]


def with_zeros(files, path, size=300_000_000):
    return edited(path, files | {"model.fp32.onnx": bytes(size)}, "spec.json", partial(fit, size))


def png_bomb(side=13_000):
    """Return a PNG of many black pixels."""

    def chunk(kind, data):
        body = kind + data
        return len(data).to_bytes(4, "big") + body + zlib.crc32(body).to_bytes(4, "big")

    header = side.to_bytes(4, "big") * 2 + bytes([8, 2, 0, 0, 0])
    packed, line = zlib.compressobj(), bytes(1 + 3 * side)
    data = b"".join(packed.compress(line) for _ in range(side)) + packed.flush()
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def run(command):
    """Run a command; return its exit code, what it wrote, seconds of a processor and on the wall, and megabytes."""
    with tempfile.TemporaryFile() as out:
        started = time.monotonic()
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT)
        while True:
            found, status, usage = os.wait4(process.pid, os.WNOHANG)
            if found:
                break
            if time.monotonic() - started > 300 or serves(command, out):
                process.terminate()
            time.sleep(0.05)
        out.seek(0)
        text = out.read().decode(errors="replace")
    process.returncode = os.waitstatus_to_exitcode(status)
    seconds = usage.ru_utime + usage.ru_stime
    return process.returncode, text, seconds, time.monotonic() - started, usage.ru_maxrss / 1000


def serves(command, out):
    """Return whether a server has begun to listen, so that it can be stopped."""
    return "serve" in command and b"http://" in os.pread(out.fileno(), 1000, 0)


def main():
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    wrong = []
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        members = contents(make_bundle(folder / "plain.dspkd"))
        logits = np.float32([[0, 1, 2, 3]])
        answers = {"file": "golden/logits.f32", "shape": [1, 4], "tolerance": 0.001, "probabilities": [[0.25] * 4]}
        pictures = {"file": "golden/pictures.f32", "shape": [1, 3, 32, 32]}
        golden = {"images": ["golden/a.png"], "pictures": pictures, "answers": {"fp32": answers}}
        members |= {GOLDEN: json.dumps(golden).encode(), "golden/logits.f32": logits.tobytes()}
        members |= {"golden/a.png": encoded(lesion(), "PNG"), "golden/pictures.f32": bytes(4 * 3 * 32 * 32)}
        (folder / "a.png").write_bytes(members["golden/a.png"])
        for name, path in attacks(members, folder):
            cells = []
            for command in (["verify", path], ["predict", path, folder / "a.png"], ["serve", path, "--port", "0"]):
                code, text, seconds, wall, megabytes = run([sys.executable, "-m", "dspkd", *map(str, command)])
                cells.append(f"{code}, {seconds:.1f} s ({wall:.1f}), {megabytes:.0f} MB")
                accepted = code in (0, -SIGTERM) or (code == 1 and command[0] == "verify")  # which found a fault
                refused = code == 2 and text.splitlines()[-1].startswith("error: ") and text.count("error: ") == 1
                if seconds > SECONDS or megabytes > MEGABYTES or not (accepted or refused):
                    wrong.append(f"{name}, {command[0]}: {text[-300:]}")
            print(f"| {name} | {' | '.join(cells)} |", flush=True)
            path.unlink()
    for line in wrong:
        print(f"WRONG: {line}")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
