"""From files on disk to a table of labelled images, a split by lesion or patient, and batches.

`load` reads a data set and splits it; `read` returns its table alone. Each layout on disk is one file in
`dspkd.data.readers`.
"""

from dspkd.data.columns import Columns
from dspkd.data.dataset import Dataset, SplitOptions, load, load_table
from dspkd.data.readers import LAYOUTS, read, recognise

__all__ = ["LAYOUTS", "Columns", "Dataset", "SplitOptions", "load", "load_table", "read", "recognise"]
