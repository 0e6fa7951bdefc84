"""A bundle's ONNX graph as a torch module, for converters that start from torch. Runs in a converter's environment.

Only what `dspkd export` writes: one graph in float32 of standard operators, one image at a time. Every operator is
computed by the torch function of the same definition; the caller compares the logits with ONNX Runtime's.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import torch
import torch.nn.functional as F
from onnx import numpy_helper
from torch import Tensor, nn

Attributes = dict[str, Any]
"""The attributes of a node, by name."""


class UnsupportedOperatorError(Exception):
    """The graph has an operator, or an option of one, that this module does not compute."""


class OnnxNetwork(nn.Module):
    """The graph of an ONNX file: images ``[1, 3, S, S]`` in [0, 1] to logits ``[1, K]``.

    Raises
    ------
    UnsupportedOperatorError
        It has an operator that is not in `OPERATORS`.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        graph = onnx.load(path).graph
        self._input, self._output = graph.input[0].name, graph.output[0].name
        self._buffer_of: dict[str, str] = {}
        self._sizes: dict[str, int | list[int]] = {}
        for tensor in graph.initializer:
            self._add(tensor.name, torch.from_numpy(numpy_helper.to_array(tensor).copy()))
        self._steps: list[tuple[Callable[..., Any], Attributes, list[str], list[str]]] = []
        for node in graph.node:
            attributes = {each.name: onnx.helper.get_attribute_value(each) for each in node.attribute}
            if node.op_type not in OPERATORS:
                raise UnsupportedOperatorError(f"the operator {node.op_type} is not supported")
            self._steps.append((OPERATORS[node.op_type], attributes, list(node.input), list(node.output)))

    def forward(self, images_13SS: Tensor) -> Tensor:
        """Return the logits of one image."""
        values: dict[str, Any] = {self._input: images_13SS}
        for compute, attributes, inputs, outputs in self._steps:
            results = compute(attributes, *(self._value(values, name) for name in inputs))
            for name, result in zip(outputs, results if isinstance(results, tuple) else (results,), strict=False):
                values[name] = result
        logits: Tensor = values[self._output]
        return logits

    def _add(self, name: str, tensor: Tensor) -> None:
        """Keep weights as a buffer, and whole numbers, which are shapes and axes, as a list."""
        if tensor.is_floating_point():
            self._buffer_of[name] = f"weights_{len(self._buffer_of)}"
            self.register_buffer(self._buffer_of[name], tensor)
        else:
            self._sizes[name] = tensor.tolist()

    def _value(self, values: dict[str, Any], name: str) -> Any:
        if not name:
            return None
        if name in self._sizes:
            return self._sizes[name]
        return getattr(self, self._buffer_of[name]) if name in self._buffer_of else values[name]


def _padded(attributes: Attributes, images: Tensor, value: float = 0.0) -> Tensor:
    """Return the images with the padding of a convolution or pooling, which may be unequal on two sides."""
    if attributes.get("auto_pad", b"NOTSET") not in (b"NOTSET", b"VALID"):
        raise UnsupportedOperatorError(f"auto_pad = {attributes['auto_pad'].decode()}")
    pads = attributes.get("pads", [0] * (2 * (images.ndim - 2)))
    top, left, bottom, right = pads
    return F.pad(images, (left, right, top, bottom), value=value) if any(pads) else images


