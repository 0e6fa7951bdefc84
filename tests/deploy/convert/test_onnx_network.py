"""Each operator that converters compute in torch gives what ONNX Runtime gives."""

import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

import dspkd.deploy.convert
from dspkd.deploy.bundle.reader import open_bundle
from dspkd.deploy.convert import single_image

sys.path.insert(0, str(Path(dspkd.deploy.convert.__file__).parent / "workers"))
import onnx_network

RNG = np.random.default_rng(0)


def floats(*shape):
    return RNG.standard_normal(shape).astype(np.float32)


def ints(*values):
    return np.array(values, np.int64)


CASES = [
    ("Conv", {"pads": [1, 1, 1, 1], "strides": [2, 2], "group": 3}, [floats(6, 1, 3, 3), floats(6)]),
    ("Conv", {"pads": [0, 0, 1, 1], "strides": [2, 2], "dilations": [2, 2]}, [floats(4, 3, 3, 3)]),
    ("MaxPool", {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}, []),
    ("MaxPool", {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [0, 0, 1, 1]}, []),
    ("MaxPool", {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1}, []),
    ("AveragePool", {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}, []),
    ("AveragePool", {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "count_include_pad": 1}, []),
    ("GlobalAveragePool", {}, []),
    ("ReduceMean", {"keepdims": 0}, [ints(2, 3)]),
    ("ReduceMean", {"keepdims": 1}, [ints(-1)]),
    ("BatchNormalization", {"epsilon": 1e-3}, [floats(3), floats(3), floats(3), np.abs(floats(3))]),
    ("LayerNormalization", {"epsilon": 1e-6}, [floats(8), floats(8)]),
    ("Clip", {}, [np.float32(0), np.float32(0.5)]),
    ("Clip", {}, [np.float32(0)]),
    *((name, {}, []) for name in ("Relu", "Sigmoid", "HardSwish", "Erf", "Tanh", "Identity", "Softmax", "Gelu")),
    ("Gelu", {"approximate": "tanh"}, []),
    ("HardSigmoid", {"alpha": 1 / 6, "beta": 0.5}, []),
    ("LeakyRelu", {"alpha": 0.1}, []),
    *((name, {}, [floats(3, 1, 1)]) for name in ("Add", "Sub", "Mul", "Div")),
    ("MatMul", {}, [floats(8, 5)]),
    ("Concat", {"axis": 1}, [floats(1, 2, 8, 8)]),
    ("Reshape", {}, [ints(0, 3, 1, -1)]),
    ("Reshape", {"allowzero": 1}, [ints(1, 3, 64)]),
    ("Flatten", {"axis": 1}, []),
    ("Transpose", {"perm": [0, 2, 3, 1]}, []),
    ("Slice", {}, [ints(1), ints(7), ints(2), ints(3)]),
    ("Slice", {}, [ints(-3, 0), ints(8, 2), ints(3, 1)]),
    ("Gather", {"axis": 2}, [np.array(3, np.int64)]),
    ("Gather", {"axis": 1}, [np.array([[2, 0]], np.int64)]),
    ("Unsqueeze", {}, [ints(1)]),
    ("Expand", {}, [ints(2, 3, 8, 8)]),
]


def graph(nodes, weights, path, outputs=("logits",)):
    """Write a graph of one image of 3 x 8 x 8."""
    given = helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, 8, 8])
    computed = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs]
    initial = [numpy_helper.from_array(np.asarray(value), name) for name, value in weights.items()]
    model = helper.make_model(
        helper.make_graph(nodes, "test", [given], computed, initial), opset_imports=[helper.make_opsetid("", 20)]
    )
    model.ir_version = 10
    onnx.save(model, path)
    return path


def agree(path):
    """Compare torch and ONNX Runtime on a random image."""
    image = floats(1, 3, 8, 8)
    (expected,) = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"]).run(None, {"images": image})
    network = onnx_network.OnnxNetwork(path).eval()
    with torch.inference_mode():
        computed = network(torch.from_numpy(image)).numpy()
    assert computed.shape == expected.shape
    np.testing.assert_allclose(computed, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("operator", "attributes", "others"), CASES)
def test_an_operator_computes_what_onnx_runtime_computes(tmp_path, operator, attributes, others):
    names = [f"w{number}" for number in range(len(others))]
    node = helper.make_node(operator, ["images", *names], ["logits"], **attributes)
    agree(graph([node], dict(zip(names, others, strict=True)), tmp_path / "one.onnx"))


def test_operators_with_several_steps(tmp_path):
    nodes = [
        helper.make_node("Split", ["images"], ["a", "b"], axis=3, num_outputs=2),
        helper.make_node("Split", ["images", "sizes"], ["c", "d"], axis=3),
        helper.make_node("Sub", ["b", "a"], ["e"]),
        helper.make_node("Concat", ["e", "d"], ["f"], axis=3),
        helper.make_node("Mul", ["f", "f"], ["g"]),
        helper.make_node("Sqrt", ["g"], ["h"]),
        helper.make_node("ReduceMean", ["h", "axes"], ["i"], keepdims=1),
        helper.make_node("Squeeze", ["i", "axes"], ["j"]),
        helper.make_node("Gemm", ["j", "weight", "bias"], ["logits"], transB=1),
    ]
    weights = {"sizes": ints(2, 6), "axes": ints(2, 3), "weight": floats(4, 3), "bias": floats(4)}
    agree(graph(nodes, weights, tmp_path / "several.onnx"))


@pytest.mark.parametrize(
    ("operator", "attributes", "others"),
    [
        ("Cos", {}, []),
        ("Conv", {"auto_pad": "SAME_UPPER", "strides": [2, 2]}, [floats(4, 3, 3, 3)]),
        ("AveragePool", {"kernel_shape": [3, 3], "pads": [0, 0, 1, 1]}, []),
    ],
)
def test_what_is_not_computed_is_refused_and_not_guessed(tmp_path, operator, attributes, others):
    names = [f"w{number}" for number in range(len(others))]
    node = helper.make_node(operator, ["images", *names], ["logits"], **attributes)
    path = graph([node], dict(zip(names, others, strict=True)), tmp_path / "one.onnx")
    with pytest.raises(onnx_network.UnsupportedOperatorError):
        onnx_network.OnnxNetwork(path)(torch.from_numpy(floats(1, 3, 8, 8)))


def test_a_bundles_graph_for_one_image(bundle, tmp_path):
    opened = open_bundle(bundle)
    path = tmp_path / "network.onnx"
    path.write_bytes(single_image.fixed(opened.read("model.fp32.onnx")))
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    side = opened.spec.preprocessing.size
    assert session.get_inputs()[0].shape == [1, 3, side, side]
    image = RNG.random((1, 3, side, side), dtype=np.float32)
    with torch.inference_mode():
        computed = onnx_network.OnnxNetwork(path).eval()(torch.from_numpy(image)).numpy()
    np.testing.assert_allclose(computed, session.run(None, {"images": image})[0], atol=1e-5)
