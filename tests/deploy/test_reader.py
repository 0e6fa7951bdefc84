"""A bundle is read back as written; anything else is refused with the file and the place."""

import json
import stat
import tracemalloc
import warnings
import zipfile

import numpy as np
import pytest

from bundles import contents, edited, manifest_of, write
from dspkd.deploy.bundle import reader
from dspkd.deploy.bundle.reader import LARGEST_TEXT, MANIFEST, MOST_MEMBERS, open_bundle
from dspkd.deploy.bundle.writer import pack
from dspkd.errors import BundleError


@pytest.fixture(scope="module")
def files(bundle):
    return contents(bundle)


def test_a_bundle_is_read_as_written(bundle, files):
    opened = open_bundle(bundle)
    opened.check()
    assert {name: opened.read(name) for name in opened.files} == files
    assert opened.spec.default in opened.spec.models
    assert [each.id for each in opened.spec.classes] == ["MEL", "NV", "BCC", "AK", "BKL", "DF", "VASC", "SCC"]
    assert opened.spec.classes[1].name == "Melanocytic naevus"
    assert (opened.spec.preprocessing.short_side, opened.spec.preprocessing.size) == (37, 32)
    with pytest.raises(BundleError, match=r"has no model\.fp16\.onnx; it has card\.md, "):
        opened.read("model.fp16.onnx")


def test_the_same_contents_give_the_same_bytes_whatever_their_order(bundle, files, tmp_path):
    pack(tmp_path / "again" / "model.dspkd", dict(reversed(files.items())))
    assert (tmp_path / "again" / "model.dspkd").read_bytes() == bundle.read_bytes()


def test_every_member_is_stored_and_plain(bundle):
    with zipfile.ZipFile(bundle) as archive:
        for member in archive.infolist():
            assert member.compress_type == zipfile.ZIP_STORED
            assert stat.S_ISREG(member.external_attr >> 16)
            assert member.date_time == (1980, 1, 1, 0, 0, 0)


def test_a_truncated_bundle_is_refused(bundle, tmp_path):
    whole = bundle.read_bytes()
    for length in [*range(0, len(whole), len(whole) // 25), len(whole) - 1]:
        (tmp_path / "cut.dspkd").write_bytes(whole[:length])
        with pytest.raises(BundleError, match=r"cut\.dspkd: "):
            open_bundle(tmp_path / "cut.dspkd")


def test_a_changed_byte_is_refused_or_changes_nothing(bundle, files, tmp_path):
    """No digest covers the dates and the like of the zip file; contents are the same or refused."""
    whole = bytearray(bundle.read_bytes())
    rng = np.random.default_rng(0)
    places = [*rng.integers(0, len(whole), 60), *rng.integers(len(whole) - 1200, len(whole), 120), *range(0, 60)]
    refused = 0
    for place in places:
        changed = whole.copy()
        changed[place] ^= 1 << rng.integers(8)
        (tmp_path / "changed.dspkd").write_bytes(changed)
        try:
            opened = open_bundle(tmp_path / "changed.dspkd")
            read = {name: opened.read(name) for name in opened.files}
        except BundleError:
            refused += 1
        else:
            assert read == files, place
    assert refused > 100


def zip_info(name, mode=0o100644):
    member = zipfile.ZipInfo(name)
    member.external_attr = mode << 16
    return member


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (name, "only relative names in plain lower case")
        for name in (
            "../evil",
            "/etc/passwd",
            "a/../../evil",
            "a//b",
            "a..b",
            "A.md",
            "c:evil",
            "a\\b",
            "golden/",
            "x" * 101,
            "é",
        )
    ]
    + [
        (zip_info("link", stat.S_IFLNK | 0o777), "link is not a regular file"),
        (zip_info("pipe", stat.S_IFIFO), "pipe is not"),
    ],
    ids=str,
)
def test_a_member_outside_the_bundle_is_refused(files, tmp_path, name, message):
    write(tmp_path / "bad.dspkd", {**files, name: b"evil"})
    with pytest.raises(BundleError, match=message):
        open_bundle(tmp_path / "bad.dspkd")


def test_two_members_of_one_name_are_refused(files, tmp_path):
    write(tmp_path / "bad.dspkd", files)
    with zipfile.ZipFile(tmp_path / "bad.dspkd", "a") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        archive.writestr("card.md", "another")
    with pytest.raises(BundleError, match=r"two members are called 'card\.md'"):
        open_bundle(tmp_path / "bad.dspkd")


