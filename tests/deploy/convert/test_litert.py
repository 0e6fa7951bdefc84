"""The trap of LiteRT: a file with an int8 input takes a float image without an error, and misreads it."""

import sys
import types
from pathlib import Path

import numpy as np
import pytest

import dspkd.deploy.convert

WORKERS = Path(dspkd.deploy.convert.__file__).parent / "workers"


@pytest.fixture
def worker(monkeypatch):
    """Import the worker with stand-ins for the packages of its environment, and return it and the file's input."""
    given = {"index": 0, "dtype": np.float32}

    class Interpreter:
        def __init__(self, path, num_threads):
            pass

        def allocate_tensors(self):
            pass

        def get_input_details(self):
            return [given]

        def get_output_details(self):
            return [{"index": 1, "dtype": np.float32}]

        def set_tensor(self, index, image):
            self.image = image

        def invoke(self):
            pass

        def get_tensor(self, index):
            return self.image.mean(axis=(2, 3))

    names = ("litert_torch", "ai_edge_litert", "ai_edge_litert.interpreter", "ai_edge_quantizer")
    names += ("ai_edge_quantizer.qtyping", "ai_edge_quantizer.recipe", "ai_edge_quantizer.recipe_manager")
    for name in names:
        module = types.ModuleType(name)
        for attribute in ("quantizer", "TFLOperationName", "AlgorithmName", "RecipeManager"):
            setattr(module, attribute, None)
        module.Interpreter = Interpreter
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.syspath_prepend(str(WORKERS))
    for name in ("job", "onnx_network", "to_litert"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    import to_litert

    return to_litert, given


def test_a_file_with_an_int8_input_is_not_run(worker):
    to_litert, given = worker
    image = np.ones((1, 3, 4, 4), np.float32)
    assert to_litert.load(Path("model.tflite"))(image).tolist() == [[1, 1, 1]]
    given["dtype"] = np.int8
    with pytest.raises(SystemExit, match=r"input int8.*misread without an error"):
        to_litert.load(Path("model.tflite"))
