"""The cost of decoding images into the cache before training, estimated from a sample."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from dspkd.data import decode as images
from dspkd.data.loader import Decode
from dspkd.data.table import Table
from dspkd.data.transforms import Augmentation, CentreCrop
from dspkd.recipes.schema import Recipe
from dspkd.runs import hardware
from dspkd.runs.estimates import CacheEstimate


def decoded_sample(
    recipe: Recipe, table: Table, rows: list[int], transform: Augmentation | CentreCrop, of: int
) -> tuple[Decode | None, CacheEstimate]:
    """Decode these rows; return them and the cost of decoding `of` images, or nothing where a run caches none."""
    if hardware.cache_folder(recipe.machine) is None:
        return None, CacheEstimate()
    sample = sorted(set(rows))
    decode = partial(images.decode, short_side=transform.decode_side, artefacts=transform.artefacts)
    started = time.perf_counter()
    with ThreadPoolExecutor() as pool:
        decoded = dict(zip(sample, pool.map(decode, [table.paths[row] for row in sample]), strict=True))
    scale = of / len(sample)
    seconds = scale * (time.perf_counter() - started)
    return decoded.__getitem__, CacheEstimate(of, seconds, scale * sum(image.nbytes for image in decoded.values()))
