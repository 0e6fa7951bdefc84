"""Mutated uploads against `dspkd serve`: none may crash it, hang it or cause a status of 500 or more.

    python benchmarks/fuzz_serve.py model.dspkd --count 10000 --seed 0

Images in JPEG, PNG and WebP, forms and headers are mutated: bits, bytes, runs of them, lengths, cuts, chunks of other
images, boundaries, headers. Afterwards the server must respond as before.
"""

import argparse
import asyncio
import io
import random
import sys
import time
from collections import Counter
from pathlib import Path

from PIL import Image
from served import BOUNDARY, Client, multipart, request, resident, served

from dspkd.data.synthetic.photo import paint


def originals():
    """Return small images in every form."""
    image = Image.fromarray(paint("NV", lesion=1, photo=0, size=64))
    exif = Image.Exif()
    exif[274] = 6
    images = []
    forms = [
        ("JPEG", {"exif": exif}),
        ("JPEG", {"progressive": True}),
        ("PNG", {}),
        ("PNG", {"exif": exif}),
        ("WEBP", {"quality": 80}),
        ("WEBP", {"lossless": True, "exif": exif}),
    ]
    for form, options in forms:
        file = io.BytesIO()
        image.save(file, form, **options)
        images.append(file.getvalue())
    for form, mode in [("PNG", "1"), ("PNG", "P"), ("PNG", "I;16"), ("PNG", "LA"), ("JPEG", "L"), ("JPEG", "CMYK")]:
        file = io.BytesIO()
        (image.convert("L") if mode == "I;16" else image).convert(mode).save(file, form)
        images.append(file.getvalue())
    return images


def mutated(data, draw, others=()):
    """Return `data` with one to four mutations."""
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
            data[at : at + 4] = draw.choice([b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\0\1"])
        elif kind == 6:
            data[at:at] = data[max(0, at - 32) : at] * draw.randint(1, 5)
        elif others:
            other = draw.choice(others)
            start = draw.randrange(len(other))
            data[at : at + 32] = other[start : start + 32]
    return bytes(data)


TYPES = [
    "",
    "image/jpeg",
    "multipart/form-data",
    "multipart/form-data; boundary=",
    'multipart/form-data; boundary="',
    "multipart/form-data; boundary=a b",
    "multipart/form-data; boundary=\xff",
    "multipart/form-data; boundary=" + "x" * 300,
    "multipart/form-data; charset=utf-7; boundary=" + BOUNDARY,
    "multipart/mixed; boundary=b",
]
HEADERS = [
    "Accept-Encoding: \xff",
    "Authorization: Bearer \xff",
    "Content-Encoding: gzip",
    "Cookie: a=b",
    "Expect: 100-continue",
    "Range: bytes=0-",
    "X-Forwarded-For: 1.2.3.4",
    "X: " + "y" * 5000,
]
PATHS = [
    "/predict",
    "/predict",
    "/predict",
    "/heatmap",
    "/heatmap?class_id=NV",
    "/heatmap?class_id=%ff",
    "/predict?x=" + "y" * 200,
]


def upload(draw, images):
    """Return a request with mutations of its image, its form or its header."""
    files = [mutated(draw.choice(images), draw, images) for _ in range(draw.choice([1, 1, 1, 2, 9]))]
    body, content_type = multipart(*files), f"multipart/form-data; boundary={BOUNDARY}"
    where = draw.random()
    if where > 0.7:
        body = mutated(body[:200], draw) + body[200:] if draw.random() < 0.5 else body[:-60] + mutated(body[-60:], draw)
    if where > 0.85:
        content_type = draw.choice(TYPES)
    return request(body, draw.choice(PATHS), content_type, draw.sample(HEADERS, draw.choice([0, 0, 1, 2])))


async def fuzz(address, count, seed):
    images, statuses, slowest, failed = originals(), Counter(), 0.0, []
    valid = request(multipart(images[0]))
    client = Client(address)
    assert await client.send(valid) == 200
    for number in range(count):
        sent = upload(random.Random(f"{seed} {number}"), images)
        broken_header = number % 20 == 0
        if broken_header:
            sent = mutated(sent[:150], random.Random(number)) + sent[150:]
        started = time.perf_counter()
        status = await asyncio.wait_for(client.send(sent, last=broken_header), 60)
        slowest = max(slowest, time.perf_counter() - started)
        statuses[status] += 1
        if status >= 500:
            failed.append(number)
    assert await client.send(valid) == 200, "the server does not respond as before"
    client.close()
    return statuses, slowest, failed


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with served(options.bundle) as (process, address):
        before, started = resident(process.pid), time.perf_counter()
        statuses, slowest, failed = asyncio.run(fuzz(address, options.count, options.seed))
        print(f"{options.count:,} uploads in {time.perf_counter() - started:.0f} s, the slowest {slowest:.2f} s")
        print(f"statuses (0: closed without one): {dict(sorted(statuses.items()))}")
        print(f"resident: {before:.0f} MB before, {resident(process.pid):.0f} MB after")
        assert process.poll() is None, "the server is gone"
    if failed:
        print(f"500 or more: uploads {failed[:20]} of seed {options.seed}")
        sys.exit(1)


if __name__ == "__main__":
    main()
