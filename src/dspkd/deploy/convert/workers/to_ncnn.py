"""NCNN: convert by pnnx, which reads ONNX, and run by ncnn."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import job
import ncnn
import numpy as np
from numpy.typing import NDArray


def convert(work: job.Job) -> None:
    """Write ``FILE.ncnn.param`` and ``FILE.ncnn.bin``; in fp16 the weights have 16 bits, and the computation has 32."""
    found = importlib.util.find_spec("pnnx")
    if found is None or not found.submodule_search_locations:
        raise SystemExit("pnnx is not installed beside this Python")
    # Its program alone: the package in Python imports torch, which ONNX files do not need.
    pnnx = Path(found.submodule_search_locations[0], "pnnx.exe" if os.name == "nt" else "pnnx")
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "network.onnx")
        shutil.copyfile(work.onnx, source)
        shape = f"inputshape=[1,3,{work.size},{work.size}]f32"
        command = [str(pnnx), str(source), shape, f"fp16={int(work.precision == 'fp16')}"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        written = [Path(folder, f"network.ncnn.{suffix}") for suffix in ("param", "bin")]
        if done.returncode or not all(path.is_file() and path.stat().st_size for path in written):
            raise SystemExit(f"pnnx failed: {(done.stderr.strip() or done.stdout.strip()).splitlines()[-1]}")
        for path in written:
            shutil.copyfile(path, work.file.with_name(f"{work.file.name}.ncnn{path.suffix}"))


def load(file: Path) -> Callable[[job.Pixels], NDArray[np.float32]]:
    """Return a function that computes the logits of an image."""
    network = ncnn.Net()
    network.opt.num_threads = 1
    if ".fp32" in file.name:  # on by default, and they cost three digits of the logits
        network.opt.use_fp16_packed = network.opt.use_fp16_storage = network.opt.use_fp16_arithmetic = False
    for read, suffix in ((network.load_param, ".ncnn.param"), (network.load_model, ".ncnn.bin")):
        if read(str(file) + suffix):
            raise SystemExit(f"ncnn cannot read {file.name}{suffix}")

    def compute(image_13SS: job.Pixels) -> NDArray[np.float32]:
        extractor = network.create_extractor()
        extractor.input(network.input_names()[0], ncnn.Mat(image_13SS[0]))
        _, logits = extractor.extract(network.output_names()[0])
        return np.array(logits)

    return compute


if __name__ == "__main__":
    job.work(convert, load)