def _conv(attributes: Attributes, images: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    pads = attributes.get("pads", [0, 0, 0, 0])
    even = pads[:2] == pads[2:] and attributes.get("auto_pad", b"NOTSET") == b"NOTSET"
    return F.conv2d(
        images if even else _padded(attributes, images),
        weight,
        bias,
        stride=attributes.get("strides", [1, 1]),
        padding=pads[:2] if even else 0,
        dilation=attributes.get("dilations", [1, 1]),
        groups=attributes.get("group", 1),
    )


def _max_pool(attributes: Attributes, images: Tensor) -> Tensor:
    pads = attributes.get("pads", [0, 0, 0, 0])
    even = pads[:2] == pads[2:] and attributes.get("auto_pad", b"NOTSET") == b"NOTSET"
    return F.max_pool2d(
        images if even else _padded(attributes, images, float("-inf")),
        attributes["kernel_shape"],
        attributes.get("strides", [1, 1]),
        padding=pads[:2] if even else 0,
        dilation=attributes.get("dilations", [1, 1]),
        ceil_mode=bool(attributes.get("ceil_mode", 0)),
    )


def _average_pool(attributes: Attributes, images: Tensor) -> Tensor:
    pads = attributes.get("pads", [0, 0, 0, 0])
    if pads[:2] != pads[2:] or attributes.get("auto_pad", b"NOTSET") != b"NOTSET":
        raise UnsupportedOperatorError("AveragePool with unequal padding")
    return F.avg_pool2d(
        images,
        attributes["kernel_shape"],
        attributes.get("strides", [1, 1]),
        padding=pads[:2],
        ceil_mode=bool(attributes.get("ceil_mode", 0)),
        count_include_pad=bool(attributes.get("count_include_pad", 0)),
    )


def _gemm(attributes: Attributes, a: Tensor, b: Tensor, c: Tensor | None = None) -> Tensor:
    if attributes.get("alpha", 1.0) != 1 or attributes.get("beta", 1.0) != 1 or attributes.get("transA", 0):
        raise UnsupportedOperatorError("Gemm with alpha, beta or transA")
    return F.linear(a, b if attributes.get("transB", 0) else b.T, c)


def _reshape(attributes: Attributes, images: Tensor, shape: list[int]) -> Tensor:
    if not attributes.get("allowzero", 0):
        shape = [images.shape[at] if side == 0 else side for at, side in enumerate(shape)]
    return images.reshape(shape)


def _split(attributes: Attributes, images: Tensor, sizes: list[int] | None = None) -> tuple[Tensor, ...]:
    axis = attributes.get("axis", 0)
    if sizes is None:
        sizes = [images.shape[axis] // attributes["num_outputs"]] * attributes["num_outputs"]
    parts: tuple[Tensor, ...] = torch.split(images, sizes, dim=axis)
    return parts


def _mean(attributes: Attributes, images: Tensor, axes: list[int]) -> Tensor:
    return images.mean(dim=axes, keepdim=bool(attributes.get("keepdims", 1)))


def _clip(_: Attributes, images: Tensor, low: Tensor | None = None, high: Tensor | None = None) -> Tensor:
    return images.clamp(None if low is None else float(low), None if high is None else float(high))


def _slice(
    _: Attributes,
    images: Tensor,
    starts: list[int],
    ends: list[int],
    axes: list[int] | None = None,
    steps: list[int] | None = None,
) -> Tensor:
    at: list[slice] = [slice(None)] * images.ndim
    for number, axis in enumerate(axes or range(len(starts))):
        at[axis] = slice(starts[number], ends[number], steps[number] if steps else 1)
    return images[tuple(at)]


def _layer_norm(attributes: Attributes, images: Tensor, scale: Tensor, bias: Tensor | None = None) -> Tensor:
    return F.layer_norm(images, tuple(scale.shape), scale, bias, attributes.get("epsilon", 1e-5))


def _batch_norm(
    attributes: Attributes, images: Tensor, scale: Tensor, bias: Tensor, mean: Tensor, variance: Tensor
) -> Tensor:
    return F.batch_norm(images, mean, variance, scale, bias, eps=attributes.get("epsilon", 1e-5))


def _unsqueeze(_: Attributes, images: Tensor, axes: list[int]) -> Tensor:
    for axis in sorted(axes):
        images = images.unsqueeze(axis)
    return images


def _gather(attributes: Attributes, images: Tensor, indices: int | list[int]) -> Tensor:
    where = indices if isinstance(indices, int) else torch.tensor(indices)
    return images[(*[slice(None)] * attributes.get("axis", 0), where)]


def _expand(_: Attributes, images: Tensor, shape: list[int]) -> Tensor:
    return images + torch.zeros(shape)


OPERATORS: dict[str, Callable[..., Any]] = {
    "Add": lambda _, a, b: a + b,
    "AveragePool": _average_pool,
    "BatchNormalization": _batch_norm,
    "Clip": _clip,
    "Concat": lambda attributes, *parts: torch.cat(parts, dim=attributes["axis"]),
    "Conv": _conv,
    "Div": lambda _, a, b: a / b,
    "Erf": lambda _, a: torch.erf(a),
    "Expand": _expand,
    "Flatten": lambda attributes, a: a.flatten(attributes.get("axis", 1)),
    "Gather": _gather,
    "Gelu": lambda attributes, a: F.gelu(a, approximate=attributes.get("approximate", b"none").decode()),
    "Gemm": _gemm,
    "GlobalAveragePool": lambda _, a: a.mean(dim=(2, 3), keepdim=True),
    "HardSigmoid": lambda attributes, a: (a * attributes.get("alpha", 0.2) + attributes.get("beta", 0.5)).clamp(0, 1),
    "HardSwish": lambda _, a: F.hardswish(a),
    "Identity": lambda _, a: a,
    "LayerNormalization": _layer_norm,
    "LeakyRelu": lambda attributes, a: F.leaky_relu(a, attributes.get("alpha", 0.01)),
    "MatMul": lambda _, a, b: a @ b,
    "MaxPool": _max_pool,
    "Mul": lambda _, a, b: a * b,
    "ReduceMean": _mean,
    "Relu": lambda _, a: F.relu(a),
    "Reshape": _reshape,
    "Sigmoid": lambda _, a: torch.sigmoid(a),
    "Slice": _slice,
    "Softmax": lambda attributes, a: a.softmax(dim=attributes.get("axis", -1)),
    "Split": _split,
    "Sqrt": lambda _, a: a.sqrt(),
    "Squeeze": lambda _, a, axes: a.squeeze(tuple(axes)),
    "Sub": lambda _, a, b: a - b,
    "Tanh": lambda _, a: a.tanh(),
    "Transpose": lambda attributes, a: a.permute(attributes["perm"]),
    "Unsqueeze": _unsqueeze,
}
"""What each ONNX operator computes in torch."""
