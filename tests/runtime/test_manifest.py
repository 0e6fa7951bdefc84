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
    digest = module._sha256
    monkeypatch.setattr(module, "_sha256", lambda file: taken.append(locked(manifest)) or digest(file))
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
    assert set(manifest.digests()) == {"stage/weights"}
    with pytest.raises(OSError), manifest.recording(folder):  # noqa: PT011
        raise OSError
    assert manifest.digests() == {}
