import hashlib
import io
import json
import stat
import zipfile

import pytest
from filelock import FileLock

from command import call, refused
from dspkd.data.download import catalog, datasets
from dspkd.data.download import unpack as archive
from dspkd.data.download.catalog import SOURCES, PublishedDataset, Remote
from dspkd.errors import DataError

TABLE = b"image,label\na,NV\n"


def zipped(files):
    """Return the bytes of a zip file of ``{name: content}``."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in files.items():
            file.writestr(name, content)
    return buffer.getvalue()


ONE = zipped({"Input/": "", "Input/a.jpg": "A" * 1000, "Input/b.jpg": "", "__MACOSX/Input/._a.jpg": "x"})
TWO = zipped({"c.jpg": "C", "deep/d.jpg": "D", ".DS_Store": "x"})
FILES = {"t.csv": TABLE, "one.zip": ONE, "two.zip": TWO}


def sha(content):
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def source(url):
    remotes = (
        Remote(name="t.csv", url=f"{url}/t.csv", size=len(TABLE), digest=sha(TABLE)),
        Remote(name="one.zip", url=f"{url}/one.zip", size=len(ONE), digest=sha(ONE), folder="Input"),
        Remote(name="two.zip", url=f"{url}/two.zip", folder="images/two"),
    )
    return PublishedDataset(
        title="Images", page="https://p", licence="CC", citation="Us, 2020", layout="isic2019", files=remotes
    )


@pytest.fixture
def site(serve, monkeypatch):
    with serve(FILES) as site:
        monkeypatch.setitem(SOURCES, "ours", source(site.url))
        yield site


@pytest.fixture
def get(tmp_path):
    lines = []

    def get(name="ours", **options):
        lines.clear()
        datasets.download(name, tmp_path / "d", progress=lambda *_: None, say=lines.append, **options)
        return lines

    return get


def write(path, content):
    path.write_bytes(content)
    return path


def left(folder):
    return sorted(
        p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file() and p.name != ".download.lock"
    )


EXPECTED = ["Input/a.jpg", "Input/b.jpg", "download.json", "images/two/c.jpg", "images/two/deep/d.jpg", "t.csv"]


def test_a_data_set_is_downloaded_checked_and_unpacked(site, get, tmp_path):
    lines = get()
    assert left(tmp_path / "d") == EXPECTED
    assert (tmp_path / "d/Input/a.jpg").read_text() == "A" * 1000
    assert lines[0] == "Images\nhttps://p\nlicence: CC\nplease cite:\nUs, 2020"
    assert lines[-1] == "two.zip: complete (length alone: no checksum is known)"
    receipt = json.loads((tmp_path / "d/download.json").read_text())
    assert (receipt["data_set"], receipt["licence"], list(receipt["files"])) == ("ours", "CC", list(FILES))
    assert receipt["files"]["one.zip"] == {"url": f"{site.url}/one.zip", "bytes": len(ONE), "checked": sha(ONE)}


def test_licence_and_citation_come_before_the_first_request(site, tmp_path):
    requests = []
    datasets.download("ours", tmp_path / "d", progress=lambda *_: None, say=lambda _: requests.append(len(site.seen)))
    assert requests == [0, 1, 2, 3]


def test_existing_files_are_not_fetched_again(site, get, tmp_path):
    get()
    site.seen.clear()
    assert len(get()) == 2  # licence and citation, and that the table is complete
    assert site.seen == []
    (tmp_path / "d/Input").rename(tmp_path / "elsewhere")
    get()
    assert site.seen == [("/one.zip", None)]
    assert left(tmp_path / "d") == EXPECTED


@pytest.mark.parametrize("name", FILES)
def test_a_file_with_wrong_bytes_is_deleted(site, get, tmp_path, name):
    site.files[name] = bytes(255 - byte for byte in FILES[name])
    with pytest.raises(DataError, match=rf"{name}: (its sha256 is|not a complete zip file)"):
        get()
    assert not (tmp_path / "d" / name).exists()
    assert not [path for path in left(tmp_path / "d") if "images" in path or path.startswith(".")]
    assert not (tmp_path / "d" / ("Input" if name == "one.zip" else "images/two")).exists()


def test_a_damaged_zip_file_is_not_unpacked(site, get, tmp_path):
    images = {"a.jpg": "A" * 5000, "b.jpg": "B" * 5000}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as stored:
        for name, content in images.items():
            stored.writestr(name, content)
    site.files["two.zip"] = buffer.getvalue().replace(b"BBBBB", b"BBXBB", 1)
    with pytest.raises(DataError, match=r"two\.zip: .*'b\.jpg'.*nothing of it"):
        get()
    assert not (tmp_path / "d/two.zip").exists()
    with pytest.raises(DataError, match=r"z\.zip: not a complete zip file"):
        archive.unpack(write(tmp_path / "z.zip", site.files["two.zip"]), tmp_path / "in", lambda *_: None)
    assert not (tmp_path / "in").exists()
    site.files["two.zip"] = TWO
    get()
    assert left(tmp_path / "d") == EXPECTED


@pytest.mark.parametrize("after", ["unpacked", "renamed"])
def test_a_download_interrupted_while_unpacking_resumes(site, get, tmp_path, monkeypatch, after):
    real = archive.unpack

    def killed(path, folder, progress):
        if after == "renamed":
            real(path, folder, progress)
        else:
            beside = folder.with_name(f".{folder.name}.unpacking")
            beside.mkdir()
            (beside / "half.jpg").write_text("ha")
        raise KeyboardInterrupt

    monkeypatch.setattr(archive, "unpack", killed)
    with pytest.raises(KeyboardInterrupt):
        get()
    assert (tmp_path / "d/one.zip").exists()
    monkeypatch.undo()
    monkeypatch.setitem(SOURCES, "ours", source(site.url))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    get()
    assert left(tmp_path / "d") == EXPECTED
    assert [path for path, _ in site.seen] == ["/t.csv", "/one.zip", "/two.zip"]


def test_a_folder_of_unknown_origin_is_not_overwritten(site, get, tmp_path):
    (tmp_path / "d/Input").mkdir(parents=True)
    with pytest.raises(DataError, match=r"Input: .*move it away"):
        get()
    assert not list((tmp_path / "d/Input").iterdir())


def test_a_mirror_replaces_the_address_with_the_same_checks(site, get, serve, tmp_path):
    with serve({f"m/{name}": content for name, content in FILES.items()}) as mirror:
        get(mirror=f"{mirror.url}/m/")
        assert [path for path, _ in mirror.seen] == ["/m/t.csv", "/m/one.zip", "/m/two.zip"]
        assert left(tmp_path / "d") == EXPECTED
    assert site.seen == []
    with pytest.raises(DataError, match=r"mirror 'ftp://x': .*https://"):
        get(mirror="ftp://x")


def test_the_disk_must_hold_the_data_set_and_its_largest_zip_file(site, get, tmp_path, monkeypatch):
    needed = len(TABLE) + 2 * len(ONE)
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": needed - 1}))
    with pytest.raises(DataError, match="make room"):
        get()
    assert site.seen == []
    (tmp_path / "d/t.csv").write_bytes(TABLE)
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 2 * len(ONE) - 1}))
    with pytest.raises(DataError, match="make room"):
        get()
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": needed + 10**4}))
    get()


def test_a_second_process_is_refused(site, get, tmp_path):
    (tmp_path / "d").mkdir()
    with FileLock(tmp_path / "d/.download.lock"), pytest.raises(DataError, match="another process is downloading"):
        get()


def test_a_folder_of_another_data_set_is_refused(site, get, monkeypatch):
    get()
    monkeypatch.setitem(SOURCES, "theirs", source(site.url))
    with pytest.raises(DataError, match=r"holds 'ours'; give 'theirs' a folder of its own"):
        get("theirs")


def link(name):
    entry = zipfile.ZipInfo(name)
    entry.external_attr = (stat.S_IFLNK | 0o777) << 16
    return entry


@pytest.mark.parametrize("name", ["../x", "a/../../x", "/x", "C:/x", "a\\..\\x", link("a")], ids=str)
def test_a_zip_file_with_paths_outside_is_refused(tmp_path, name):
    (tmp_path / "z.zip").write_bytes(zipped({"good.jpg": "x", name: "/etc"}))
    with pytest.raises(DataError, match=r"z\.zip: '.*' leads out"):
        archive.unpack(tmp_path / "z.zip", tmp_path / "in", lambda *_: None)
    assert left(tmp_path) == ["z.zip"]


def test_empty_and_too_large_zip_files_are_refused(tmp_path, monkeypatch):
    (tmp_path / "z.zip").write_bytes(zipped({"__MACOSX/x": "x"}))
    with pytest.raises(DataError, match=r"z\.zip: no file in it"):
        archive.unpack(tmp_path / "z.zip", tmp_path / "in", lambda *_: None)
    (tmp_path / "z.zip").write_bytes(zipped({"bomb": bytes(10**7)}))
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 10**7 - 1}))
    with pytest.raises(DataError, match=r"needs 0\.01 GB"):
        archive.unpack(tmp_path / "z.zip", tmp_path / "in", lambda *_: None)


@pytest.mark.parametrize("name", SOURCES)
def test_catalog_entries_are_well_formed(name):
    entry = catalog.find(name)
    assert "creativecommons.org/licenses/" in entry.licence
    assert entry.citation
    assert len({remote.name for remote in entry.files}) == len(entry.files)
    for remote in entry.files:
        assert remote.url.startswith("https://")
        assert (remote.folder is not None) == remote.name.endswith(".zip")
        kind, _, digits = (remote.digest or "md5:" + "0" * 32).partition(":")
        assert (kind, len(digits)) in {("md5", 32), ("sha256", 64)}
        assert int(digits, 16) >= 0


def test_checksums_of_isic_2019_agree_with_our_copies_of_the_tables(shared):
    for remote in catalog.find("isic2019").files[:2]:
        content = (shared / "data" / "isic2019-tables" / remote.name).read_bytes()
        assert (len(content), sha(content)) == (remote.size, remote.digest)


def test_the_command_downloads_and_prints_the_layout(site, tmp_path):
    out, _ = call("data", "download", "ours", "--to", tmp_path / "d")
    assert out.startswith("Images\nhttps://p\nlicence: CC\nplease cite:\nUs, 2020\n")
    assert out.endswith(f"{tmp_path / 'd'}: complete; layout isic2019\n")
    error = refused("data", "download", "isic2018", "--to", tmp_path / "e")
    assert "'isic2018'; did you mean 'isic2019'?" in error
