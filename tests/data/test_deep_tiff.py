"""TIFF files of 16 bits that Pillow reads otherwise than they are meant."""

import struct

import numpy as np
import pytest

from dspkd.data.decode import decode
from dspkd.deploy.bundle import preprocess
from dspkd.errors import DataError

GREY = np.arange(1200, dtype=np.uint16).reshape(30, 40) * 54


def tiff(planes, *, photometric, order="<"):
    """Return an uncompressed TIFF of 16 bits, of one plane or of one for each colour."""
    colours, height, width = planes.shape
    pixels = planes.astype(f"{order}u2").tobytes()
    size, after = len(pixels) // colours, 8 + 2 + 9 * 12 + 4

    def many(values, kind, where):
        code = {3: "H", 4: "I"}[kind]
        if len(values) == 1:
            return struct.pack(f"{order}{code}", *values).ljust(4, b"\0"), b""
        return struct.pack(f"{order}I", where), struct.pack(f"{order}{len(values)}{code}", *values)

    begins = after + 3 * 4 * colours
    lists = {273: (4, [begins + n * size for n in range(colours)]), 258: (3, [16] * colours)}
    lists |= {279: (4, [size] * colours)}
    numbers = {256: width, 257: height, 259: 1, 262: photometric, 277: colours, 284: 1 + (colours > 1)}
    entries, rest = b"", b""
    for tag in sorted({*numbers, *lists}):
        kind, values = lists.get(tag, (3, [numbers.get(tag)]))
        value, beyond = many(values, kind, after + len(rest))
        entries += struct.pack(f"{order}HHI", tag, kind, len(values)) + value
        rest += beyond
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}IH", 8, 9)
    return (head + entries + bytes(4) + rest).ljust(begins, b"\0") + pixels


@pytest.mark.parametrize(("photometric", "meant"), [(0, 65535 - GREY), (1, GREY)])
def test_zero_is_white_where_the_file_says_so(tmp_path, photometric, meant):
    path = tmp_path / "a.tif"
    path.write_bytes(tiff(GREY[None], photometric=photometric))
    expected = np.rint(meant / 257).astype(np.uint8)
    for read in (decode(path), preprocess.decode(path), preprocess.decode(path.read_bytes())):
        np.testing.assert_array_equal(read, np.stack([expected] * 3, axis=2))


@pytest.mark.parametrize("order", ["<", ">"])
def test_a_plane_for_each_colour_is_refused(tmp_path, order):
    path = tmp_path / "a.tif"
    path.write_bytes(tiff(np.stack([GREY] * 3), photometric=2, order=order))
    for read in (decode, preprocess.decode):
        with pytest.raises(DataError, match=r"a\.tif: .*16 bits with a plane for each colour.*save it as PNG"):
            read(path)
