"""A teacher whose outputs are stored: computed once, they serve every run that trains on the same views."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dspkd.errors import DataError, RunError
from dspkd.runtime.array_store import KEY_BYTES, Store
from dspkd.runtime.distributed import SINGLE, World
from dspkd.runtime.files import readable
from dspkd.training.teachers.cross_fit import CrossFitTeacher
from dspkd.training.teachers.ensemble import EnsembleTeacher
from dspkd.training.teachers.frozen import FrozenTeacher
from dspkd.training.teachers.lazy_maps import LazyMaps
from dspkd.types import Batch, Output, derived_view

View = tuple[int, int]
"""Row of the table and view, see `dspkd.types.Batch`."""

Rows = dict[str, tuple[list[bytes], NDArray[np.generic]]]
"""For each field, keys of views and the values to store under them."""

_COSTS = "spent.jsonl"


@dataclass(frozen=True)
class CacheCost:
    """The time that cached teacher outputs took to compute, in whichever run that was.

    Attributes
    ----------
    views
        Number of views.
    seconds, cpu_seconds
        Wall-clock time, and processor time of all threads of all ranks; None where it was not recorded.
    """

    views: int
    seconds: float | None
    cpu_seconds: float | None


class CachedTeacher:
    """A frozen teacher that reads its stored output for each view.

    Parameters
    ----------
    live
        Teacher that computes what is not yet stored.
    fields
        Parts of an output to store: ``logits``, ``pooled``, names of maps. Logits and pooled vectors are stored in
        float32. An output that is read has these fields and no others.
    images
        For each row of the table, a key of what its views depend on beside the transform: the image's bytes and its ID.
    about
        What else the outputs depend on, as plain data: the transform, the decoder, the arithmetic's precision.
    folder
        Parent of all caches, each in a folder whose name is a hash of all that it depends on. Any change leads to
        another cache; a folder whose content does not match its name is refused.
    maps
        Type in which maps are stored. With ``float32`` training is that with the live teacher, bit for bit where its
        output for a view does not depend on the other views of the batch; ``float16`` rounds to 11 bits, and halves
        the bytes.

    Notes
    -----
    Stored arrays are found by image, ID and view, never by position, see `dspkd.runtime.array_store.Store`. They are
    checked when first read and shared by processes that run at the same time; an interrupted `fill` can continue.
    """

    def __init__(
        self,
        live: FrozenTeacher | EnsembleTeacher | CrossFitTeacher,
        fields: Iterable[str],
        images: Sequence[bytes],
        about: Mapping[str, object],
        folder: Path,
        *,
        maps: Literal["float16", "float32"] = "float16",
    ) -> None:
        self.live, self.spec, self.name = live, live.spec, live.name
        self._images = images
        depends = {"teacher": live.name, "weights": live.digest(), **about}
        name = hashlib.sha256(json.dumps(depends, sort_keys=True).encode()).hexdigest()[:16]
        self._folder = folder / f"teacher-{name}"
        self._stores: dict[str, Store] = {}
        for field in sorted(fields):
            dtype = _dtype(field, maps)
            self._stores[field] = Store(self._folder / f"{field}-{dtype}", dtype, depends)

    @property
    def parameters(self) -> int:
        """Return the number of weights of the live teacher."""
        return self.live.parameters

    def digest(self) -> str:
        """Return the live teacher's digest."""
        return self.live.digest()

    def answer(self, batch: Batch) -> Output:
        """Return the stored output for these views, on their device, in float32.

        Maps are read at their first use: a stage that uses only logits reads nothing else.

        Raises
        ------
        DataError
            A view is not stored, or its stored data are damaged; for a map, at its first use.
        """
        keys = [self._key(*view) for view in _views(batch)]

        def read(field: str) -> Tensor:
            return _sent(self._read(field, keys), batch.images.device).float()

        absent = batch.images.new_empty(len(batch), 0)
        logits, pooled = (read(name) if name in self._stores else absent for name in ("logits", "pooled"))
        return Output(logits, pooled, LazyMaps(self._stores.keys() - {"logits", "pooled"}, read))

    def fill(
        self,
        views: Iterable[View],
        show: Callable[[Sequence[list[View]]], Iterator[Batch]],
        *,
        derived: Sequence[int],
        batch_size: int,
        compute: Callable[[Batch], Output],
        progress: Callable[[str, int, int], None],
        log: Callable[[str], None],
        world: World = SINGLE,
    ) -> None:
        """Compute and store the live teacher's outputs for the views that are not yet stored.

        Ranks take the batches in turn. Rank 0 stores all outputs, and so does one rank of each machine that does not
        share its folder.

        Parameters
        ----------
        views
            Those that training will use.
        show
            Yields batches of the listed views, each followed by the views derived from it, as in training.
        derived
            Numbers of the views derived from each (rotated, strongly augmented), see `dspkd.types.derived_views`.
        batch_size
            Images in a batch. Every batch is full, so that each output is rounded as in training.
        compute
            Returns the live teacher's output for a batch.
        progress
            Receives the number of views done.
        log
            Receives, after the first batch, an estimate of the bytes and the time needed.
        world
            Processes that do this together.

        Raises
        ------
        DataError
            There is not enough disk space; what was stored stays.
        RunError
            A map has values that float16 cannot hold.
        """
        writes = world.writes(self._folder)
        with ExitStack() as writers:
            for store in self._stores.values() if writes else ():
                writers.enter_context(store.writing())
            lacking = [view for view in set(views) if self._lacks(view, derived)] if writes else []
            missing = sorted(set[View]().union(*world.all_gather(lacking)))
            batches = _full(missing, batch_size)
            turns = -(-len(batches) // world.size)
            loaded = show(batches[world.rank :: world.size])
            before, started, done = self.nbytes, (time.perf_counter(), time.process_time()), 0
            try:
                for turn in range(turns):
                    rows = world.all_gather(world.on_all(partial(self._compute, compute, next(loaded, None))))
                    world.on_all(partial(self._append, rows if writes else []))
                    if turn == 0:
                        size = (self.nbytes - before) * turns
                        seconds = (time.perf_counter() - started[0]) * turns
                        log(
                            f"caching outputs of {self.name} for {len(missing):,} views, "
                            f"keeping {', '.join(self._stores)}: {readable(size)}, about {seconds / 60:.0f} min, "
                            f"in {self._folder}"
                        )
                        world.on_all(partial(next(iter(self._stores.values())).require_space, size))
                    done = min((turn + 1) * world.size * batch_size, len(missing))
                    progress(f"caching outputs of {self.name}", done, len(missing))
            finally:
                if done and writes:
                    self._record_cost(done, *started, world.size)
        for store in self._stores.values():
            store.refresh()

    def cost(self, views: int) -> CacheCost:
        """Return the time for so many views, at the mean of all that this cache holds."""
        path = self._folder / _COSTS
        costs = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []
        if not costs:  # another run is about to write it
            return CacheCost(views, None, None)
        share = views / sum(cost["views"] for cost in costs)
        seconds, cpu_seconds = (
            round(share * sum(cost[key] for cost in costs), 1) for key in ("seconds", "cpu_seconds")
        )
        return CacheCost(views, seconds, cpu_seconds)

    def _record_cost(self, views: int, started: float, computed: float, processes: int) -> None:
        # Each rank computes as many views, so the time of one stands for all.
        cost = CacheCost(views, time.perf_counter() - started, processes * (time.process_time() - computed))
        with (self._folder / _COSTS).open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(cost)) + "\n")

    @property
    def nbytes(self) -> int:
        """Return the bytes of the cache on disk."""
        return sum(store.nbytes for store in self._stores.values())

    def _key(self, row: int, view: int) -> bytes:
        return hashlib.blake2b(self._images[row] + view.to_bytes(8, "big", signed=True), digest_size=KEY_BYTES).digest()

    def _lacks(self, key: View, derived: Sequence[int]) -> bool:
        row, view = key
        keys = [self._key(row, view), *(self._key(row, derived_view(view, number)) for number in derived)]
        return any(key not in store for store in self._stores.values() for key in keys)

    def _read(self, field: str, keys: list[bytes]) -> Tensor:
        return torch.from_numpy(np.stack([self._stores[field].read(key) for key in keys]))

    def _compute(self, compute: Callable[[Batch], Output], batch: Batch | None) -> Rows:
        """Return what is to be stored of the output for a batch; nothing where there is no batch."""
        if batch is None:
            return {}
        parts = _parts(compute(batch))
        keys = [self._key(*view) for view in _views(batch)]
        rows: Rows = {}
        for field, store in self._stores.items():
            values = parts[field].float().cpu().numpy()
            if store.dtype == np.float16 and np.abs(values).max() > np.finfo(np.float16).max:
                raise RunError(
                    f"teacher {self.name}: its map {field!r} reaches {np.abs(values).max():.3g}, above the float16 "
                    'maximum 65504; set teacher_cache.maps = "float32"'
                )
            rows[field] = keys, values.astype(store.dtype, copy=False)
        return rows

    def _append(self, gathered: Iterable[Rows]) -> None:
        for rows in gathered:
            for field, (keys, values) in rows.items():
                self._stores[field].append(zip(keys, values, strict=True))


