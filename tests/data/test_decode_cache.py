import shutil
from dataclasses import replace

import numpy as np
import pytest

from dspkd.data import decode_cache, read
from dspkd.data.decode import decode
from dspkd.data.decode_cache import DecodeCache, fingerprints
from dspkd.data.loader import TrainBatches
from dspkd.data.transforms import Augmentation
from dspkd.errors import DataError


@pytest.fixture
def table(lesions, tmp_path):
    copied = tmp_path / "lesions"
    shutil.copytree(lesions, copied)
    return read("isic2019", copied)


@pytest.fixture
def keep(tmp_path):
    """Decode once into one folder; `said` has what was told."""

    def opened(table, rows, short_side=24):
        opened.said, opened.done = [], []
        return DecodeCache(
            table, rows, short_side, tmp_path / "cache",
            progress=lambda *done: opened.done.append(done), log=opened.said.append,
        )  # fmt: skip

    return opened


def test_pixels_are_those_that_decoding_gives(table, keep):
    rows = np.arange(3, 40)
    kept = keep(table, rows)
    for row in rows:
        np.testing.assert_array_equal(kept(row), decode(table.paths[row], short_side=24))


def test_each_image_is_decoded_once_whoever_asks_again(table, keep, monkeypatch):
    keep(table, np.arange(20))
    assert keep.said[0].startswith("decoding 20 images once, to 24 px: 34.6 kB in ")
    decoded = []
    monkeypatch.setattr(decode_cache, "decode", lambda path, **how: decoded.append(path) or decode(path, **how))
    keep(table, np.arange(10, 20))
    assert (decoded, keep.said) == ([], [])
    keep(table, np.arange(10, 25))
    assert decoded == list(table.paths[20:25])
    renamed = replace(table, ids=tuple(f"other-{name}" for name in table.ids))
    keep(renamed, np.arange(25))
    assert len(decoded) == 5


def test_another_size_has_pixels_of_its_own(table, keep):
    small, large = keep(table, [0], 24), keep(table, [0], 32)
    assert small(0).shape[0] == 24
    assert large(0).shape[0] == 32


def test_a_changed_image_is_decoded_anew(table, keep):
    before = keep(table, [0, 1])(0).copy()
    shutil.copy(table.paths[1], table.paths[0])
    after = keep(table, [0, 1])(0)
    assert not np.array_equal(before, after)
    np.testing.assert_array_equal(after, decode(table.paths[1], short_side=24))


def test_damaged_images_are_told_together_and_the_others_kept(table, keep, monkeypatch):
    for row in (2, 5, 7, 11):
        table.paths[row].write_bytes(table.paths[row].read_bytes()[:300])
    with pytest.raises(DataError, match=rf"4 of {len(table)} images do not decode; mend or remove them:") as told:
        keep(table, np.arange(20))
    assert told.value.args[0].count("not a readable image") == 3
    kept = keep(table, [row for row in range(20) if row not in (2, 5, 7, 11)])
    assert keep.said == []
    np.testing.assert_array_equal(kept(19), decode(table.paths[19], short_side=24))


def test_what_is_decoded_before_a_kill_stays(table, keep, monkeypatch):
    monkeypatch.setattr(decode_cache, "_CHUNK", 8)
    decoded = []

    def until_killed(path, **how):
        decoded.append(path)
        if len(decoded) > 12:
            raise KeyboardInterrupt
        return decode(path, **how)

    monkeypatch.setattr(decode_cache, "decode", until_killed)
    with pytest.raises(KeyboardInterrupt):
        keep(table, np.arange(30))
    monkeypatch.setattr(decode_cache, "decode", decode)
    keep(table, np.arange(30))
    assert keep.said[0].startswith("decoding 22 images once")
    assert keep.done == [("decoding", 8, 22), ("decoding", 16, 22), ("decoding", 22, 22)]


def test_batches_of_kept_images_are_those_of_files_in_this_process_and_in_others(table, keep):
    augment = Augmentation(size=16)
    kept = keep(table, np.arange(32), augment.decode_side)
    plain, *others = (
        list(TrainBatches(table, np.arange(32), augment, batch_size=8, decoded=decoded, workers=workers).epoch(1))
        for decoded, workers in ((None, 0), (kept, 0), (kept, 2))
    )
    for other in others:
        assert all((a.images == b.images).all() for a, b in zip(plain, other, strict=True))


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(DataError, match=r"gone.jpg: cannot be read: No such file"):
        fingerprints([tmp_path / "gone.jpg"])


def test_pixels_without_artefacts_are_kept_apart_and_by_the_order_in_which_these_went(table, tmp_path):
    def kept(*artefacts):
        return DecodeCache(
            table, [0], 24, tmp_path / "cache", artefacts=artefacts, progress=lambda *_: None, log=lambda _: None
        )

    orders = [(), ("shading",), ("shading", "colour_constancy"), ("colour_constancy", "shading")]
    for artefacts in orders:
        wanted = decode(table.paths[0], short_side=24, artefacts=artefacts)
        np.testing.assert_array_equal(kept(*artefacts)(0), wanted)
    assert sorted(folder.name for folder in (tmp_path / "cache").iterdir()) == [
        "pixels-24", "pixels-24-colour_constancy-shading", "pixels-24-shading", "pixels-24-shading-colour_constancy"
    ]  # fmt: skip
    assert not np.array_equal(kept()(0), kept("shading", "colour_constancy")(0))
