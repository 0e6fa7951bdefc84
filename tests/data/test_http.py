"""Downloads from a server that fails in every way; an incomplete file is never accepted."""

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
def test_the_file_is_complete_after_any_failures(get, site, tmp_path, plan, remote):
    site.plan = list(plan)
    assert get(remote).read_bytes() == WHOLE
    assert site.plan == []
    assert left(tmp_path) == ["f.bin"]


def test_received_bytes_are_not_requested_again(get, site, waits):
    site.plan = [("drop", 2_000_000), ("drop", 500_000)]
    get()
    assert [requested for _, requested in site.seen] == [None, "bytes=2000000-", "bytes=2500000-"]
    assert waits == [1, 1]  # each failure brought something new


@pytest.mark.parametrize("remote", [KNOWN, UNKNOWN], ids=["checksum", "length alone"])
def test_versions_of_a_changed_file_are_not_joined(get, site, remote):
    site.files["f.bin"] = OTHER
    site.plan = [("drop", 2_000_000), ("change", WHOLE)]
    assert get(remote).read_bytes() == WHOLE
    assert [requested for _, requested in site.seen] == [
        None,
        "bytes=2000000-",
    ]  # If-Range lets the server confirm the version


def test_a_file_that_becomes_shorter_is_downloaded_again(get, site):
    site.files["f.bin"] = OTHER
    site.plan = [("drop", 2_000_000), ("change", WHOLE[:1_000_000])]
    assert get(UNKNOWN).read_bytes() == WHOLE[:1_000_000]


def test_a_wrong_resumed_file_is_downloaded_once_more_and_then_refused(get, site):
    site.files["f.bin"] = OTHER
    site.plan = [("drop", 2_000_000), "lie"]
    with pytest.raises(DataError, match="its sha256 is"):
        get()
    assert [requested for _, requested in site.seen] == [None, "bytes=2000000-", None]


def test_a_wrong_continuation_is_fixed_by_a_second_download(get, site, tmp_path):
    part = tmp_path / "f.bin.part"
    part.write_bytes(OTHER[:2_000_000])
    (tmp_path / "f.bin.part.json").write_text(f'{{"validator": "\\"old\\"", "total": {len(WHOLE)}}}')
    site.plan = ["lie"]
    assert get().read_bytes() == WHOLE
    assert [requested for _, requested in site.seen] == ["bytes=2000000-", None]


def test_wrong_bytes_are_refused_and_deleted(get, site, tmp_path):
    site.plan = ["wrong"]
    with pytest.raises(DataError, match=rf"its sha256 is [0-9a-f]{{64}}, but {SHA[7:]} is published.*nothing of it"):
        get()
    assert left(tmp_path) == []
    assert len(site.seen) == 1  # a second download of ten gigabytes would not help


def test_an_md5_is_compared(get):
    md5 = hashlib.md5(WHOLE).hexdigest()
    assert get(Remote(name="f.bin", url="", digest=f"md5:{md5}")).exists()


@pytest.mark.parametrize(
    ("plan", "remote", "message"),
    [
        ([404], KNOWN, r"f\.bin: response 404 .*--mirror URL"),
        ([403], KNOWN, "response 403"),
        (["page"], UNKNOWN, r"f\.bin: .*web page"),
        ([("no length", None)], UNKNOWN, r"length .* unknown.*--mirror URL"),
        ([("no length", 1_000_000)], KNOWN, "1000000 bytes where 3000000 were expected"),
        ([], Remote(name="f.bin", url="", size=7), r"3000000 bytes, .* 7; try --mirror URL"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_responses_that_cannot_be_the_file_are_refused(get, site, tmp_path, plan, remote, message):
    site.plan = plan
    with pytest.raises(DataError, match=message):
        get(remote)
    assert left(tmp_path) == []


def test_without_a_length_a_checksum_suffices(get, site):
    site.plan = [("no length", None)]
    assert get(Remote(name="f.bin", url="", digest=SHA)).read_bytes() == WHOLE


def test_after_repeated_failures_the_part_received_is_kept(get, site, tmp_path, waits):
    site.plan = [("drop", 1_000_000), *[500] * TRIES]
    with pytest.raises(DataError, match=rf"response 500 .*{TRIES} failures .*repeat the command"):
        get()
    assert waits == [1, 2, 4, 8, 16]
    assert left(tmp_path) == ["f.bin.part", "f.bin.part.json"]
    site.plan = []
    assert get().read_bytes() == WHOLE
    assert site.seen[-1][1] == "bytes=1000000-"


def test_a_server_that_drops_and_cannot_resume_is_given_up(get, site):
    site.tags = False
    site.plan = [("drop", size) for size in (900_000, 800_000, *[900_000, 700_000] * 20)]
    with pytest.raises(DataError, match=r"closed after \d+ of 3000000 bytes; gave up"):
        get()
    assert len(site.seen) == TRIES


def test_a_file_without_a_validator_is_never_resumed(get, site):
    site.tags = False
    site.plan = [("drop", 2_000_000)]
    assert get().read_bytes() == WHOLE
    assert [requested for _, requested in site.seen] == [None, None]


@pytest.mark.parametrize("plan", [["silence"], [("stall", 1_000_000)]], ids=str)
def test_a_timeout_counts_as_a_dropped_connection(get, site, monkeypatch, waits, plan):
    monkeypatch.setattr(http, "SILENCE", 0.1)
    site.plan = plan
    assert get().read_bytes() == WHOLE
    assert waits == [1]


def test_a_part_without_its_version_is_not_resumed(get, site, tmp_path):
    (tmp_path / "f.bin.part").write_bytes(OTHER[:2_000_000])
    (tmp_path / "f.bin.part.json").write_text('{"validator": "x"')
    assert get().read_bytes() == WHOLE
    assert site.seen == [("/f.bin", None)]


def test_a_complete_part_is_checked_without_a_request(get, site, tmp_path):
    (tmp_path / "f.bin.part").write_bytes(WHOLE)
    (tmp_path / "f.bin.part.json").write_text(f'{{"validator": "x", "total": {len(WHOLE)}}}')
    assert get().read_bytes() == WHOLE
    assert site.seen == []


def test_an_existing_file_is_checked(get, site, tmp_path):
    (tmp_path / "f.bin").write_bytes(WHOLE)
    assert get().read_bytes() == WHOLE
    (tmp_path / "f.bin").write_bytes(WHOLE[:-1])
    with pytest.raises(DataError, match=r"f\.bin: 2999999 bytes where 3000000 were expected; move it away"):
        get()
    (tmp_path / "f.bin").write_bytes(OTHER)
    with pytest.raises(DataError, match="its sha256 is"):
        get()
    with pytest.raises(DataError, match=r"f\.bin: .*length is not published.*move it away"):
        get(UNKNOWN)
    assert site.seen == []


def test_a_disk_that_is_too_small_is_refused_first(get, site, tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 2_999_999}))
    with pytest.raises(DataError, match=r"needs 0\.00 GB.*make room"):
        get()
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 3_000_000}))
    assert get().exists()


def test_progress_is_reported_in_bytes(site, tmp_path):
    steps = []
    fetch(KNOWN, f"{site.url}/f.bin", tmp_path, lambda *step: steps.append(step))
    assert steps[0] == ("f.bin", 0, 3_000_000)
    assert ("f.bin", 3_000_000, 3_000_000) in steps
    assert steps[-1] == ("checking f.bin", 3_000_000, 3_000_000)


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


def test_a_killed_download_is_resumed(get, site, tmp_path):
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
