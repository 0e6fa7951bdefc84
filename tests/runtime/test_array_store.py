import json
import pickle
import subprocess
import sys

import numpy as np
import pytest

from dspkd.errors import DataError
from dspkd.runtime.array_store import KEY_BYTES, Store
from dspkd.runtime.files import readable

ABOUT = {"what": "test arrays"}


def key(n):
    return n.to_bytes(KEY_BYTES, "big")


def filled(folder, numbers, dtype="float32"):
    store = Store(folder, dtype, ABOUT)
    with store.writing():
        store.append((key(n), np.full((n + 1, 2), n, dtype)) for n in numbers)
    return store


def test_what_was_written_is_read_by_key_in_any_order_and_after_reopening(tmp_path):
    filled(tmp_path, [0, 5, 3])
    again = Store(tmp_path, "float32", ABOUT)
    assert len(again) == 3
    assert again.nbytes == 2 * 4 * (1 + 6 + 4)
    for n in (3, 0, 5):
        assert key(n) in again
        np.testing.assert_array_equal(again.read(key(n)), np.full((n + 1, 2), n, np.float32))
    assert key(1) not in again


@pytest.mark.parametrize("shape", [(4,), (2, 3), (2, 3, 4), (1, 1, 1)])
@pytest.mark.parametrize("dtype", ["uint8", "float16", "float32"])
def test_shapes_and_types_come_back(tmp_path, shape, dtype):
    array = np.arange(np.prod(shape)).reshape(shape).astype(dtype)
    store = Store(tmp_path, dtype, ABOUT)
    with store.writing():
        store.append([(key(1), array)])
    read = store.read(key(1))
    assert read.shape == shape
    assert read.dtype == array.dtype
    np.testing.assert_array_equal(read, array)
    with pytest.raises(ValueError, match="read-only"):
        read[0] = 1


def test_an_array_is_written_once_also_where_a_key_comes_twice(tmp_path):
    store = filled(tmp_path, [2, 2, 4])
    with store.writing():
        store.append([(key(2), np.zeros((9, 9), np.float32)), (key(7), np.ones((1, 1), np.float32))])
    assert len(store) == 3
    assert store.read(key(2)).shape == (3, 2)
    assert store.read(key(7)).item() == 1


def test_many_appends_keep_every_array(tmp_path):
    store = Store(tmp_path, "float32", ABOUT)
    with store.writing():
        for n in range(300):
            store.append([(key(n), np.array([n], np.float32))])
            assert store.read(key(n // 2)).item() == n // 2
    assert [store.read(key(n)).item() for n in range(300)] == list(range(300))
    assert [Store(tmp_path, "float32", ABOUT).read(key(n)).item() for n in range(300)] == list(range(300))


def test_what_a_killed_writer_left_half_written_is_cut_off(tmp_path):
    store = filled(tmp_path, [1, 2])
    for name, rubbish in (("arrays", b"half an array"), ("index", b"half an entry")):
        with (tmp_path / f"{name}.bin").open("ab") as file:
            file.write(rubbish)
    again = Store(tmp_path, "float32", ABOUT)
    assert len(again) == 2
    with again.writing():
        again.append([(key(3), np.full((4, 2), 3, np.float32))])
    assert (tmp_path / "arrays.bin").stat().st_size == again.nbytes
    for reader in (again, Store(tmp_path, "float32", ABOUT)):
        assert [reader.read(key(n))[0, 0] for n in (1, 2, 3)] == [1, 2, 3]
    assert len(store) == 2


def test_a_damaged_array_is_refused_when_it_is_read_and_others_are_not(tmp_path):
    filled(tmp_path, [1, 2])
    arrays = tmp_path / "arrays.bin"
    content = bytearray(arrays.read_bytes())
    content[-1] ^= 1
    arrays.write_bytes(content)
    store = Store(tmp_path, "float32", ABOUT)
    assert store.read(key(1))[0, 0] == 1
    with pytest.raises(DataError, match=r"array 1 is damaged \(its checksum differs\); delete this folder"):
        store.read(key(2))


def test_a_file_cut_short_is_refused(tmp_path):
    filled(tmp_path, [1, 2])
    arrays = tmp_path / "arrays.bin"
    arrays.write_bytes(arrays.read_bytes()[:-1])
    with pytest.raises(DataError, match="is cut short: 39 bytes instead of 40; delete the folder"):
        Store(tmp_path, "float32", ABOUT)


def test_a_folder_of_other_arrays_is_refused(tmp_path):
    filled(tmp_path, [1])
    with pytest.raises(DataError, match="its what is 'test arrays', wanted is 'others'"):
        Store(tmp_path, "float32", {"what": "others"})
    with pytest.raises(DataError, match="its dtype is 'float32', wanted is 'float16'"):
        Store(tmp_path, "float16", ABOUT)
    assert json.loads((tmp_path / "store.json").read_text()) == {"dtype": "float32", **ABOUT}


def test_a_key_that_was_never_written_is_an_error(tmp_path):
    with pytest.raises(DataError, match="holds nothing under the key 0000"):
        filled(tmp_path, [1]).read(key(0))


def test_a_reader_of_another_process_sees_the_same_arrays(tmp_path):
    store = filled(tmp_path, [1, 2])
    copied = pickle.loads(pickle.dumps(store))
    np.testing.assert_array_equal(copied.read(key(2)), store.read(key(2)))


WRITER = """
import sys
from pathlib import Path
import numpy as np
from dspkd.runtime.array_store import Store
store = Store(Path(sys.argv[1]), "float32", {"what": "test arrays"})
for n in range(int(sys.argv[2]), int(sys.argv[2]) + 40, 2):
    with store.writing():
        store.append((m.to_bytes(16, "big"), np.full(100 - m, m, np.float32)) for m in (n, n + 1))
"""


def test_writers_at_the_same_time_do_not_spoil_each_others_arrays(tmp_path):
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path), start]) for start in ("0", "20")]
    assert [writer.wait() for writer in writers] == [0, 0]
    store = Store(tmp_path, "float32", ABOUT)
    assert len(store) == 60
    assert all((store.read(key(n)) == n).all() for n in range(60))
    assert store.nbytes == (tmp_path / "arrays.bin").stat().st_size


def test_no_room_is_said_before_anything_is_written(tmp_path):
    store = filled(tmp_path, [1])
    store.require_space(1000)
    with pytest.raises(DataError, match=r"1e\+12 GB are to be written, and .* are free; name a folder on another disk"):
        store.require_space(10**21)


def test_sizes_are_told_in_units_that_a_person_reads():
    assert [readable(n) for n in (12, 1530, 999_600_000, 25e9)] == ["12 bytes", "1.53 kB", "1e+03 MB", "25 GB"]