def _sent(values: Tensor, device: torch.device) -> Tensor:
    """Return `values` on `device` without waiting for a GPU, which takes pinned memory."""
    return (values.pin_memory() if device.type == "cuda" else values).to(device, non_blocking=True)


def _full(views: Sequence[View], batch_size: int) -> list[list[View]]:
    """Return full batches of the views; the last is filled up with the first views."""
    padded = [views[i % len(views)] for i in range(-(-len(views) // batch_size) * batch_size)]
    return [padded[i : i + batch_size] for i in range(0, len(padded), batch_size)]


def stored_bytes(output: Output, fields: Iterable[str], maps: Literal["float16", "float32"] = "float16") -> int:
    """Return the bytes that the output for a batch takes in a cache of these `fields`, with `maps` in this type."""
    parts = _parts(output)
    return sum(parts[field].numel() * np.dtype(_dtype(field, maps)).itemsize for field in fields)


def _dtype(field: str, maps: str) -> str:
    return "float32" if field in {"logits", "pooled"} else maps


def _parts(output: Output) -> dict[str, Tensor]:
    return {"logits": output.logits, "pooled": output.pooled, **output.maps}


def _views(batch: Batch) -> Iterator[View]:
    return zip(batch.index.tolist(), batch.views.tolist(), strict=True)


def image_keys(fingerprints: Sequence[bytes], ids: Sequence[str]) -> list[bytes]:
    """Return a key for each image, from the digest of its bytes and its ID, which seeds its views."""
    if len(fingerprints) != len(ids):
        raise DataError(f"{len(fingerprints)} images and {len(ids)} IDs; give one ID for each image")
    return [
        hashlib.blake2b(digest + name.encode(), digest_size=KEY_BYTES).digest()
        for digest, name in zip(fingerprints, ids, strict=True)
    ]
