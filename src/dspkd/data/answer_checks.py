"""What ids and values of a file of answers must be."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from dspkd.data.soft_labels import remedy_for, require_logits, rounding
from dspkd.errors import DataError

Kind = Literal["logits", "probabilities", "embeddings"]


def check_ids(path: Path, name: str, ids: Sequence[str], place: Callable[[int], str]) -> None:
    """Raise DataError where an id is empty or occurs twice; `place` says where a row stands, as in "line 7"."""
    first: dict[str, int] = {}
    for row, image in enumerate(ids):
        if not image:
            raise DataError(f"{path}, {place(row)}: column {name!r} is empty; every row names an image")
        if image in first:
            raise DataError(
                f"{path}, {place(row)}: {name} {image!r} is there a second time (first on {place(first[image])}); "
                "answers are one for each image: keep one"
            )
        first[image] = row


def check_values(
    path: Path, kind: Kind, columns: Sequence[str], values: NDArray[np.float64], place: Callable[[int], str]
) -> None:
    """Raise DataError where a value of these `columns`, ``[N, C]``, is not finite, or probabilities are none."""
    # As float32, in which they are kept: 1e39 is finite in float64 alone.
    with np.errstate(over="ignore"):
        bad = np.argwhere(~np.isfinite(values.astype(np.float32)))
    for row, column in bad[:1]:
        name = columns[column] if len(columns) > 1 else f"{columns[0]}[{column}]"
        raise DataError(f"{path}, {place(row)}: {name} is {values[row, column]}; every answer must be a finite number")
    if kind == "logits":
        require_logits(path, values)
    if kind != "probabilities":
        return
    sums_N = values.sum(axis=1)
    for row in np.flatnonzero((np.abs(sums_N - 1) > rounding(values)) | (values < 0).any(axis=1))[:1]:
        raise DataError(
            f"{path}, {place(row)}: probabilities must be at least 0 and sum to 1, their sum is {sums_N[row]:.4g}; "
            f"{remedy_for(values[row])}"
        )
