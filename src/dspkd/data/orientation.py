"""How an image lies in its file: the EXIF orientation, and nothing else.

docs/bundle-format.md has the rule, and ``static/image_file.js`` of the web page is the same in JavaScript. Pillow's own
reading also takes XMP, text chunks of PNG and values of any type into account, which browsers do not.
"""

from __future__ import annotations

import struct

from PIL import Image

_TAG, _SHORT = 0x112, 3
_PREFIX = b"Exif\0\0"
_BYTE_ORDERS = {b"II*\0": "<", b"MM\0*": ">"}
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def orientation(image: Image.Image) -> int:
    """Return the orientation of the current frame, 1 to 8; 1 where EXIF has none. A PNG is loaded."""
    if image.format == "PNG":
        image.load()  # its EXIF may come after the pixels
    block = image.info.get("exif")
    if not isinstance(block, bytes) or (image.format == "PNG" and not block.startswith(_PREFIX)):
        return 1  # without the prefix, Pillow took it from a text chunk
    return _of_block(block)


def upright(image: Image.Image) -> Image.Image:
    """Return the image turned upright; what it has of EXIF stays as it is and is not written again."""
    image.info.pop("xmp", None)  # by which Pillow would turn a TIFF while it loads
    image.load()
    turn = _TURNS.get(orientation(image))
    return image if turn is None else image.transpose(turn)


def _of_block(block: bytes) -> int:
    """Return the orientation in the first directory of a block of EXIF: one SHORT from 1 to 8, else 1."""
    while block.startswith(_PREFIX):
        block = block.removeprefix(_PREFIX)
    order = _BYTE_ORDERS.get(block[:4])
    if order is None:
        return 1
    try:
        (directory,) = struct.unpack_from(f"{order}I", block, 4)
        (entries,) = struct.unpack_from(f"{order}H", block, directory)
        for entry in range(entries):
            tag, kind, count, value = struct.unpack_from(f"{order}HHIH", block, directory + 2 + 12 * entry)
            if tag == _TAG:
                return value if (kind, count) == (_SHORT, 1) and value in _TURNS else 1
    except struct.error:
        pass  # an offset beyond the end
    return 1
