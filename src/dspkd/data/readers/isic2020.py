"""Layout "isic2020": the SIIM-ISIC challenge of 2020, melanoma or benign, by patient."""

from dspkd.data.readers._published import PublishedTable

_SET = PublishedTable(
    layout="isic2020",
    columns=("image_name", "patient_id", "target"),
    image="image_name",
    label="target",
    names={"0": "benign", "1": "malignant"},
    group=("patient_id",),
    licence="CC BY-NC 4.0",
)
"""``train.csv`` or ``ISIC_2020_Training_GroundTruth_v2.csv`` above ``train/``; images of the test set have no label.

Columns from memory of several users; the licence could not be confirmed."""

LAYOUTS = (_SET.layout,)
PRIORITY = 21
EXPECTED = _SET.expected
fits = _SET.fits
read = _SET.read
