"""Layout "fitzpatrick17k": clinical photographs of two atlases, with Fitzpatrick skin types."""

from dataclasses import replace

from dspkd.data.csv_rows import Rows
from dspkd.data.image_files import images_below
from dspkd.data.readers._published import PublishedTable


def _with_images(rows: Rows) -> Rows:
    """Return the rows whose image is there: many of the published addresses are dead."""
    stems = {file.stem for file in images_below(rows.path.parent)}
    kept = [row for row, name in enumerate(rows.column("md5hash")) if name in stems]
    if not kept or len(kept) == len(rows.lines):
        return rows
    note = f"{len(rows.lines) - len(kept):,} of {len(rows.lines):,} images are not there and are left out"
    return replace(rows.take(kept), notes=(*rows.notes, note))


_SET = PublishedTable(
    layout="fitzpatrick17k",
    columns=("md5hash", "fitzpatrick_scale", "label", "nine_partition_label"),
    image="md5hash",
    label="label",
    prepare=_with_images,
    licence="CC BY-NC-SA 3.0",
)
"""``fitzpatrick17k.csv`` above images that are called after ``md5hash``; ``data.columns.label`` names a coarser class,
``nine_partition_label`` or ``three_partition_label``.

The columns were confirmed in third-party loaders, the licence was not. The set names no patients."""

LAYOUTS = (_SET.layout,)
PRIORITY = 24
EXPECTED = _SET.expected
fits = _SET.fits
read = _SET.read
