"""ONNX files that no bundle may have: each with the message that refuses it."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from serving import network

FLOAT = TensorProto.FLOAT


def of(nodes, weights=(), *, opsets=("",), **changes):
    """Return a file with these nodes, from `images` to `logits`, and named weights."""
    graph = helper.make_graph(
        nodes,
        "dspkd",
        [helper.make_tensor_value_info("images", FLOAT, ["N", 3, 32, 32])],
        [helper.make_tensor_value_info("logits", FLOAT, ["N", 4])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in dict(weights).items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid(domain, 20) for domain in opsets], **changes)
    model.ir_version = 10
    return model.SerializeToString()


def four(source, weights=(), *, before=()):
    """Return a file that computes four logits from the mean of `source`, which nodes before compute."""
    nodes = [
        *before,
        helper.make_node("ReduceMean", [source], ["mean"], keepdims=0),
        helper.make_node("Flatten", ["images"], ["flat"]),
        helper.make_node("ReduceMean", ["flat", "one"], ["each"], keepdims=1),
        helper.make_node("Add", ["each", "mean"], ["sum"]),
        helper.make_node("Mul", ["sum", "four"], ["logits"]),
    ]
    own = {"one": np.int64([1]), "four": np.float32([[1, 2, 3, 4]])}
    return of(nodes, own | dict(weights))


def external_data(name, *, backwards=False):
    """Return a file whose weights lie in another file: written as onnx does, or field by field in another order."""
    tensor = TensorProto(name="w", data_type=FLOAT, dims=[16], data_location=TensorProto.EXTERNAL)
    entries = {"location": name, "offset": "0", "length": "64"}
    for key, value in entries.items():
        tensor.external_data.add(key=key, value=value)
    model = onnx.load_from_string(four("w"))
    if not backwards:
        model.graph.initializer.append(tensor)
        return model.SerializeToString()
    pairs = b"".join(field(13, field(2, value.encode()) + field(1, key.encode())) for key, value in entries.items())
    raw = b"\x70\x01" + pairs + field(8, b"w") + b"\x10\x01\x08\x10"
    return model.SerializeToString() + field(7, field(5, raw))  # merged with the graph before it


def field(number, content):
    """Return a field of bytes of protocol buffers, shorter than 16 kB."""
    length = len(content)
    size = bytes([length]) if length < 128 else bytes([length & 127 | 128, length >> 7])
    return bytes([number << 3 | 2]) + size + content


def _loop():
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["on"])],
        "body",
        [helper.make_tensor_value_info("i", TensorProto.INT64, []), helper.make_tensor_value_info("go", 9, [])],
        [helper.make_tensor_value_info("on", 9, [])],
    )
    return four("images", before=[helper.make_node("Loop", ["", ""], [], body=body)])


def _function():
    model = onnx.load_from_string(network())
    made = helper.make_function("", "Relu", ["x"], ["y"], [helper.make_node("Neg", ["x"], ["y"])], model.opset_import)
    model.functions.append(made)
    return model.SerializeToString()


def _changed(change):
    def make():
        model = onnx.load_from_string(network())
        change(model)
        return model.SerializeToString()

    return make


def _sized_by_pixels():
    before = [
        helper.make_node("ReduceMax", ["images"], ["high"], keepdims=0),
        helper.make_node("Cast", ["high"], ["count"], to=TensorProto.INT64),
        helper.make_node("Expand", ["one", "count"], ["many"]),
        helper.make_node("Cast", ["many"], ["large"], to=FLOAT),
    ]
    return four("large", before=before)


HOSTILE = {
    "loop": (_loop, r"operator 'Loop' is not one|attribute has a graph of its own"),
    "function": (_function, "model has functions of its own"),
    "training": (_changed(lambda m: m.training_info.add()), "model has training info"),
    "metadata": (_changed(lambda m: m.metadata_props.add(key="a", value="b")), "model has field 14"),
    "sparse": (_changed(lambda m: m.graph.sparse_initializer.add()), "graph has sparse weights"),
    "domain": (_changed(lambda m: setattr(m.graph.node[2], "domain", "evil")), "operator 'Relu' is not one"),
    "opset": (_changed(lambda m: m.opset_import.add(domain="com.microsoft", version=1)), "not of the ONNX standard"),
    "no opset": (_changed(lambda m: m.ClearField("opset_import")), "not of the ONNX standard"),
    "random": (
        lambda: four("r", before=[helper.make_node("RandomNormal", [], ["r"], shape=[2])]),
        "operator 'RandomNormal' is not one",
    ),
    "escape": (_changed(lambda m: setattr(m.graph.node[0], "name", "\x1b[2J")), "characters that are not shown"),
    "long name": (_changed(lambda m: setattr(m.graph.node[0], "name", "x" * 5000)), "a name of 5,000 bytes"),
    "strings": (
        _changed(lambda m: m.graph.node[0].attribute.append(helper.make_attribute("a", ["x", "y"]))),
        "attribute has field 9",
    ),
    "text weights": (
        _changed(lambda m: m.graph.initializer.append(helper.make_tensor("s", TensorProto.STRING, [1], [b"x"]))),
        "tensor has field 6",
    ),
    "double": (lambda: four("w", {"w": np.zeros(3)}), "the weights 'w' are not float32"),
    "pixels decide a size": (_sized_by_pixels, "size of its output depends on the image"),
    "graph twice": (lambda: network() + field(7, b""), "model has graph twice"),
    "later field": (lambda: network() + b"\xfa\x01\x00", "model has field 31"),
    "unknown input": (_changed(lambda m: m.graph.node[0].input.append("nowhere")), "nowhere are not computed before"),
    "output again": (_changed(lambda m: m.graph.node[1].output.append("w1")), "w1 are there already"),
}
