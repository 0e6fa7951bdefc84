"""A cache by itself: what it reads, and what it foresees to take."""

import pytest
import torch

from dspkd.errors import DataError
from dspkd.training.teachers.cached import CacheCost, CachedTeacher, stored_bytes
from dspkd.types import Batch, NetworkSpec, Output


class Loud:
    """A teacher that answers image (row, view) with numbers made from these."""

    name, spec = "loud", NetworkSpec(8, 3, {"stride32": 2, "last": 4})

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
    cache = CachedTeacher(Loud(), fields, [bytes([row]) * 16 for row in range(3)], {}, folder)
    cache.fill(
        images,
        lambda batches: (batch_of(*batch) for batch in batches),
        made=(),
        batch_size=2,
        ask=Loud().answer,
        progress=lambda *_: None,
        log=lambda _: None,
    )
    return cache


@pytest.fixture
def watched(monkeypatch):
    """Return the names of the fields that are read, as they are read."""
    read = []
    original = CachedTeacher._read
    monkeypatch.setattr(
        CachedTeacher, "_read", lambda self, field, keys: (read.append(field), original(self, field, keys))[1]
    )
    return read


def test_it_says_what_the_teacher_said_in_any_order(tmp_path):
    cache = filled(tmp_path, {"logits", "pooled", "stride32", "last"})
    batch = batch_of((2, 3), (0, 0), (1, 1))
    said, wanted = cache.answer(batch), Loud().answer(batch)
    assert torch.equal(said.logits, wanted.logits)
    assert torch.equal(said.pooled, wanted.pooled)
    assert {tap: x.tolist() for tap, x in said.maps.items()} == {tap: x.tolist() for tap, x in wanted.maps.items()}


def test_a_map_is_read_when_it_is_asked_for_and_once(tmp_path, watched):
    said = filled(tmp_path, {"logits", "stride32", "last"}).answer(batch_of((0, 0), (1, 1)))
    assert watched == ["logits"]
    assert list(said.maps) == ["last", "stride32"]
    assert watched == ["logits"]
    assert said.maps["last"] is said.maps["last"]
    assert watched == ["logits", "last"]


def test_a_map_that_is_not_kept_is_none_of_its_maps(tmp_path):
    said = filled(tmp_path, {"logits", "last"}).answer(batch_of((0, 0)))
    assert "stride32" not in said.maps
    assert "logits" not in said.maps
    with pytest.raises(KeyError, match="stride32"):
        said.maps["stride32"]


def test_a_image_that_it_was_not_asked_about_is_refused(tmp_path):
    cache = filled(tmp_path, {"last"})
    with pytest.raises(DataError, match="it was not filled for this"):
        cache.answer(batch_of((0, 1))).maps["last"]


@pytest.mark.parametrize("maps", ["float16", "float32"])
def test_the_bytes_foreseen_are_those_that_are_kept(tmp_path, maps):
    fields = {"logits", "last", "stride32"}
    cache = CachedTeacher(Loud(), fields, [bytes(16)], {}, tmp_path, maps=maps)
    answered = Loud().answer(batch_of((0, 0), (0, 1)))
    with_both = stored_bytes(answered, fields, maps)
    assert with_both == 2 * (4 * 8 + (2 if maps == "float16" else 4) * (8 + 8))
    cache.fill(
        [(0, 0), (0, 1)], lambda batches: (batch_of(*batch) for batch in batches), made=(), batch_size=2,
        ask=Loud().answer, progress=lambda *_: None, log=lambda _: None,
    )  # fmt: skip
    assert cache.nbytes == with_both


def test_what_answers_took_is_not_known_where_nobody_has_written_it_down_yet(tmp_path):
    cache = filled(tmp_path, {"logits"})
    assert cache.cost(2).seconds is not None
    (written,) = tmp_path.rglob("spent.jsonl")
    written.write_text("")  # another run has just opened it
    assert cache.cost(2) == CacheCost(2, None, None)
    written.unlink()
    assert cache.cost(2) == CacheCost(2, None, None)
