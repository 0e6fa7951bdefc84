"""Changes of an ONNX graph, drawn at random: operators, attributes, weights, connections, or bytes of the file."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from dspkd.deploy.bundle.onnx_check import OPERATORS
from fuzz.mutations import in_bytes

NUMBERS = [0, -1, 1, 2, 3, 7, 255, 65_536, 10**6, 10**9, 2**31 - 1, 2**40, 2**63 - 1, -(2**63)]
FLOATS = [0.0, -1.0, 1e30, 1e-30, float("inf"), float("nan")]
TYPES = [TensorProto.FLOAT, TensorProto.INT64, TensorProto.INT32, TensorProto.INT8, TensorProto.UINT8, TensorProto.BOOL]
ATTRIBUTES = [
    "axis",
    "axes",
    "perm",
    "group",
    "strides",
    "pads",
    "dilations",
    "kernel_shape",
    "to",
    "mode",
    "blocksize",
]


def changed(content, draw):
    """Return an ONNX file with one to three changes."""
    if draw.random() < 0.15:
        return in_bytes(content, draw)
    model = onnx.load_from_string(content)
    for _ in range(draw.randint(1, 3)):
        draw.choice([_operator, _attribute, _weight, _weight, _insert, _insert, _remove, _connect])(model.graph, draw)
    return model.SerializeToString()


def _operator(graph, draw):
    draw.choice(graph.node).op_type = draw.choice(sorted(OPERATORS))


def _attribute(graph, draw):
    node = draw.choice(graph.node)
    if node.attribute and draw.random() < 0.7:
        attribute = draw.choice(node.attribute)
        for field, values in (("ints", NUMBERS), ("floats", FLOATS)):
            several = getattr(attribute, field)
            for place in range(len(several)):
                if draw.random() < 0.5:
                    several[place] = draw.choice(values)
        if attribute.type == onnx.AttributeProto.INT:
            attribute.i = draw.choice(NUMBERS)
        elif attribute.type == onnx.AttributeProto.FLOAT:
            attribute.f = draw.choice(FLOATS)
    else:
        value = draw.choice(
            [draw.choice(NUMBERS), [draw.choice(NUMBERS) for _ in range(4)], draw.choice(FLOATS), "edge"]
        )
        node.attribute.append(helper.make_attribute(draw.choice(ATTRIBUTES), value))


def _weight(graph, draw):
    tensor = draw.choice(graph.initializer)
    kind = draw.randrange(4)
    if kind == 0 and tensor.dims:
        tensor.dims[draw.randrange(len(tensor.dims))] = draw.choice(NUMBERS)
    elif kind == 1:
        tensor.data_type = draw.choice(TYPES)
    else:
        try:
            value = numpy_helper.to_array(tensor).copy()
        except (ValueError, TypeError, KeyError):  # a change before this one gave it another shape or type
            return
        values = FLOATS if value.dtype.kind == "f" else [number for number in NUMBERS if _fits(number, value.dtype)]
        if value.size:
            value.flat[draw.randrange(value.size)] = draw.choice(values)
        tensor.CopyFrom(numpy_helper.from_array(value, tensor.name))


def _fits(number, dtype):
    return dtype.kind == "b" or np.iinfo(dtype).min <= number <= np.iinfo(dtype).max


def _insert(graph, draw):
    """Put a node between two others: its further inputs are sizes, axes or other weights."""
    place = draw.randrange(1, len(graph.node) + 1)
    source = graph.node[place - 1].output[0]
    name = f"between{len(graph.node)}"
    inputs = [source]
    for number in range(draw.choice([0, 0, 1, 1, 2, 3])):
        count = draw.choice([1, 1, 2, 4, 8])
        values = np.int64([draw.choice(NUMBERS[:10]) for _ in range(count)])
        value = values if draw.random() < 0.7 else np.float32([draw.choice(FLOATS) for _ in range(count)])
        graph.initializer.append(numpy_helper.from_array(value, f"{name}.{number}"))
        inputs.insert(draw.choice([0, len(inputs)]), f"{name}.{number}")
    for node in graph.node[place:]:
        for position, each in enumerate(node.input):
            if each == source:
                node.input[position] = name
    nodes = list(graph.node)
    nodes.insert(place, helper.make_node(draw.choice(sorted(OPERATORS)), inputs, [name]))
    del graph.node[:]
    graph.node.extend(nodes)


def _remove(graph, draw):
    del graph.node[draw.randrange(len(graph.node))]
    if not graph.node:
        graph.node.append(helper.make_node("Identity", ["images"], ["logits"]))


def _connect(graph, draw):
    names = ["images", "", *(tensor.name for tensor in graph.initializer), *(o for n in graph.node for o in n.output)]
    node = draw.choice(graph.node)
    if node.input:
        node.input[draw.randrange(len(node.input))] = draw.choice(names)
    else:
        node.input.append(draw.choice(names))
