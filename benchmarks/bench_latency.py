"""Latency of one image: torch, ONNX Runtime in float32 and int8, OpenVINO, the Predictor, beside the teachers.

    python benchmarks/bench_latency.py
    python benchmarks/bench_latency.py --bundle model.dspkd --image image.jpg --runs 300

One image at a time, one thread, 20 runs to warm up, at least 100 timed, contenders taking turns: median and 95th
percentile of the wall clock, and the median of the processor time, which other programs distort least. Without a
bundle, a ShuffleNetV2 x1.0 with initial weights at 224 px is converted as by `dspkd export` and calibrated on noise:
latency does not depend on the values of the weights. The image is a synthetic lesion of 600 x 450 px as a JPEG.
OpenVINO is measured if it is installed (or its folder is on PYTHONPATH).

Two goals: a student by ONNX Runtime at least 12.9 times as fast as the teacher (the ratio of the times in the
paper: 0.297 s for Res2Net101, 0.023 s for its student), and the Predictor, decoding included, within 1.2 times of a
bare loop of Pillow and ONNX Runtime over the same file and graph.
"""

from __future__ import annotations

import argparse
import io
import json
import tempfile
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from dspkd.data.synthetic.photo import paint
from dspkd.deploy import Predictor
from dspkd.deploy.bundle.network import INPUT, OUTPUT, session
from dspkd.deploy.bundle.predictor import softmax
from dspkd.deploy.bundle.reader import SPEC, open_bundle
from dspkd.deploy.bundle.spec import Preprocessing, describe
from dspkd.deploy.bundle.writer import as_json, pack
from dspkd.deploy.export import class_names, onnx_graph, quantise
from dspkd.deploy.export.latency import measure
from dspkd.evaluation.classes import malignancies
from dspkd.models import zoo

SIZE, SHORT_SIDE, CLASSES = 224, 256, ("MEL", "NV", "BCC", "AK", "BKL", "DF", "VASC", "SCC")
TEACHERS = ("res2net101", "efficientnet_lite2")
PAPERS_RATIO = 0.297 / 0.023


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--bundle", type=Path)
    parser.add_argument("--image", type=Path)
    parser.add_argument("--student", default="shufflenet_v2_x1_0")
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--out", type=Path, help="also write the figures to this JSON file")
    args = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        path = args.bundle or make_bundle(Path(folder) / "model.dspkd", args.student)
        image = args.image or photograph(Path(folder) / "lesion.jpg")
        figures = compare(path, image, args.student, args.runs)
    print(json.dumps(figures, indent=2))
    if args.out:
        args.out.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


def compare(path, image, student, runs):
    bundle = open_bundle(path)
    size = bundle.spec.preprocessing.size
    pixels = np.random.default_rng(0).random((1, 3, size, size), np.float32)
    networks = {}
    for name in (student, *TEACHERS):
        torch.manual_seed(0)
        network = zoo.make(name, classes=len(bundle.spec.classes)).eval()
        networks[f"{name}, torch"] = by_torch(network, pixels)
        if name in TEACHERS:
            networks[f"{name}, ONNX fp32"] = by_runtime(onnx_graph.to_onnx(network, size), pixels)
    for precision, model in bundle.spec.models.items():
        content = bundle.read(model.file)
        networks[f"{student}, ONNX {precision}"] = by_runtime(content, pixels)
        if (compiled := by_openvino(content, pixels)) is not None:
            networks[f"{student}, OpenVINO {precision}"] = compiled
    alone = measure(networks, runs=runs)
    whole = {}
    for precision in bundle.spec.models:
        whole[f"Predictor, {precision}"] = partial(Predictor(bundle, precision).predict, image)
        whole[f"bare loop, {precision}"] = partial(bare(bundle, precision), image)
    whole = measure(whole, runs=runs)
    teacher = alone[f"{TEACHERS[0]}, torch"]
    quickest = min((alone[f"{student}, ONNX {name}"] for name in bundle.spec.models), key=lambda latency: latency.cpu)
    return {
        "network alone, ms": {name: vars(latency) for name, latency in alone.items()},
        f"with decoding of {Image.open(image).size}, ms": {name: vars(latency) for name, latency in whole.items()},
        "goals": {
            f"{TEACHERS[0]} in torch / student by ONNX Runtime (at least {PAPERS_RATIO:.1f})": ratio(teacher, quickest),
            **{
                f"Predictor / bare loop, {name} (at most 1.2)": ratio(
                    whole[f"Predictor, {name}"], whole[f"bare loop, {name}"]
                )
                for name in bundle.spec.models
            },
        },
    }


