import numpy as np
import pytest

from dspkd.runtime import key_index
from dspkd.runtime.key_index import KeyIndex


def digests(count):
    return np.frombuffer(np.random.default_rng(0).bytes(16 * count), "V16")


@pytest.mark.parametrize("few", [0, 3, 1000])
def test_each_key_is_found_at_its_position_while_keys_are_added(few, monkeypatch):
    monkeypatch.setattr(key_index, "_FEW", few)
    keys, index = digests(200), KeyIndex()
    for count in (1, 2, 3, 50, 50, 61, 200):
        index.update(keys[:count])
        expected = [*range(count), *[None] * (200 - count)]
        assert [index.position(key.tobytes()) for key in keys] == expected


def test_keys_with_the_same_first_bytes_are_distinguished(monkeypatch):
    monkeypatch.setattr(key_index, "_FEW", 0)
    keys = [b"same....%08d" % n for n in (5, 3, 9)]
    index = KeyIndex()
    index.update(np.array(keys, "V16"))
    assert [index.position(key) for key in keys] == [0, 1, 2]
    assert index.position(b"same....%08d" % 4) is None


def test_a_key_takes_few_bytes_of_its_own(monkeypatch):
    keys, index = digests(20_000), KeyIndex()
    index.update(keys)
    assert not index._waiting
    assert index._starts.nbytes + index._positions.nbytes == 12 * len(keys)
    assert index._keys is keys
