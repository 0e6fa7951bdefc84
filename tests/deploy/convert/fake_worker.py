"""A converter and a runtime for tests: ONNX Runtime, with a fault that the environment variable FAULT names."""

import os
import shutil
import sys
from pathlib import Path

import numpy as np
import onnxruntime as ort

import dspkd.deploy.convert

sys.path.insert(0, str(Path(dspkd.deploy.convert.__file__).parent / "workers"))
import job

FAULT = os.environ.get("FAULT", "")


def convert(work):
    if FAULT == "crash":
        raise RuntimeError("unknown operator")
    assert FAULT != "no calibration" or len(list(work.load())) > 5, "calibrated on golden images"
    if FAULT != "nothing written":
        shutil.copyfile(work.onnx, work.file)


def load(file):
    session = ort.InferenceSession(str(file), providers=["CPUExecutionProvider"])

    def compute(image_13SS):
        if FAULT == "reads memory in order" and not image_13SS.flags.c_contiguous:
            image_13SS = np.frombuffer(np.ascontiguousarray(image_13SS.transpose(0, 2, 3, 1)).tobytes(), np.float32)
            image_13SS = image_13SS.reshape(session.get_inputs()[0].shape)
        if FAULT == "refuses views" and not image_13SS.flags.c_contiguous:
            raise ValueError("not contiguous\nmore")
        (logits,) = session.run(None, {"images": np.ascontiguousarray(image_13SS)})
        return logits + {"off": 2e-4, "off by little": 2e-5, "nan": np.nan}.get(FAULT, 0)

    return compute


if __name__ == "__main__":
    job.work(convert, load)