def test_a_zip_bomb_is_refused_without_unpacking(files, tmp_path):
    write(tmp_path / "bomb.dspkd", {**files, "bomb": bytes(50_000_000)}, compression=zipfile.ZIP_DEFLATED)
    assert (tmp_path / "bomb.dspkd").stat().st_size < 1_000_000
    tracemalloc.start()
    with pytest.raises(BundleError, match=r"bomb\.dspkd: .* is compressed"):
        open_bundle(tmp_path / "bomb.dspkd")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5_000_000


def test_a_false_member_size_is_refused(files, tmp_path):
    path = write(tmp_path / "bad.dspkd", files)
    with zipfile.ZipFile(path) as archive:
        sizes = [(m.filename, m.file_size) for m in archive.infolist()]
    name, size = sizes[-1]
    raw = bytearray(path.read_bytes())
    entry = raw.rindex(name.encode()) - 46
    for at in (entry + 20, entry + 24):  # the compressed and the plain size in the central directory
        assert int.from_bytes(raw[at : at + 4], "little") == size
        raw[at : at + 4] = (900_000_000).to_bytes(4, "little")
    path.write_bytes(raw)
    with pytest.raises(BundleError, match=r"members claim 900,.* bytes, and the file has"):
        open_bundle(path)


def test_a_mismatch_with_the_manifest_is_refused(files, tmp_path):
    path = tmp_path / "bad.dspkd"
    without = {name: content for name, content in files.items() if name != "card.md"}
    for manifest, members, message in (
        (manifest_of(files), without, r"lists card\.md, which the bundle does not have"),
        (manifest_of(without), files, r"card\.md is in the bundle, but manifest\.json does not list it"),
        (manifest_of({**files, "card.md": b"short"}), files, r"card\.md has .* bytes, but manifest\.json has 5"),
        (manifest_of(files, version=3), files, r"version 3 is not supported, only 1 and 2; update dspkd"),
        (manifest_of(files, version=True), files, r"version True is not supported, only 1 and 2"),
        (manifest_of(files, format="zip"), files, r"format is 'zip'; want 'dspkd-bundle'"),
        (manifest_of(files, files=[]), files, r"files is missing"),
        (manifest_of(files, files={"card.md": {"sha256": "x"}}), files, r"files\.card\.md: want a SHA-256"),
        (b"[]", files, r"manifest\.json: holds list; want an object"),
        (b"{", files, r"manifest\.json: not JSON"),
        (b"[" * 100_000, files, r"manifest\.json: not JSON"),
        (b'{"format": 1, "format": 2}', files, r"a key is there twice"),
        (b" " * (LARGEST_TEXT + 1), files, r"manifest\.json has more than"),
        (None, {n: c for n, c in files.items() if n != "spec.json"}, r"has no spec\.json"),
        (None, {n: c for n, c in files.items() if n != "model.fp32.onnx"}, r"models\.fp32: model\.fp32\.onnx is not"),
        (None, {**files, "spec.json": b" " * (LARGEST_TEXT + 1)}, r"spec\.json has 1,048,577 bytes; at most"),
        (None, {**files, **{f"more{n}": b"" for n in range(MOST_MEMBERS)}}, "members; a bundle has at most 256"),
    ):  # fmt: skip
        write(path, members, manifest)
        with pytest.raises(BundleError, match=message) as refused:
            open_bundle(path)
        assert str(refused.value).startswith(f"{path}: ")


def test_a_file_that_is_not_a_bundle_is_refused(files, tmp_path):
    with pytest.raises(BundleError, match="there is no such file"):
        open_bundle(tmp_path / "none.dspkd")
    with pytest.raises(BundleError, match=r"a folder; .*dspkd export "):
        open_bundle(tmp_path)
    (tmp_path / "text.dspkd").write_text("hello")
    with pytest.raises(BundleError, match=r"text\.dspkd: not a bundle.*dspkd export"):
        open_bundle(tmp_path / "text.dspkd")
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("hello.txt", "hello")
    with pytest.raises(BundleError, match=r"it has no manifest\.json"):
        open_bundle(tmp_path / "other.zip")
    write(tmp_path / "before.dspkd", files)
    (tmp_path / "page.dspkd").write_bytes(b"<html></html>" + (tmp_path / "before.dspkd").read_bytes())
    with pytest.raises(BundleError, match=r"page\.dspkd: not a bundle"):
        open_bundle(tmp_path / "page.dspkd")


