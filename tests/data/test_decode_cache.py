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
    """Decode once into one folder; `lines` has what was logged."""

    def cached(table, rows, short_side=24):
        cached.lines, cached.done = [], []
        return DecodeCache(
            table, rows, short_side, tmp_path / "cache",
            progress=lambda *done: cached.done.append(done), log=cached.lines.append,
        )  # fmt: skip

    return cached


def test_cached_pixels_equal_decoded_ones(table, keep):
    rows = np.arange(3, 40)
    kept = keep(table, rows)
    for row in rows:
        np.testing.assert_array_equal(kept(row), decode(table.paths[row], short_side=24))


def test_each_image_is_decoded_once(table, keep, monkeypatch):
    keep(table, np.arange(20))
    assert keep.lines[0].startswith("decoding 20 images once, to 24 px: 34.6 kB in ")
    decoded = []
    monkeypatch.setattr(decode_cache, "decode", lambda path, **how: decoded.append(path) or decode(path, **how))
    keep(table, np.arange(10, 20))
    assert (decoded, keep.lines) == ([], [])
    keep(table, np.arange(10, 25))
    assert decoded == list(table.paths[20:25])
    renamed = replace(table, ids=tuple(f"other-{name}" for name in table.ids))
    keep(renamed, np.arange(25))
    assert len(decoded) == 5


def test_each_size_has_its_own_cache(table, keep):
    small, large = keep(table, [0], 24), keep(table, [0], 32)
    assert small(0).shape[0] == 24
    assert large(0).shape[0] == 32


def test_a_changed_image_is_decoded_again(table, keep):
    before = keep(table, [0, 1])(0).copy()
    shutil.copy(table.paths[1], table.paths[0])
    after = keep(table, [0, 1])(0)
    assert not np.array_equal(before, after)
    np.testing.assert_array_equal(after, decode(table.paths[1], short_side=24))


def test_damaged_images_are_reported_together_and_the_others_kept(table, keep, monkeypatch):
    for row in (2, 5, 7, 11):
        table.paths[row].write_bytes(table.paths[row].read_bytes()[:300])
    with pytest.raises(DataError, match=rf"4 of {len(table)} images do not decode; fix or remove") as caught:
        keep(table, np.arange(20))
    assert caught.value.args[0].count("not a readable image") == 3
    kept = keep(table, [row for row in range(20) if row not in (2, 5, 7, 11)])
    assert keep.lines == []
    np.testing.assert_array_equal(kept(19), decode(table.paths[19], short_side=24))


def test_an_interrupted_run_keeps_what_was_decoded(table, keep, monkeypatch):
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
    assert keep.lines[0].startswith("decoding 22 images once")
    assert keep.done == [("decoding", 8, 22), ("decoding", 16, 22), ("decoding", 22, 22)]


def test_batches_from_the_cache_equal_batches_from_files(table, keep):
    augment = Augmentation(size=16)
    kept = keep(table, np.arange(32), augment.decode_side)
    plain, *others = (
        list(TrainBatches(table, np.arange(32), augment, batch_size=8, decoded=decoded, workers=workers).epoch(1))
        for decoded, workers in ((None, 0), (kept, 0), (kept, 2))
    )
    for other in others:
        assert all((a.images == b.images).all() for a, b in zip(plain, other, strict=True))


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"gone\.jpg: cannot be read"):
        fingerprints([tmp_path / "gone.jpg"])


def test_each_order_of_artefacts_has_its_own_cache(table, tmp_path):
    def kept(*artefacts):
        return DecodeCache(
            table, [0], 24, tmp_path / "cache", artefacts=artefacts, progress=lambda *_: None, log=lambda _: None
        )

    orders = [(), ("shading",), ("shading", "colour_constancy"), ("colour_constancy", "shading")]
    for artefacts in orders:
        expected = decode(table.paths[0], short_side=24, artefacts=artefacts)
        np.testing.assert_array_equal(kept(*artefacts)(0), expected)
    assert sorted(folder.name.rpartition("-")[0] for folder in (tmp_path / "cache").iterdir()) == [
        "pixels-24", "pixels-24-colour_constancy-shading", "pixels-24-shading", "pixels-24-shading-colour_constancy"
    ]  # fmt: skip
    assert not np.array_equal(kept()(0), kept("shading", "colour_constancy")(0))


def test_two_versions_of_the_decoder_share_a_folder_but_not_their_pixels(table, tmp_path, monkeypatch):
    def kept(version, rows, notes):
        monkeypatch.setattr(decode_cache, "DECODER", version)
        return DecodeCache(table, rows, 24, tmp_path / "cache", progress=lambda *_: None, log=notes.append)

    first, second, again = [], [], []
    kept("Pillow 12", [0, 1], first)
    kept("Pillow 11", [0, 1], second)
    kept("Pillow 12", [0, 1], again)
    assert (len(first), len(second), again) == (1, 1, [])
    assert len(list((tmp_path / "cache").iterdir())) == 2
