"""What a file is that is no table of ours, by its first bytes, and what to do with it."""

from __future__ import annotations

_IMAGE = ("an image, not a data set", "give the folder of the images")
_ARCHIVE = "unpack it and give the folder"
_ARRAYS = "save the images as files, and their classes as a table"
_KINDS = (
    (b"\x89PNG", *_IMAGE),
    (b"\xff\xd8\xff", *_IMAGE),
    (b"GIF8", *_IMAGE),
    (b"II*\0", *_IMAGE),
    (b"MM\0*", *_IMAGE),
    (b"\x1f\x8b", "a gzip file", "give its name the ending .csv.gz if it is a table, or unpack it"),
    (b"7z\xbc\xaf", "a 7z archive", _ARCHIVE),
    (b"Rar!", "a RAR archive", _ARCHIVE),
    (b"PAR1", "a parquet file", "give its name the ending .parquet"),
    (b"ARROW1", "an Arrow file", "give its name the ending .arrow"),
    (b"\x89HDF", "an HDF5 file of no layout that is read here", _ARRAYS),
    (b"\x93NUMPY", "an array of NumPy", _ARRAYS),
    (b"\xd0\xcf\x11\xe0", "a file of an old version of Excel or Word", "save the sheet as .xlsx or .csv"),
    (b"%PDF", "a PDF", "save the table in it as .csv"),
    (b"SQLite format 3", "a database", "save its table as .csv"),
)


def unlike_a_table(content: bytes) -> str:
    """Return what a file is that is no table, and what to do, by its content; "" for anything that may be a text.

    >>> unlike_a_table(b"image,label")
    ''
    >>> unlike_a_table(b"GIF89a")
    'an image, not a data set; give the folder of the images'
    """
    what, then = next(((what, then) for first, what, then in _KINDS if content.startswith(first)), ("", ""))
    if content.startswith(b"PK\x03\x04"):
        what, then = _of_zip(content)
    elif content[:1] == b"\x80" and content[1:2] in b"\x02\x03\x04\x05":
        what, then = "a pickle of Python, which is never opened, as it may run anything", "save the table as .csv"
    elif content[257:262] == b"ustar":
        what, then = "a tar archive", _ARCHIVE
    elif content.startswith(b"RIFF") and content[8:12] == b"WEBP":
        what, then = _IMAGE
    return f"{what}; {then}" if what else ""


def _of_zip(content: bytes) -> tuple[str, str]:
    first = content[30:200]
    if first.startswith((b"[Content_Types]", b"xl/")):
        return "a spreadsheet or document of Office", "give its name the ending .xlsx if it is a spreadsheet"
    if b".npy" in first:
        return "arrays of NumPy of no layout that is read here", _ARRAYS
    return "a ZIP archive", _ARCHIVE
