"""A cache of teacher outputs: what it reads, and the bytes that it estimates."""

import pytest
import torch

from dspkd.errors import DataError
from dspkd.training.teachers.cache_cost import CacheCost
from dspkd.training.teachers.cached import CachedTeacher, stored_bytes
from dspkd.types import Batch, NetworkSpec, Output


class FakeTeacher:
    """A teacher whose output for (row, view) is a function of these."""

    name, spec = "fake", NetworkSpec(8, 3, {"stride32": 2, "last": 4})

    def digest(self):
        return "its weights"

    def answer(self, batch):
        number_B = (10 * batch.index + batch.views).float()
        shapes = {"stride32": (2, 2, 2), "last": (4, 1, 2)}
        maps = {tap: number_B.view(-1, 1, 1, 1).expand(-1, *shape) for tap, shape in shapes.items()}
        return Output(number_B[:, None].expand(-1, 8), number_B[:, None].expand(-1, 3), maps)


def batch_of(*images):
    index, views = torch.tensor(images).T
    return Batch(torch.zeros(len(images), 3, 1, 1), index, index, views)


def filled(folder, fields, images=((0, 0), (1, 0), (1, 1), (2, 3))):
    cache = CachedTeacher(FakeTeacher(), fields, [bytes([row]) * 16 for row in range(3)], {}, folder)
    cache.fill(
        images,
        lambda batches: (batch_of(*batch) for batch in batches),
        derived=(),
        batch_size=2,
        compute=FakeTeacher().answer,
        progress=lambda *_: None,
        log=lambda _: None,
    )
    return cache


@pytest.fixture
def fields_read(monkeypatch):
    """Return the names of the fields that are read, as they are read."""
    read = []
    original = CachedTeacher._read
    monkeypatch.setattr(
        CachedTeacher, "_read", lambda self, field, keys: (read.append(field), original(self, field, keys))[1]
    )
    return read


def test_cached_outputs_are_those_of_the_teacher_in_any_order(tmp_path):
    cache = filled(tmp_path, {"logits", "pooled", "stride32", "last"})
    batch = batch_of((2, 3), (0, 0), (1, 1))
    output, expected = cache.answer(batch), FakeTeacher().answer(batch)
    assert torch.equal(output.logits, expected.logits)
    assert torch.equal(output.pooled, expected.pooled)
    assert {tap: x.tolist() for tap, x in output.maps.items()} == {tap: x.tolist() for tap, x in expected.maps.items()}


def test_a_map_is_read_at_its_first_use_and_once(tmp_path, fields_read):
    output = filled(tmp_path, {"logits", "stride32", "last"}).answer(batch_of((0, 0), (1, 1)))
    assert fields_read == ["logits"]
    assert list(output.maps) == ["last", "stride32"]
    assert fields_read == ["logits"]
    assert output.maps["last"] is output.maps["last"]
    assert fields_read == ["logits", "last"]


def test_a_field_that_is_not_stored_is_absent(tmp_path):
    output = filled(tmp_path, {"logits", "last"}).answer(batch_of((0, 0)))
    assert "stride32" not in output.maps
    assert "logits" not in output.maps
    with pytest.raises(KeyError, match="stride32"):
        output.maps["stride32"]


def test_a_view_that_is_not_cached_is_refused(tmp_path):
    cache = filled(tmp_path, {"last"})
    with pytest.raises(DataError, match="no array under the key"):
        cache.answer(batch_of((0, 1))).maps["last"]


@pytest.mark.parametrize("maps", ["float16", "float32"])
def test_the_estimated_bytes_are_those_stored(tmp_path, maps):
    fields = {"logits", "last", "stride32"}
    cache = CachedTeacher(FakeTeacher(), fields, [bytes(16)], {}, tmp_path, maps=maps)
    output = FakeTeacher().answer(batch_of((0, 0), (0, 1)))
    with_both = stored_bytes(output, fields, maps)
    assert with_both == 2 * (4 * 8 + (2 if maps == "float16" else 4) * (8 + 8))
    cache.fill(
        [(0, 0), (0, 1)], lambda batches: (batch_of(*batch) for batch in batches), derived=(), batch_size=2,
        compute=FakeTeacher().answer, progress=lambda *_: None, log=lambda _: None,
    )  # fmt: skip
    assert cache.nbytes == with_both


def test_the_cost_is_none_where_it_is_not_recorded(tmp_path):
    cache = filled(tmp_path, {"logits"})
    assert cache.cost(2).seconds is not None
    (written,) = tmp_path.rglob("spent.jsonl")
    written.write_text("")  # another run has just opened it
    assert cache.cost(2) == CacheCost(2, None, None)
    written.unlink()
    assert cache.cost(2) == CacheCost(2, None, None)
