"""A teacher whose answers were stored: asked once, it teaches every run that shows the same views."""

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
from dspkd.training.teachers.ensemble import EnsembleTeacher
from dspkd.training.teachers.frozen import FrozenTeacher
from dspkd.training.teachers.lazy_maps import LazyMaps
from dspkd.types import Batch, Output, derived_view

View = tuple[int, int]
"""Row of the table and view, see `dspkd.types.Batch`."""

Said = dict[str, tuple[list[bytes], NDArray[np.generic]]]
"""For each field, keys of views and what is stored under them."""

_SPENT = "spent.jsonl"


@dataclass(frozen=True)
class CacheCost:
    """What a cache's answers took when they were made, whichever run it was that waited for them.

    Attributes
    ----------
    views
        How many views were answered.
    seconds, cpu_seconds
        By the clock, and of all threads of all ranks together; None where nobody wrote it down.
    """

    views: int
    seconds: float | None
    cpu_seconds: float | None


class CachedTeacher:
    """A frozen teacher that reads what it once answered to each view.

    Parameters
    ----------
    live
        Who answers what is not yet stored.
    fields
        What to keep of an answer: ``logits``, ``pooled``, names of maps. Logits and pooled vectors are kept in
        float32. An answer that is read has these fields and no others.
    images
        For each row of the table, what the view of a view of it depends on beside the transform: the image's
        bytes and its id, as one key.
    about
        What else the answers depend on, in plain data: the transform, the decoder, the precision of the arithmetic.
    folder
        Under which caches are kept, each in a folder named by all that it depends on. Whatever changes, another cache
        is used; one whose folder says something else than its name is refused.
    maps
        Type in which maps are kept. ``float32`` gives the training that the live teacher gives, bit for bit where its
        answer to a view does not depend on the other views of the batch; ``float16`` rounds to 11 bits, and
        halves the bytes.

    Notes
    -----
    Stored arrays are found by image, id and view, never by position, as in `dspkd.runtime.array_store.Store`:
    checked when first read, shared by processes that run at the same time, and kept where filling was stopped.
    """

    def __init__(
        self,
        live: FrozenTeacher | EnsembleTeacher,
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
            dtype = _kept_in(field, maps)
            self._stores[field] = Store(self._folder / f"{field}-{dtype}", dtype, depends)

    @property
    def parameters(self) -> int:
        """Return the number of weights of the live teacher."""
        return self.live.parameters

    def digest(self) -> str:
        """Return the live teacher's digest."""
        return self.live.digest()

    def answer(self, batch: Batch) -> Output:
        """Return what the teacher answered to these views, on their device, in float32.

        Maps are read when a term first asks for them: a stage that wants logits alone reads nothing else.

        Raises
        ------
        DataError
            It was never asked about one of them, or what is stored is damaged; for a map, once it is asked for.
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
        made: Sequence[int],
        batch_size: int,
        ask: Callable[[Batch], Output],
        progress: Callable[[str, int, int], None],
        log: Callable[[str], None],
        world: World = SINGLE,
    ) -> None:
        """Have the live teacher answer the views that are not yet stored.

        Ranks take the batches in turn. Rank 0 stores all answers, and so does one rank of each machine that does not
        see its folder.

        Parameters
        ----------
        views
            Those that training will show.
        show
            Yields batches of listed views, followed in each batch by those made from them, as training shows them.
        made
            Numbers of those made from each, see `dspkd.types.derived_views`.
        batch_size
            Images in a batch. Every batch is full, so that each answer is rounded as in training.
        ask
            Returns the live teacher's answer to a batch.
        progress
            Is told how many views are answered.
        log
            Is told, after the first batch, how many bytes and seconds there are to come.
        ranks
            Processes that do this together.

        Raises
        ------
        DataError
            There is no room for the answers; what was stored stays.
        RunError
            A map has values that float16 cannot hold.
        """
        writes = world.writes(self._folder)
        with ExitStack() as writers:
            for store in self._stores.values() if writes else ():
                writers.enter_context(store.writing())
            lacking = [view for view in set(views) if self._lacks(view, made)] if writes else []
            missing = sorted(set[View]().union(*world.all_gather(lacking)))
            batches = _full(missing, batch_size)
            turns = -(-len(batches) // world.size)
            shown = show(batches[world.rank :: world.size])
            before, started, done = self.nbytes, (time.perf_counter(), time.process_time()), 0
            try:
                for turn in range(turns):
                    said = world.all_gather(world.on_all(partial(self._ask, ask, next(shown, None))))
                    world.on_all(partial(self._keep, said if writes else []))
                    if turn == 0:
                        size = (self.nbytes - before) * turns
                        spent = (time.perf_counter() - started[0]) * turns
                        log(
                            f"{self.name} answers {len(missing):,} views once, keeping {', '.join(self._stores)}: "
                            f"{readable(size)}, about {spent / 60:.0f} min, in {self._folder}"
                        )
                        world.on_all(partial(next(iter(self._stores.values())).require_space, size))
                    done = min((turn + 1) * world.size * batch_size, len(missing))
                    progress(f"{self.name} answers", done, len(missing))
            finally:
                if done and writes:
                    self._write_down(done, *started, world.size)
        for store in self._stores.values():
            store.refresh()

    def cost(self, views: int) -> CacheCost:
        """Return what the answers to so many views took, at the mean of all that this cache was ever asked."""
        written = self._folder / _SPENT
        told = (
            [json.loads(line) for line in written.read_text(encoding="utf-8").splitlines()] if written.exists() else []
        )
        if not told:  # a cache of before this was kept, or another run is just about to write
            return CacheCost(views, None, None)
        share = views / sum(line["views"] for line in told)
        return CacheCost(
            views, *(round(share * sum(line[key] for line in told), 1) for key in ("seconds", "cpu_seconds"))
        )

    def _write_down(self, views: int, started: float, computed: float, processes: int) -> None:
        # Ranks answer as many views each, so what one of them has computed stands for all.
        spent = CacheCost(views, time.perf_counter() - started, processes * (time.process_time() - computed))
        with (self._folder / _SPENT).open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(spent)) + "\n")

    @property
    def nbytes(self) -> int:
        """Return how many bytes the answers take on disk."""
        return sum(store.nbytes for store in self._stores.values())

    def _key(self, row: int, view: int) -> bytes:
        return hashlib.blake2b(self._images[row] + view.to_bytes(8, "big", signed=True), digest_size=KEY_BYTES).digest()

    def _lacks(self, key: View, made: Sequence[int]) -> bool:
        row, view = key
        keys = [self._key(row, view), *(self._key(row, derived_view(view, number)) for number in made)]
        return any(key not in store for store in self._stores.values() for key in keys)

    def _read(self, field: str, keys: list[bytes]) -> Tensor:
        return torch.from_numpy(np.stack([self._stores[field].read(key) for key in keys]))

    def _ask(self, ask: Callable[[Batch], Output], batch: Batch | None) -> Said:
        """Return what is to be stored of the answer to a batch; nothing where there is none."""
        if batch is None:
            return {}
        answered = ask(batch)
        keys = [self._key(*view) for view in _views(batch)]
        said = _parts(answered)
        kept: Said = {}
        for field, store in self._stores.items():
            values = said[field].float().cpu().numpy()
            if store.dtype == np.float16 and np.abs(values).max() > np.finfo(np.float16).max:
                raise RunError(
                    f"teacher {self.name}: its map {field!r} reaches {np.abs(values).max():.3g}, and float16 ends at "
                    '65504; set teacher_cache.maps = "float32"'
                )
            kept[field] = keys, values.astype(store.dtype, copy=False)
        return kept

    def _keep(self, said: Iterable[Said]) -> None:
        for answers in said:
            for field, (keys, values) in answers.items():
                self._stores[field].append(zip(keys, values, strict=True))


def _sent(values: Tensor, device: torch.device) -> Tensor:
    """Return `values` on `device`, and do not wait for what a GPU still has to do, as memory not pinned would."""
    return (values.pin_memory() if device.type == "cuda" else values).to(device, non_blocking=True)


def _full(views: Sequence[View], batch_size: int) -> list[list[View]]:
    """Return batches of the views; the last is filled up with the first ones."""
    padded = [views[i % len(views)] for i in range(-(-len(views) // batch_size) * batch_size)]
    return [padded[i : i + batch_size] for i in range(0, len(padded), batch_size)]


def stored_bytes(answered: Output, fields: Iterable[str], maps: Literal["float16", "float32"] = "float16") -> int:
    """Return the bytes that a cache with these `fields`, and `maps` in this type, takes for an answer to a batch."""
    parts = _parts(answered)
    return sum(parts[field].numel() * np.dtype(_kept_in(field, maps)).itemsize for field in fields)


def _kept_in(field: str, maps: str) -> str:
    return "float32" if field in {"logits", "pooled"} else maps


def _parts(answered: Output) -> dict[str, Tensor]:
    return {"logits": answered.logits, "pooled": answered.pooled, **answered.maps}


def _views(batch: Batch) -> Iterator[View]:
    return zip(batch.index.tolist(), batch.views.tolist(), strict=True)


def image_keys(fingerprints: Sequence[bytes], ids: Sequence[str]) -> list[bytes]:
    """Return one key for each image, from the digest of its bytes and its id, by which its views are drawn."""
    if len(fingerprints) != len(ids):
        raise DataError(f"{len(fingerprints)} images and {len(ids)} ids; there must be one id for each image")
    return [
        hashlib.blake2b(digest + name.encode(), digest_size=KEY_BYTES).digest()
        for digest, name in zip(fingerprints, ids, strict=True)
    ]
