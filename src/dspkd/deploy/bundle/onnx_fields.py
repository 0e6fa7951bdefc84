"""An ONNX file as its fields, read from the bytes without any package: strictly, and without a copy of the weights.

Protocol buffers can write one message in many ways: fields in any order, a message in pieces that are merged, fields of
later versions that readers skip. Here a file has one meaning or is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dspkd.errors import BundleError

MOST_FIELDS, LONGEST_TEXT = 1_000_000, 1000
"""Limits: fields of a file, of which a network of 1,000 layers has some 50,000, and bytes of a name."""

_VARINT, _LENGTH, _FOUR_BYTES = 0, 2, 5

_NUMBER, _FLOAT, _TEXT, _BYTES = "number", "float", "text", "bytes"
_WIRE = {_NUMBER: _VARINT, _FLOAT: _FOUR_BYTES}

# The fields that `dspkd export` writes, of each message: {number: (name, kind or message, whether several)}.
_MESSAGES: dict[str, dict[int, tuple[str, str, bool]]] = {
    "model": {
        1: ("ir_version", _NUMBER, False),
        2: ("producer_name", _TEXT, False),
        3: ("producer_version", _TEXT, False),
        6: ("doc_string", _TEXT, False),
        7: ("graph", "graph", False),
        8: ("opset_import", "opset", True),
    },
    "opset": {1: ("domain", _TEXT, False), 2: ("version", _NUMBER, False)},
    "graph": {
        1: ("node", "node", True),
        2: ("name", _TEXT, False),
        5: ("initializer", "tensor", True),
        10: ("doc_string", _TEXT, False),
        11: ("input", "value", True),
        12: ("output", "value", True),
        13: ("value_info", "value", True),
    },
    "node": {
        1: ("input", _TEXT, True),
        2: ("output", _TEXT, True),
        3: ("name", _TEXT, False),
        4: ("op_type", _TEXT, False),
        5: ("attribute", "attribute", True),
        6: ("doc_string", _TEXT, False),
        7: ("domain", _TEXT, False),
    },
    "attribute": {
        1: ("name", _TEXT, False),
        2: ("f", _FLOAT, False),
        3: ("i", _NUMBER, False),
        4: ("s", _TEXT, False),
        5: ("t", "tensor", False),
        7: ("floats", _FLOAT, True),
        8: ("ints", _NUMBER, True),
        13: ("doc_string", _TEXT, False),
        20: ("type", _NUMBER, False),
    },
    "tensor": {
        1: ("dims", _NUMBER, True),
        2: ("data_type", _NUMBER, False),
        4: ("float_data", _BYTES, False),
        5: ("int32_data", _BYTES, False),
        7: ("int64_data", _BYTES, False),
        8: ("name", _TEXT, False),
        9: ("raw_data", _BYTES, False),
        12: ("doc_string", _TEXT, False),
        14: ("data_location", _NUMBER, False),
    },
    "value": {1: ("name", _TEXT, False), 2: ("type", "type", False), 3: ("doc_string", _TEXT, False)},
    "type": {1: ("tensor_type", "tensor_type", False)},
    "tensor_type": {1: ("elem_type", _NUMBER, False), 2: ("shape", "shape", False)},
    "shape": {1: ("dim", "dim", True)},
    "dim": {1: ("dim_value", _NUMBER, False), 2: ("dim_param", _TEXT, False)},
}

_NEVER = {
    ("model", 20): "training info",
    ("model", 25): "functions of its own",
    ("graph", 15): "sparse weights",
    ("attribute", 6): "a graph of its own",
    ("attribute", 11): "graphs of its own",
    ("tensor", 13): "weights outside of the file",
}
"""What some other fields are, for messages."""

Message = Mapping[str, Any]
"""A message: ``{field: value}``: a list of a field that may be there several times, None of one that is not there."""


def read(content: bytes) -> Message:
    """Return the model in an ONNX file; weights are views of `content`.

    Raises
    ------
    BundleError
        It is not an ONNX file, or has a field that `dspkd export` does not write.
    """
    try:
        return _Reader().message(memoryview(content), "model")
    except IndexError:
        raise BundleError("not an ONNX file, or one that was cut short") from None


class _Reader:
    def __init__(self) -> None:
        self._left = MOST_FIELDS

    def message(self, data: memoryview, kind: str) -> Message:
        """Return the message of this kind in all of `data`; IndexError where it is cut short."""
        known = _MESSAGES[kind]
        message: dict[str, Any] = {name: [] if several else None for name, _, several in known.values()}
        at = 0
        while at < len(data):
            tag, at = _varint(data, at)
            number, wire = tag >> 3, tag & 7
            self._left -= 1
            if self._left < 0:
                raise BundleError(f"more than {MOST_FIELDS:,} fields")
            if number not in known:
                what = _NEVER.get((kind, number), f"field {number}, which no bundle has")
                raise BundleError(f"{kind} has {what}")
            name, value_kind, several = known[number]
            if wire != _WIRE.get(value_kind, _LENGTH):
                raise BundleError(f"{kind}.{name} is not written as in an ONNX file")
            value, at = self._value(data, at, value_kind)
            if several:
                message[name].append(value)
            elif message[name] is None:
                message[name] = value
            else:
                raise BundleError(f"{kind} has {name} twice")
        return message

    def _value(self, data: memoryview, at: int, kind: str) -> tuple[Any, int]:
        if kind == _NUMBER:
            return _varint(data, at)
        if kind == _FLOAT:
            return None, _end(data, at, 4)
        length, at = _varint(data, at)
        end = _end(data, at, length)
        part = data[at:end]
        if kind == _BYTES:
            return part, end
        return _text(part) if kind == _TEXT else self.message(part, kind), end


def _end(data: memoryview, at: int, length: int) -> int:
    if at + length > len(data):
        raise IndexError
    return at + length


def _text(part: memoryview) -> str:
    if len(part) > LONGEST_TEXT:
        raise BundleError(f"a name of {len(part):,} bytes")
    text = bytes(part).decode(errors="surrogateescape")
    if not text.isprintable():
        raise BundleError(f"a name has characters that are not shown: {text[:40]!r}")
    return text


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    """Return a whole number of up to 64 bits, and where it ends."""
    value = 0
    for shift in range(0, 70, 7):
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & (1 << 64) - 1, at
    raise BundleError("not an ONNX file: a number of more than 64 bits")
