"""Layout "ddi": Diverse Dermatology Images, photographs of three groups of skin types."""

from dspkd.data.readers._published import PublishedTable

_CLASSES = {"False": "benign", "True": "malignant"}
_SET = PublishedTable(
    layout="ddi",
    file="ddi_metadata",
    columns=("DDI_file", "malignant", "skin_tone"),
    image="DDI_file",
    label="malignant",
    names={spelling(cell): name for spelling in (str, str.upper, str.lower) for cell, name in _CLASSES.items()},
    licence="Stanford University research use agreement",
)
"""``ddi_metadata.csv`` above its images; ``data.columns.label = "disease"`` uses its 78 diagnoses.

The columns were confirmed in third-party loaders. The set names no patients, though some have several images."""

LAYOUTS = (_SET.layout,)
PRIORITY = 23
EXPECTED = _SET.expected
fits = _SET.fits
read = _SET.read
