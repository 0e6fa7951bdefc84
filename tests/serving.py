"""A bundle made by hand, images, and a server: in this process, or in one of its own."""

import asyncio
import io
import os
import subprocess
import sys

import httpx
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from dspkd.data.synthetic.photo import paint
from dspkd.deploy.bundle.reader import open_bundle
from dspkd.deploy.bundle.spec import Preprocessing, describe
from dspkd.deploy.bundle.writer import as_json, pack
from dspkd.deploy.serve.app import create

CLASSES = [
    {"id": "MEL", "name": "Melanoma", "meaning": "A cancer of pigment cells.", "malignancy": "malignant"},
    {
        "id": "BCC",
        "name": "Basal cell carcinoma",
        "meaning": "A cancer that grows slowly and seldom spreads.",
        "malignancy": "malignant",
    },
    {
        "id": "NV",
        "name": "Melanocytic naevus",
        "meaning": "A mole: a benign growth of pigment cells.",
        "malignancy": "benign",
    },
    {"id": "VASC", "name": "Vascular lesion", "meaning": "A benign growth of blood vessels.", "malignancy": "benign"},
]
CARD = """---
license: apache-2.0
---
# Model card

A network of **random weights**, *not trained*, with `code` and a [link](https://example.org/).

| class | recall |
|---|---|
| MEL | 0.25 |
| a \\| b | 0.50 |

- one thing
- another <script>alert(1)</script>
"""
NOTICE = "For research. This is no diagnosis."


def network(seed=0, size=32, classes=4):
    """Return a small random network as ONNX: two convolutions, a mean over the map, one layer."""
    draw = np.random.default_rng(seed)
    shapes = {"w1": (8, 3, 5, 5), "w2": (16, 8, 3, 3), "w3": (16, classes)}
    weights = {name: draw.normal(0, 0.5, shape).astype(np.float32) for name, shape in shapes.items()}
    weights |= {"half": np.float32([0.5]), "b": draw.normal(0, 0.1, classes).astype(np.float32)}
    nodes = [
        helper.make_node("Sub", ["images", "half"], ["centred"]),
        helper.make_node("Conv", ["centred", "w1"], ["c1"], strides=[2, 2], pads=[2, 2, 2, 2]),
        helper.make_node("Relu", ["c1"], ["r1"]),
        helper.make_node("Conv", ["r1", "w2"], ["c2"], strides=[2, 2], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c2"], ["r2"]),
        helper.make_node("GlobalAveragePool", ["r2"], ["mean"]),
        helper.make_node("Flatten", ["mean"], ["flat"]),
        helper.make_node("Gemm", ["flat", "w3", "b"], ["logits"]),
    ]
    for node in nodes:
        node.name = node.output[0]  # by which quantisation excludes some
    graph = helper.make_graph(
        nodes,
        "dspkd",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["N", 3, size, size])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", classes])],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)])
    model.ir_version = 10
    onnx.checker.check_model(model)
    return model.SerializeToString()


def in_int8(model, size):
    """Return a network quantised by the first setting of `dspkd export`, calibrated on synthetic lesions."""
    from dspkd.deploy.export import quantise

    images = np.stack([np.asarray(lesion(seed, size=size)).transpose(2, 0, 1) for seed in range(32)])
    return quantise.quantise(quantise.prepared(model), quantise.SETTINGS[0], images)


def make_bundle(
    path,
    *,
    size=32,
    short_side=37,
    refer_below=0.4,
    refer_from=0.5,
    rule="By hand.",
    artefacts=(),
    int8=False,
    model=None,
    **changes,
):
    """Write a bundle of `model`, or of a random one; with `int8` it has both precisions, and int8 is its default."""
    networks = {"fp32": model or network(size=size)}
    if int8:
        networks["int8"] = in_int8(networks["fp32"], size)
    models = {name: {"file": f"model.{name}.onnx", "bytes": len(content)} for name, content in networks.items()}
    spec = {
        "name": "by hand",
        "classes": CLASSES,
        "preprocessing": describe(Preprocessing(short_side, size, tuple(artefacts))),
        "temperature": 1.5,
        "thresholds": {"refer_below": refer_below, "refer_from": refer_from, "refer_from_rule": rule},
        "models": models,
        "default": list(networks)[-1],
        "not_a_diagnosis": NOTICE,
        **changes,
    }
    files = {models[name]["file"]: content for name, content in networks.items()}
    pack(path, {**files, "spec.json": as_json(spec), "card.md": CARD.encode()})
    return path


def encoded(image, form="JPEG", **options):
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def lesion(seed=0, size=96, label="NV"):
    return Image.fromarray(paint(label, lesion=seed, photo=0, size=size))


def talk(bundle_file, conversation, **options):
    """Run `conversation` with a client of an application for this bundle."""

    async def run():
        transport = httpx.ASGITransport(create(open_bundle(bundle_file), **options))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return await conversation(client)

    return asyncio.run(run())


def post(bundle_file, *files, path="/predict", headers=None, **options):
    fields = [("files", (name, data)) for name, data in files]
    return talk(bundle_file, lambda client: client.post(path, files=fields, headers=headers), **options)


def get(bundle_file, path, *, headers=None, **options):
    return talk(bundle_file, lambda client: client.get(path, headers=headers), **options)


def start_server(bundle, *options, stderr=None, **environment):
    """Start `dspkd serve` on a free port; return the process and its address, once it responds."""
    process = subprocess.Popen(
        [sys.executable, "-m", "dspkd", "serve", str(bundle), "--port", "0", *options],
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
        env=os.environ | environment,
    )
    address = process.stdout.readline().strip()
    httpx.get(f"{address}/healthz", timeout=60).raise_for_status()  # the socket listens already
    return process, address


def stop(process):
    """Stop a server, and wait until it has."""
    process.terminate()
    process.communicate(timeout=60)
