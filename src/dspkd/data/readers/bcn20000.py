"""Layout "bcn20000": dermoscopic images of the Hospital Clinic in Barcelona, by lesion."""

from dspkd.data.readers._published import PublishedTable

_SET = PublishedTable(
    layout="bcn20000",
    columns=("bcn_filename", "diagnosis"),
    image="bcn_filename",
    label="diagnosis",
    group=("lesion_id",),
    licence="CC BY-NC 4.0",
)
"""``bcn_20k_train.csv`` above ``BCN_20k_train/``; the images of the test set have no label.

The columns were confirmed in several third-party loaders, the licence was not."""

LAYOUTS = (_SET.layout,)
PRIORITY = 22
EXPECTED = _SET.expected
fits = _SET.fits
read = _SET.read
