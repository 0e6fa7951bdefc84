"""Downloads against a server that fails in every way; nothing half-written is ever taken for whole."""

import hashlib
import os
import signal
import subprocess
import sys

import numpy as np
import pytest

from dspkd.data.download import http
from dspkd.data.download.catalog import Remote
from dspkd.data.download.http import TRIES, fetch
from dspkd.errors import DataError

WHOLE = np.random.default_rng(0).bytes(3_000_000)
OTHER = np.random.default_rng(1).bytes(3_000_000)
SHA = f"sha256:{hashlib.sha256(WHOLE).hexdigest()}"
KNOWN = Remote(name="f.bin", url="", size=len(WHOLE), digest=SHA)
UNKNOWN = Remote(name="f.bin", url="")


@pytest.fixture
def site(serve):
    with serve({"f.bin": WHOLE}) as site:
        yield site


@pytest.fixture
def waits():
    return []


@pytest.fixture
def get(site, tmp_path, waits):
    def get(remote=KNOWN):
        return fetch(remote, f"{site.url}/f.bin", tmp_path, lambda *_: None, waits.append)

    return get


def left(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("remote", [KNOWN, UNKNOWN], ids=["checksum", "length alone"])
@pytest.mark.parametrize(
    "plan",
    [
        [],
        [500, 503, 429],
        ["hang up", "hang up"],
        [("drop", 0)],
        [("drop", 1_000_000), ("drop", 500_000), ("drop", 100_000)],
        [("drop", 2_999_999)],
        [("drop", 1_000_000), 500, "hang up", ("drop", 1_000_000)],
        [("drop", 2_000_000), "no ranges"],
        [("drop", 2_000_000), ("shift", 7)],
        [("drop", 2_000_000), ("shift", -7)],
        [("drop", 2_000_000), 416],
    ],
    ids=str,
)
def test_the_file_is_whole_whatever_happens_on_the_way(get, site, tmp_path, plan, remote):
    site.plan = list(plan)
    assert get(remote).read_bytes() == WHOLE
    assert site.plan == []
    assert left(tmp_path) == ["f.bin"]


def test_what_has_come_is_not_asked_for_again(get, site, waits):
    site.plan = [("drop", 2_000_000), ("drop", 500_000)]
    get()
    assert [asked for _, asked in site.seen] == [None, "bytes=2000000-", "bytes=2500000-"]
    assert waits == [1, 1]  # each failure brought something new


@pytest.mark.parametrize("remote", [KNOWN, UNKNOWN], ids=["checksum", "length alone"])
def test_a_file_that_changes_between_attempts_is_not_pieced_together(get, site, remote):
    site.files["f.bin"] = OTHER
    site.plan = [("drop", 2_000_000), ("change", WHOLE)]
    assert get(remote).read_bytes() == WHOLE
    assert [asked for _, asked in site.seen] == [None, "bytes=2000000-"]  # the server is asked whether it is the same


def test_a_file_that_becomes_shorter_is_fetched_anew(get, site):
    site.files["f.bin"] = OTHER
    site.plan = [("drop", 2_000_000), ("change", WHOLE[:1_000_000])]
    assert get(UNKNOWN).read_bytes() == WHOLE[:1_000_000]


def test_pieces_of_two_files_that_stay_wrong_are_fetched_once_more_and_then_refused(get, site):
    site.files["f.bin"] = OTHER
    site.plan = [("drop", 2_000_000), "lie"]
    with pytest.raises(DataError, match="its sha256 is"):
        get()
    assert [asked for _, asked in site.seen] == [None, "bytes=2000000-", None]


def test_a_lie_is_mended_by_fetching_once_more_from_the_start(get, site, tmp_path):
    part = tmp_path / "f.bin.part"
    part.write_bytes(OTHER[:2_000_000])
    (tmp_path / "f.bin.part.json").write_text(f'{{"validator": "\\"old\\"", "total": {len(WHOLE)}}}')
    site.plan = ["lie"]
    assert get().read_bytes() == WHOLE
    assert [asked for _, asked in site.seen] == ["bytes=2000000-", None]


def test_wrong_bytes_are_refused_and_nothing_of_them_is_kept(get, site, tmp_path):
    site.plan = ["wrong"]
    with pytest.raises(DataError, match=rf"its sha256 is [0-9a-f]{{64}}, but {SHA[7:]} is published.*nothing of it"):
        get()
    assert left(tmp_path) == []
    assert len(site.seen) == 1  # ten gigabytes are not fetched twice for nothing


def test_an_md5_is_compared_too(get):
    md5 = hashlib.md5(WHOLE).hexdigest()
    assert get(Remote(name="f.bin", url="", digest=f"md5:{md5}")).exists()


@pytest.mark.parametrize(
    ("plan", "remote", "message"),
    [
        ([404], KNOWN, r"f\.bin: the server answers 404 .*--mirror URL"),
        ([403], KNOWN, "the server answers 403"),
        (["page"], UNKNOWN, "sends a web page, not the file"),
        ([("no length", None)], UNKNOWN, "neither the server nor anybody else says how long"),
        ([("no length", 1_000_000)], KNOWN, "1000000 bytes where 3000000 were expected"),
        ([], Remote(name="f.bin", url="", size=7), "offers 3000000 bytes, but the file has 7"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_what_can_be_no_whole_file_is_refused(get, site, tmp_path, plan, remote, message):
    site.plan = plan
    with pytest.raises(DataError, match=message):
        get(remote)
    assert left(tmp_path) == []


def test_without_a_length_a_checksum_will_do(get, site):
    site.plan = [("no length", None)]
    assert get(Remote(name="f.bin", url="", digest=SHA)).read_bytes() == WHOLE


def test_a_server_that_keeps_failing_is_given_up_and_what_came_is_kept(get, site, tmp_path, waits):
    site.plan = [("drop", 1_000_000), *[500] * TRIES]
    with pytest.raises(DataError, match=rf"answers 500 .*gave up after {TRIES} tries .*same command goes on"):
        get()
    assert waits == [1, 2, 4, 8, 16]
    assert left(tmp_path) == ["f.bin.part", "f.bin.part.json"]
    site.plan = []
    assert get().read_bytes() == WHOLE
    assert site.seen[-1][1] == "bytes=1000000-"


def test_a_server_that_drops_and_cannot_resume_is_given_up_too(get, site):
    site.tags = False
    site.plan = [("drop", size) for size in (900_000, 800_000, *[900_000, 700_000] * 20)]
    with pytest.raises(DataError, match=r"closed after \d+ of 3000000 bytes; gave up"):
        get()
    assert len(site.seen) == TRIES


def test_a_version_that_cannot_be_named_is_never_resumed(get, site):
    site.tags = False
    site.plan = [("drop", 2_000_000)]
    assert get().read_bytes() == WHOLE
    assert [asked for _, asked in site.seen] == [None, None]


@pytest.mark.parametrize("plan", [["silence"], [("stall", 1_000_000)]], ids=str)
def test_silence_counts_as_a_dropped_connection(get, site, monkeypatch, waits, plan):
    monkeypatch.setattr(http, "SILENCE", 0.1)
    site.plan = plan
    assert get().read_bytes() == WHOLE
    assert waits == [1]


def test_a_piece_without_its_note_is_not_built_upon(get, site, tmp_path):
    (tmp_path / "f.bin.part").write_bytes(OTHER[:2_000_000])
    (tmp_path / "f.bin.part.json").write_text('{"validator": "x"')
    assert get().read_bytes() == WHOLE
    assert site.seen == [("/f.bin", None)]


def test_a_piece_that_was_whole_already_is_checked_without_a_request(get, site, tmp_path):
    (tmp_path / "f.bin.part").write_bytes(WHOLE)
    (tmp_path / "f.bin.part.json").write_text(f'{{"validator": "x", "total": {len(WHOLE)}}}')
    assert get().read_bytes() == WHOLE
    assert site.seen == []


def test_a_file_that_is_there_is_checked_not_trusted(get, site, tmp_path):
    (tmp_path / "f.bin").write_bytes(WHOLE)
    assert get().read_bytes() == WHOLE
    (tmp_path / "f.bin").write_bytes(WHOLE[:-1])
    with pytest.raises(DataError, match=r"f\.bin: 2999999 bytes where 3000000 were expected; move it away"):
        get()
    (tmp_path / "f.bin").write_bytes(OTHER)
    with pytest.raises(DataError, match="its sha256 is"):
        get()
    with pytest.raises(DataError, match="nobody says how long it is, so it cannot be checked"):
        get(UNKNOWN)
    assert site.seen == []


def test_a_disk_that_is_too_small_is_said_before_anything_comes(get, site, tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 2_999_999}))
    with pytest.raises(DataError, match=r"needs 0\.00 GB, and 0\.00 GB are free; make room"):
        get()
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 3_000_000}))
    assert get().exists()


