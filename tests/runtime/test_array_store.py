import json
import pickle
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from filelock import FileLock

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


def test_arrays_are_read_by_key_in_any_order_and_after_reopening(tmp_path):
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
def test_shapes_and_dtypes_are_kept(tmp_path, shape, dtype):
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


def test_an_array_with_an_existing_key_is_not_written_again(tmp_path):
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


def test_incomplete_data_of_a_killed_writer_are_cut_off(tmp_path):
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


def test_only_the_damaged_array_is_refused(tmp_path):
    filled(tmp_path, [1, 2])
    arrays = tmp_path / "arrays.bin"
    content = bytearray(arrays.read_bytes())
    content[-1] ^= 1
    arrays.write_bytes(content)
    store = Store(tmp_path, "float32", ABOUT)
    assert store.read(key(1))[0, 0] == 1
    with pytest.raises(DataError, match=r"array 1 .*checksum.*delete this folder"):
        store.read(key(2))


def test_a_file_cut_short_is_refused(tmp_path):
    filled(tmp_path, [1, 2])
    arrays = tmp_path / "arrays.bin"
    arrays.write_bytes(arrays.read_bytes()[:-1])
    with pytest.raises(DataError, match=r"arrays\.bin: .*39 bytes .*40; delete the folder"):
        Store(tmp_path, "float32", ABOUT)


def test_a_folder_of_other_arrays_is_refused(tmp_path):
    filled(tmp_path, [1])
    with pytest.raises(DataError, match=r"store\.json: .*what .*'test arrays'.*'others'.*machine\.cache"):
        Store(tmp_path, "float32", {"what": "others"})
    with pytest.raises(DataError, match=r"store\.json: .*dtype .*'float32'.*'float16'.*machine\.cache"):
        Store(tmp_path, "float16", ABOUT)
    assert json.loads((tmp_path / "store.json").read_text()) == {"dtype": "float32", **ABOUT}


def test_an_unknown_key_is_an_error(tmp_path):
    with pytest.raises(DataError, match="key 0000"):
        filled(tmp_path, [1]).read(key(0))


def test_a_pickled_store_reads_the_same_arrays(tmp_path):
    store = filled(tmp_path, [1, 2])
    copy = pickle.loads(pickle.dumps(store))
    np.testing.assert_array_equal(copy.read(key(2)), store.read(key(2)))


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


def test_concurrent_writers_keep_each_others_arrays(tmp_path):
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path), start]) for start in ("0", "20")]
    assert [writer.wait() for writer in writers] == [0, 0]
    store = Store(tmp_path, "float32", ABOUT)
    assert len(store) == 60
    assert all((store.read(key(n)) == n).all() for n in range(60))
    assert store.nbytes == (tmp_path / "arrays.bin").stat().st_size


def test_the_log_says_where_another_process_is_waited_for(tmp_path, caplog):
    store = filled(tmp_path, [1])
    assert caplog.messages == []

    held = threading.Event()

    def hold():
        with FileLock(tmp_path / "lock"):
            held.set()
            while not caplog.messages:
                time.sleep(0.01)

    (thread := threading.Thread(target=hold)).start()
    held.wait()
    with store.writing():
        assert caplog.messages == [f"{tmp_path}: another process writes there; waiting for it"]
    thread.join()


def test_a_lack_of_disk_space_is_an_error_before_writing(tmp_path):
    store = filled(tmp_path, [1])
    store.require_space(1000)
    with pytest.raises(DataError, match=r"1e\+12 GB.* free; .*machine\.cache"):
        store.require_space(10**21)


def test_sizes_have_readable_units():
    assert [readable(n) for n in (12, 1530, 999_600_000, 25e9)] == ["12 bytes", "1.53 kB", "1e+03 MB", "25 GB"]


@pytest.mark.parametrize("content", [b"", b'{"dtype": "floa', b"\xff\xfe", b"[1]", b"[" * 5000])
def test_a_damaged_description_is_set_aside_and_the_cache_made_anew(tmp_path, caplog, content):
    filled(tmp_path, [1, 2])
    (tmp_path / "store.json").write_bytes(content)
    again = Store(tmp_path, "float32", ABOUT)
    assert len(again) == 0
    assert [f"{tmp_path / 'store.json'}: was damaged" in line for line in caplog.messages] == [True]
    assert {"store.json.damaged", "arrays.bin.damaged"} < {path.name for path in tmp_path.iterdir()}
    assert key(1) in filled(tmp_path, [1])


def test_a_filled_cache_that_may_not_be_written_is_read(tmp_path, monkeypatch):
    filled(tmp_path, [1, 2])
    before = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    monkeypatch.setattr("dspkd.runtime.array_store.os.access", lambda *_: False)
    monkeypatch.setattr("dspkd.runtime.array_store.FileLock", None)
    store = Store(tmp_path, "float32", ABOUT)
    with store.writing():
        np.testing.assert_array_equal(store.read(key(2)), np.full((3, 2), 2, np.float32))
    assert {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == before
    (tmp_path / "store.json").write_bytes(b"{")
    with pytest.raises(DataError, match=r"store\.json: is damaged.*machine\.cache"):
        Store(tmp_path, "float32", ABOUT)
