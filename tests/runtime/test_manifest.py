"""Digests of files: what several processes write at the same time is recorded as it ends."""

import pytest

from dspkd.runtime.manifest import Manifest


@pytest.fixture
def manifest(tmp_path):
    made = Manifest(tmp_path)
    made.begin()
    return made


def test_two_processes_that_append_to_one_file_leave_it_recorded_as_it_is(manifest):
    """The first one to end must not record what the file held before the second one wrote."""
    path = manifest.folder / "evaluations.jsonl"
    path.write_text("")
    first, second = manifest.recording(path), manifest.recording(path)
    first.__enter__()
    second.__enter__()
    for name in ("a", "b"):
        with path.open("a") as file:
            file.write(f"{name}\n")
    second.__exit__(None, None, None)
    first.__exit__(None, None, None)
    assert manifest.different() == {}
    path.write_text("a\n")
    assert manifest.different() == {"evaluations.jsonl": "changed"}


def test_a_digest_is_taken_while_others_wait(manifest, monkeypatch):
    """A process that appends between the digest and its record would make an honest file a damaged one."""
    from dspkd.runtime import manifest as module

    path = manifest.folder / "file"
    taken = []
    digest = module.sha256_of
    monkeypatch.setattr(module, "sha256_of", lambda file: taken.append(locked(manifest)) or digest(file))
    with manifest.recording(path):
        path.write_text("text")
    assert taken == [True]


def locked(manifest):
    from filelock import FileLock, Timeout

    try:
        with FileLock(manifest.folder / ".files.json.lock", timeout=0):
            return False
    except Timeout:
        return True


def test_files_of_a_folder_are_recorded_and_forgotten_with_it(manifest):
    folder = manifest.folder / "stage"
    with manifest.recording(folder):
        folder.mkdir()
        (folder / "weights").write_text("w")
        assert manifest.digests() == {}
    assert set(manifest.digests()) == {"stage/weights"}
    with manifest.recording(folder):
        (folder / "weights").unlink()
    assert manifest.digests() == {}


@pytest.mark.parametrize("ends_by", [OSError, KeyboardInterrupt])
def test_a_block_that_ends_by_an_exception_records_what_is_there(manifest, ends_by):
    kept, written, new = (manifest.folder / name for name in ("kept", "written", "new"))
    with manifest.recording(kept, written):
        kept.write_text("a")
        written.write_text("a")

    def write():
        with manifest.recording(kept, written, new):
            written.write_text("b")
            new.write_text("c")
            raise ends_by

    with pytest.raises(ends_by):
        write()
    assert set(manifest.digests()) == {"kept", "written", "new"}
    assert manifest.different() == {}
    for path in (kept, written, new):
        path.write_text("damaged")
    assert set(manifest.different()) == {"kept", "written", "new"}


def test_damage_is_not_recorded_by_a_block_that_leaves_the_file_as_it_is(manifest):
    path = manifest.folder / "file"
    with manifest.recording(path):
        path.write_text("a")
    path.write_text("b")
    with manifest.recording(path):
        pass
    with pytest.raises(OSError, match="full"), manifest.recording(path):
        raise OSError("full")
    assert manifest.different() == {"file": "changed"}


def test_the_exception_counts_where_the_disk_is_full(manifest, monkeypatch):
    def full(*_):
        raise OSError("full")

    def write():
        with manifest.recording(manifest.folder / "file"):
            monkeypatch.setattr("dspkd.runtime.manifest.write_json", full)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write()