def ratio(one, other):
    return {"wall clock": one.p50 / other.p50, "processor": one.cpu / other.cpu}


def by_torch(network, pixels):
    logits_of, tensor = onnx_graph.LogitsOnly(network).eval(), torch.from_numpy(pixels)

    def call():
        with torch.inference_mode():
            return logits_of(tensor)

    return call


def by_runtime(model, pixels):
    runtime = session(model)
    return lambda: runtime.run([OUTPUT], {INPUT: pixels})


def by_openvino(model, pixels):
    """Return a call of OpenVINO on one thread, None where it is not installed."""
    try:
        import openvino
    except ImportError:
        return None
    core = openvino.Core()
    compiled = core.compile_model(core.read_model(model), "CPU", {"INFERENCE_NUM_THREADS": 1, "NUM_STREAMS": 1})
    request = compiled.create_infer_request()
    return lambda: request.infer({INPUT: pixels})


def bare(bundle, precision):
    """Return a minimal script for an image: Pillow, NumPy, ONNX Runtime, without any checks."""
    runtime = session(bundle.read(bundle.spec.models[precision].file))
    short_side, size = bundle.spec.preprocessing.short_side, bundle.spec.preprocessing.size

    def call(image):
        with Image.open(image) as opened:
            rgb = opened.convert("RGB")
        scale = short_side / min(rgb.size)
        rgb = rgb.resize((round(rgb.width * scale), round(rgb.height * scale)), Image.Resampling.BILINEAR)
        left, top = (rgb.width - size) // 2, (rgb.height - size) // 2
        pixels = np.asarray(rgb.crop((left, top, left + size, top + size)), np.float32).transpose(2, 0, 1)[None] / 255
        (logits,) = runtime.run([OUTPUT], {INPUT: np.ascontiguousarray(pixels)})
        return softmax(logits, bundle.spec.temperature)

    return call


def make_bundle(path, student):
    """Write a bundle of initial weights: networks and specification, without measurements."""
    torch.manual_seed(0)
    network = zoo.make(student, classes=len(CLASSES)).eval()
    fp32 = onnx_graph.to_onnx(network, SIZE)
    noise = np.random.default_rng(0).integers(0, 256, (32, 3, SIZE, SIZE), dtype=np.uint8)
    models = {"fp32": fp32, "int8": quantise.quantise(quantise.prepared(fp32), quantise.QuantSetting(), noise)}
    spec = {
        "name": student,
        "classes": [vars(each) for each in class_names.classes(CLASSES, malignancies(CLASSES))],
        "preprocessing": describe(Preprocessing(SHORT_SIDE, SIZE, ())),
        "temperature": 1.0,
        "thresholds": {"refer_below": 0.5},
        "models": {name: {"file": f"model.{name}.onnx", "bytes": len(model)} for name, model in models.items()},
        "default": "int8",
        "not_a_diagnosis": "Initial weights: this says nothing about anybody.",
    }
    pack(path, {SPEC: as_json(spec), **{f"model.{name}.onnx": model for name, model in models.items()}})
    return path


def photograph(path):
    pixels = paint("NV", lesion=3, photo=0, size=600)[75:525]
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=92)
    path.write_bytes(buffer.getvalue())
    return path


if __name__ == "__main__":
    main()
