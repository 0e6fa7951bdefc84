"""Changes of bytes, text and JSON values, drawn at random: most inputs stay nearly valid, so that they get far."""

import json
import re

HOSTILE_TEXTS = [
    "",
    " ",
    "x" * 20_000,
    "\x1b[2J",
    "\x00",
    "\ud800",
    "\u202egnineb",
    "a\u2028b",
    "=1+1",
    "../../etc/passwd",
    "nan",
    "\N{LATIN SMALL LETTER E WITH ACUTE}",
    "\ufeff",
    "'\"\\",
]
HOSTILE_NUMBERS = [
    *(0, -1, 1, 3, 255, 65_536, 2**31 - 1, 2**31, 2**53 + 1, 2**63, 2**64, -(2**63), 10**9, 10**400),
    *(0.0, -0.0, 0.5, 1e-320, 1e308, -1e308, float("inf"), float("-inf"), float("nan")),
]
IN_PLACE_OF = {"nested-3000-deep": "[" * 3000 + "]" * 3000, "number-of-5000-digits": "9" * 5000}
"""What no writer of JSON or TOML writes, by the text that stands in its place until the rest is written."""

HOSTILE = [*HOSTILE_NUMBERS, *HOSTILE_TEXTS, *IN_PLACE_OF, None, True, False, [], {}, [[[]]], {"a": {}}]
LENGTHS = [b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\0\1", b"\xff\xff\0\0"]


def in_bytes(data, draw, others=()):
    """Return `data` with one to four changes of bits, bytes, runs of them and lengths, or parts of `others`."""
    data = bytearray(data)
    for _ in range(draw.randint(1, 4)):
        if not data:
            break
        at, kind = draw.randrange(len(data)), draw.randrange(8)
        if kind == 0:
            data[at] ^= 1 << draw.randrange(8)
        elif kind == 1:
            data[at] = draw.choice([0, 1, 0x7F, 0x80, 0xFF])
        elif kind == 2:
            del data[at : at + draw.randint(1, 64)]
        elif kind == 3:
            data[at:at] = bytes(draw.randrange(256) for _ in range(draw.randint(1, 16)))
        elif kind == 4:
            data[at:] = b""
        elif kind == 5:
            data[at : at + 4] = draw.choice(LENGTHS)
        elif kind == 6:
            data[at:at] = data[max(0, at - 32) : at] * draw.randint(1, 5)
        elif others:
            other = draw.choice(others)
            start = draw.randrange(len(other))
            data[at : at + 32] = other[start : start + 32]
    return bytes(data)


_TOKEN = re.compile(r"[\w.+-]+|[^\w\s]")


def in_text(text, draw):
    """Return a text as bytes, with one to three changes: other tokens, lines doubled or left out, bytes."""
    for _ in range(draw.randint(1, 3)):
        kind, lines = draw.randrange(5), text.split("\n")
        at = draw.randrange(len(lines))
        if kind <= 1 and (tokens := list(_TOKEN.finditer(text))):
            token = draw.choice(tokens)
            text = text[: token.start()] + _token(draw.choice(HOSTILE)) + text[token.end() :]
        elif kind == 2:
            lines.insert(draw.randrange(len(lines)), lines[at])
            text = "\n".join(lines)
        elif kind == 3:
            del lines[at]
            text = "\n".join(lines)
        elif tokens := list(_TOKEN.finditer(text)):
            one, other = draw.choice(tokens), draw.choice(tokens)
            text = text[: one.start()] + other.group() + text[one.end() :]
    data = text.encode("utf-8", "surrogatepass")
    return in_bytes(data, draw) if draw.random() < 0.2 else data


def in_json(content, draw):
    """Return JSON, as bytes, with some of its values changed."""
    return written(json.dumps(in_values(content, draw), ensure_ascii=draw.random() < 0.5))


def written(text):
    """Return JSON or TOML as bytes, with what no writer of it writes."""
    for instead, value in IN_PLACE_OF.items():
        text = text.replace(f'"{instead}"', value)
    return text.encode("utf-8", "surrogatepass")


def in_values(content, draw):
    """Return plain data with one to three of its values replaced, left out, or given a second time."""
    content = json.loads(json.dumps(content))
    for _ in range(draw.randint(1, 3)):
        places = list(_places(content))
        if not places:
            break
        holder, key = draw.choice(places)
        kind = draw.randrange(6)
        if kind == 0:
            del holder[key]
        elif kind == 1:
            other, other_key = draw.choice(places)
            value = json.loads(json.dumps(other[other_key])) if other_key in _keys(other) else None
            holder[key] = value
        elif kind == 2 and isinstance(holder[key], list):
            holder[key] = holder[key] * 50
        else:
            holder[key] = draw.choice(HOSTILE)
    return content


def _token(value):
    return IN_PLACE_OF.get(value, value) if isinstance(value, str) else json.dumps(value)


def _places(content):
    """Yield every place of a value: what holds it, and its key or position."""
    remaining = [content]
    while remaining:
        holder = remaining.pop()
        for key in _keys(holder):
            yield holder, key
            if isinstance(holder[key], dict | list):
                remaining.append(holder[key])


def _keys(holder):
    return list(holder) if isinstance(holder, dict) else range(len(holder))