@pytest.mark.parametrize("name", ["model.safetensors", "result.json", "model.pt"])
@pytest.mark.parametrize("of_a_run", [True, False])
def test_the_remedy_for_another_file_does_not_write_over_it(tmp_path, name, of_a_run):
    path = tmp_path / name
    if name.endswith(".pt"):  # a zip file, as torch writes it
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("archive/.data/serialization_id", "1")
    else:
        path.write_bytes(b"weights")
    if of_a_run:
        (tmp_path / "recipe.toml").touch()
    with pytest.raises(BundleError, match=r"not a bundle.*dspkd export .* --out model\.dspkd") as refused:
        open_bundle(path)
    assert f"--out {path}" not in str(refused.value)
    assert (f"the run {tmp_path}: name that folder" in str(refused.value)) is of_a_run


def test_a_file_that_changed_after_opening_is_refused_when_read(files, tmp_path):
    opened = open_bundle(write(tmp_path / "model.dspkd", files))
    write(tmp_path / "model.dspkd", {**files, "card.md": files["card.md"].swapcase()})
    with pytest.raises(BundleError, match=r"card\.md does not match the manifest"):
        opened.read_text("card.md")
    write(tmp_path / "model.dspkd", {"spec.json": b"{}"})
    with pytest.raises(BundleError, match=r"card\.md cannot be read"):
        opened.check()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("classes"), r"spec\.json: classes is missing"),
        (lambda s: s.update(classes=s["classes"][:1]), r"classes: 1 classes; want at least 2"),
        (lambda s: s["classes"].append(s["classes"][0]), r"classes: 9 classes; want at least 2, all with diff"),
        (lambda s: s["classes"][3].pop("meaning"), r"classes\.3: meaning is missing"),
        (lambda s: s.update(temperature=0), r"temperature: 0; want a number from 0\.01 to 100"),
        (lambda s: s.update(temperature=float("nan")), r"spec\.json: not JSON: NaN is no number"),
        (lambda s: s["thresholds"].update(refer_below="0.5"), r"refer_below: '0\.5'; want a number"),
        (lambda s: s["thresholds"].update(refer_from="0.5"), r"refer_from: '0\.5'; want a number"),
        (lambda s: s["thresholds"].pop("refer_from_rule"), r"thresholds: refer_from_rule is missing"),
        (lambda s: s["classes"][0].update(malignancy="bad"), r"classes\.0\.malignancy: 'bad'; want one of malignant, "),
        (lambda s: s.update(default="fp16"), r"default is 'fp16'; models are fp32, int8"),
        (lambda s: s["models"]["fp32"].update(bytes=7), r"models\.fp32: .* is not in the bundle with 7 b"),
        (lambda s: s["models"]["fp32"].update(file="../x"), r"models\.fp32: \.\./x is not in the bundle"),
        (lambda s: s["preprocessing"]["crop"].update(size=10**9), r"short_side 37, size 1000000000; want 1 <= size"),
        (lambda s: s["preprocessing"]["resize"].update(short_side=10**6), r"short_side 1000000, .* <= 2048"),
        (lambda s: s["preprocessing"]["resize"].update(filter="nearest"), r"resize\.filter: 'nearest' is not supp"),
        (lambda s: s["preprocessing"].update(scale="none"), r"scale: 'none' is not supported, only 'divide by 255"),
        (lambda s: s["preprocessing"].update(artefacts=[1]), r"artefacts: \[1\]; want names"),
    ],
)  # fmt: skip
def test_an_invalid_specification_is_refused(files, tmp_path, change, message):
    path = edited(tmp_path / "bad.dspkd", files, "spec.json", change)
    with pytest.raises(BundleError, match=message):
        open_bundle(path)


def test_an_unknown_key_is_ignored(files, tmp_path):
    path = edited(tmp_path / "more.dspkd", files, "spec.json", lambda s: s.update(sponsor="none"))
    assert open_bundle(path).spec == open_bundle(write(tmp_path / "same.dspkd", files)).spec
    assert MANIFEST not in json.loads(manifest_of(files))["files"]


def test_a_file_or_text_above_the_limit_is_refused(bundle, files, tmp_path, monkeypatch):
    long = open_bundle(write(tmp_path / "long.dspkd", {**files, "card.md": b" " * ((1 << 20) + 1)}))
    with pytest.raises(BundleError, match=r"card\.md has 1,048,577 bytes; at most 1,048,576 are read"):
        long.read_text("card.md")
    monkeypatch.setattr(reader, "LARGEST_FILE", bundle.stat().st_size - 1)
    with pytest.raises(BundleError, match=r"bytes; a bundle has at most"):
        open_bundle(bundle)
