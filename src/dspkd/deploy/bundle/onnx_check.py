"""Refuse an ONNX file that is not built as `dspkd export` builds it, before ONNX Runtime sees it.

An ONNX file can name other files, run loops without end, and carry operators of anybody. A bundle's network has one
graph of the operators below, all of whose weights are in the file, and whose work does not depend on the image.
"""

from __future__ import annotations

from dspkd.deploy.bundle import onnx_fields
from dspkd.deploy.bundle.onnx_fields import Message
from dspkd.errors import BundleError, first_few

MOST_NODES, MOST_SIDES = 20_000, 8
"""Limits: nodes of a graph, and dimensions of a tensor."""

_OF_THE_STANDARD = """
Abs Add And AveragePool BatchNormalization Cast CastLike Ceil Celu Clip Concat Constant ConstantOfShape Conv Cos CumSum
DepthToSpace DequantizeLinear Div Einsum Elu Equal Erf Exp Expand Flatten Floor Gather GatherElements GatherND Gelu Gemm
GlobalAveragePool GlobalMaxPool Greater GreaterOrEqual GroupNormalization HardSigmoid HardSwish Identity
InstanceNormalization IsNaN LayerNormalization LeakyRelu Less LessOrEqual Log LogSoftmax LpNormalization MatMul Max
MaxPool Mean Min Mish Mod Mul Neg Not Or PRelu Pad Pow QuantizeLinear RMSNormalization Range Reciprocal ReduceL1
ReduceL2 ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare Relu Reshape Resize Round ScatterND Selu
Shape Sigmoid Sign Sin Size Slice Softmax Softplus Softsign SpaceToDepth Split Sqrt Squeeze Sub Sum Swish Tanh
ThresholdedRelu Tile Transpose Trilu Unsqueeze Where
"""
OPERATORS = frozenset(_OF_THE_STANDARD.split())
"""Operators of the standard without subgraphs, files, chance, or an output whose size depends on the pixels."""

_WITH_SIZES = "ConstantOfShape Expand Pad Range Reshape Resize Slice Split Squeeze Tile Trilu Unsqueeze"
_SIZED_BY_INPUTS = frozenset(_WITH_SIZES.split())
"""Operators of which an input besides the first (of some, also the first) decides how large the output is."""

_SIZED_BY_THE_FIRST = frozenset({"ConstantOfShape", "Range"})

_FLOAT, _INT, _STRING, _TENSOR, _FLOATS, _INTS = 1, 2, 3, 4, 6, 7
_ATTRIBUTES = {_FLOAT: "f", _INT: "i", _STRING: "s", _TENSOR: "t", _FLOATS: "floats", _INTS: "ints"}
"""Types of an attribute, and the field with its value."""

_DATA_TYPES = {1: "float32", 2: "uint8", 3: "int8", 6: "int32", 7: "int64", 9: "bool"}


def check(content: bytes) -> None:
    """Check the bytes of an ONNX file.

    Raises
    ------
    BundleError
        It has anything that `dspkd export` does not write.
    """
    model = onnx_fields.read(content)
    graph = model["graph"]
    if graph is None:
        raise BundleError("not an ONNX file: it has no graph")
    if [opset["domain"] or "" for opset in model["opset_import"]] != [""]:
        raise BundleError("uses operators that are not of the ONNX standard")
    if len(graph["node"]) > MOST_NODES:
        raise BundleError(f"{len(graph['node']):,} nodes; at most {MOST_NODES:,}")
    for value in (*graph["input"], *graph["output"], *graph["value_info"]):
        _check_value(value)
    for tensor in graph["initializer"]:
        _check_tensor(tensor)
    _check_nodes(graph)


def _check_nodes(graph: Message) -> None:
    """Check the nodes, whose inputs must have been computed before, and without the pixels where they are sizes."""
    fixed = {tensor["name"] for tensor in graph["initializer"]} | {""}  # "": an input that is left out
    known = fixed | {value["name"] for value in graph["input"]}
    for node in graph["node"]:
        operator = str(node["op_type"])
        if operator not in OPERATORS or node["domain"]:
            raise BundleError(f"the operator {operator[:40]!r} is not one that a bundle's network may have")
        if unknown := [name for name in node["input"] if name not in known]:
            raise BundleError(f"{operator}: its inputs {first_few(unknown)} are not computed before it")
        if again := [name for name in node["output"] if name and name in known]:
            raise BundleError(f"{operator}: its outputs {first_few(again)} are there already")
        for attribute in node["attribute"]:
            _check_attribute(operator, attribute)
        sizes = node["input"][operator not in _SIZED_BY_THE_FIRST :] if operator in _SIZED_BY_INPUTS else ()
        if not fixed.issuperset(sizes):
            raise BundleError(f"{operator}: the size of its output depends on the image")
        known.update(node["output"])
        if operator in {"Shape", "Size"} or fixed.issuperset(node["input"]):
            fixed.update(node["output"])


def _check_attribute(operator: str, attribute: Message) -> None:
    field = _ATTRIBUTES.get(attribute["type"])
    given = {name for name in _ATTRIBUTES.values() if attribute[name] not in (None, [])}
    if field is None or not given <= {field}:
        raise BundleError(f"{operator}: the attribute {attribute['name']!r} is of a type that no bundle has")
    if field == "t" and attribute["t"] is not None:
        _check_tensor(attribute["t"])


def _check_tensor(tensor: Message) -> None:
    if tensor["data_location"]:
        raise BundleError("has weights outside of the file")
    if tensor["data_type"] not in _DATA_TYPES or len(tensor["dims"]) > MOST_SIDES:
        raise BundleError(f"the weights {tensor['name']!r} are not {', '.join(_DATA_TYPES.values())}")


def _check_value(value: Message) -> None:
    of = value["type"] and value["type"]["tensor_type"]
    if of and (of["elem_type"] not in _DATA_TYPES or (of["shape"] and len(of["shape"]["dim"]) > MOST_SIDES)):
        raise BundleError(f"{value['name']!r} is not a tensor of {', '.join(_DATA_TYPES.values())}")