def test_progress_is_told_in_bytes(site, tmp_path):
    told = []
    fetch(KNOWN, f"{site.url}/f.bin", tmp_path, lambda *said: told.append(said))
    assert told[0] == ("f.bin", 0, 3_000_000)
    assert ("f.bin", 3_000_000, 3_000_000) in told
    assert told[-1] == ("checking f.bin", 3_000_000, 3_000_000)


CHILD = """
import sys, time
from pathlib import Path
from dspkd.data.download.catalog import Remote
from dspkd.data.download.http import fetch
def slow(what, done, of):
    print(done, flush=True)
    time.sleep(0.2)
fetch(Remote(name="f.bin", url="", size=3_000_000), sys.argv[1], Path(sys.argv[2]), slow)
"""


def test_a_process_that_is_killed_leaves_a_piece_and_the_next_goes_on(get, site, tmp_path):
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, f"{site.url}/f.bin", str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    while int(child.stdout.readline()) < 1_000_000:
        pass
    os.kill(child.pid, signal.SIGKILL)
    child.communicate()
    assert left(tmp_path) == ["f.bin.part", "f.bin.part.json"]
    assert get().read_bytes() == WHOLE
    assert int(site.seen[-1][1].removeprefix("bytes=").removesuffix("-")) >= 1_000_000
