import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps
from scipy.ndimage import gaussian_filter

from dspkd import data
from dspkd.data import split as splitting
from dspkd.data.audit.audit import GROUP, Audit, audit, merged_groups, sources, write_merged
from dspkd.data.audit.duplicates import Pairs
from dspkd.data.split import Split
from dspkd.data.table import Table
from dspkd.errors import DataError


def photograph(path, seed, size=(100, 120)):
    draw = np.random.default_rng(seed)
    coarse = gaussian_filter(draw.normal(size=(*size, 3)), (20, 20, 0))
    fine = gaussian_filter(draw.normal(size=size), 1.5)[..., None]
    pixels = 130 + 35 * coarse / coarse.std() + 12 * fine / fine.std()
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path)


ROWS = """path,label,group,sex,age,source
a.png,MEL,L1,male,50,Vienna
b.png,NV,L2,female,50,Vienna
a_downsampled.png,MEL,L3,male,55,Vienna
c.png,NV,L4,male,40,Barcelona
d.png,MEL,L4,female,,Barcelona
same.png,NV,L2,female,50,
rotated.png,MEL,L2,female,50,Vienna
white.png,NV,L5,,,Vienna
tiny.png,NV,L6,,,Vienna
grey.png,NV,,,,Vienna
broken.png,NV,L8,,,Vienna
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Eleven images with one of every fault."""
    folder = tmp_path_factory.mktemp("faulty")
    (folder / "table.csv").write_text(ROWS, encoding="utf-8")
    for seed, name in enumerate("abcd"):
        photograph(folder / f"{name}.png", seed)
    with Image.open(folder / "a.png") as image:
        image.resize((100, 83)).save(folder / "a_downsampled.png")
    shutil.copy(folder / "b.png", folder / "same.png")
    with Image.open(folder / "b.png") as image:
        ImageOps.mirror(image).transpose(Image.Transpose.ROTATE_90).save(folder / "rotated.png")
    Image.new("RGB", (80, 80), "white").save(folder / "white.png")
    photograph(folder / "tiny.png", 7, (63, 90))
    photograph(folder / "grey.png", 8)
    with Image.open(folder / "grey.png") as image:
        image.convert("L").save(folder / "grey.png")
    (folder / "broken.png").write_bytes((folder / "c.png").read_bytes()[:3000])
    return folder


@pytest.fixture(scope="module")
def table(folder):
    return data.read("auto", folder)


@pytest.fixture(scope="module")
def alone(table):
    return audit(table)


def kinds(audited):
    return {finding.kind: finding for finding in audited.findings}


def cases(audited, kind):
    return {frozenset(Path(name).stem for name in case) for case in kinds(audited)[kind].cases}


@pytest.mark.parametrize(
    ("kind", "severity", "expected"),
    [
        ("unreadable", "invalidates", [{"broken"}]),
        ("copies_across_groups", "invalidates", [{"a", "a_downsampled"}]),
        ("copies_within_group", "note", [{"b", "same"}, {"b", "rotated"}, {"same", "rotated"}]),
        ("identical_files", "warning", [{"b", "same"}]),
        ("group_differs_in_label", "warning", [{"b", "same", "rotated"}, {"c", "d"}]),
        ("copies_differ_in_label", "warning", [{"b", "rotated"}, {"same", "rotated"}]),
        ("group_differs_in_sex", "warning", [{"c", "d"}]),
        ("copies_differ_in_age", "warning", [{"a", "a_downsampled"}]),
        ("downsampled_twins", "warning", [{"a", "a_downsampled"}]),
        ("constant", "warning", [{"white"}]),
        ("tiny", "warning", [{"tiny"}]),
        ("grey", "note", [{"grey"}]),
        ("group_unknown", "note", [{"grey"}]),
    ],
)
def test_each_fault_is_found_and_no_other(alone, kind, severity, expected):
    assert kinds(alone)[kind].severity == severity
    assert cases(alone, kind) == set(map(frozenset, expected))


def test_no_other_fault_is_found(alone):
    assert set(kinds(alone)) == {
        *("unreadable", "copies_across_groups", "copies_within_group", "identical_files", "group_differs_in_label"),
        *("copies_differ_in_label", "group_differs_in_sex", "copies_differ_in_age", "constant", "tiny", "grey"),
        *("group_unknown", "downsampled_twins"),
    }


def test_findings_are_sorted_by_severity(alone):
    order = [finding.severity for finding in alone.findings]
    assert order == sorted(order, key=("invalidates", "warning", "note").index)


def test_copies_and_lesions_in_two_parts_of_a_split_are_found(table):
    parts = np.array(["train"] * len(table))
    parts[2], parts[4] = "test", "val"  # a_downsampled.png, d.png
    audited = audit(table, Split(parts))
    assert cases(audited, "copies_cross_parts") == {frozenset({"a", "a_downsampled"})}
    assert cases(audited, "groups_cross_parts") == {frozenset({"c", "d"})}
    assert kinds(audited)["copies_cross_parts"].severity == "invalidates"
    assert audited.invalid


def test_copies_of_two_lesions_in_one_part_are_a_warning(table):
    audited = audit(table, Split(np.array(["train"] * len(table))))
    assert kinds(audited)["copies_across_groups"].severity == "warning"
    assert [f.kind for f in audited.findings if f.severity == "invalidates"] == ["unreadable"]


def test_twins_of_isic_2019_are_named_with_their_originals(tmp_path):
    for seed, name in enumerate(("A", "A_downsampled", "B_downsampled")):
        photograph(tmp_path / f"{name}.png", seed)
    paths = tuple(tmp_path / f"{name}.png" for name in ("A", "A_downsampled", "B_downsampled"))
    groups = ("L1", "L2", "L3")
    twins = Table(("X",), ("A", "A_downsampled", "B_downsampled"), paths, np.zeros(3, int), groups, {}, tmp_path)
    finding = kinds(audit(twins))["downsampled_twins"]
    assert finding.severity == "warning"
    assert finding.cases == (("A", "A_downsampled"),)
    assert finding.message.startswith("2 images named *_downsampled; the original of 1 ")


def test_a_sound_data_set_is_valid(lesions):
    audited = audit(data.read("auto", lesions).take(range(40)))
    assert not audited.invalid


def test_everything_is_in_the_json(alone, table):
    content = json.loads(json.dumps(alone.to_json()))
    assert content["invalid"] is True
    assert content["images"] == 11
    assert content["classes"] == {"MEL": [4, 4], "NV": [7, 5]}
    assert content["sources"] == {"Vienna": 8, "Barcelona": 2, "unknown": 1}
    assert {finding["kind"] for finding in content["findings"]} == set(kinds(alone))
    assert all(finding["count"] == len(finding["cases"]) for finding in content["findings"])
    rotated = next(copy for copy in content["copies"] if copy["images"] == ["b.png", "rotated.png"])
    assert rotated["second_is"].startswith("mirrored along")
    assert content["parts"] is None
    assert content["table_digest"] == table.digest


def test_sources_are_the_prefixes_of_lesion_ids_where_there_is_no_column():
    groups = ("HAM_0000001", "HAM_0000002", "BCN_0000003", "MSK4_0000004", "image:ISIC_1", "17")
    ids = tuple("abcdef")
    bare = Table(("X",), ids, tuple(map(Path, ids)), np.zeros(6, int), groups, {}, Path())
    assert sources(bare) == {"HAM": 2, "unknown": 2, "BCN": 1, "MSK4": 1}


def joined(groups, *pairs):
    """Return the merged groups of images 0, 1, 2, .. with these groups ("" is unknown) and copies."""
    ids = tuple(f"i{row}" for row in range(len(groups)))
    named = tuple(group or f"image:{name}" for group, name in zip(groups, ids, strict=True))
    table = Table(("X",), ids, tuple(map(Path, ids)), np.zeros(len(ids), int), named, {}, Path())
    first, second = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    return merged_groups(table, first, second)


@pytest.mark.parametrize(
    ("groups", "pairs", "expected"),
    [
        (["B", "A", "C"], [], ("B", "A", "C")),
        (["B", "A", "C"], [(0, 1)], ("A", "A", "C")),
        (["B", "A", "A", "C"], [(0, 1), (2, 3)], ("A", "A", "A", "A")),
        (["", "", ""], [(1, 2)], ("image:i0", "copies:i1", "copies:i1")),
        (["", "Z"], [(0, 1)], ("Z", "Z")),
        (["B", "B"], [(0, 1)], ("B", "B")),
    ],
)
def test_groups_connected_by_copies_are_merged(groups, pairs, expected):
    assert joined(groups, *pairs) == expected


def test_splits_of_the_merged_table_keep_copies_together(alone, table, tmp_path):
    gone = write_merged(tmp_path / "merged.csv", alone)
    assert gone == 1
    again = data.read("auto", tmp_path / "merged.csv")
    assert [path.resolve() for path in again.paths] == [path.resolve() for path in table.paths]
    assert [again.classes[k] for k in again.labels] == [table.classes[k] for k in table.labels]
    assert again.groups[0] == again.groups[2] == "L1"
    assert again.groups[9] == f"image:{again.ids[9]}"
    assert again.attributes == table.attributes
    for seed in range(5):
        parts = splitting.split(again, val=0, test=0.3, seed=seed).parts
        assert parts[0] == parts[2]
    with (tmp_path / "merged.csv").open(encoding="utf-8") as file:
        assert next(csv.reader(file)) == ["path", "label", "group", "sex", "age", "source"]


@pytest.mark.parametrize(
    ("header", "named"),
    [("patient_id,mrn", None), ("mrn,lesion_id", None), ("lesion_id,patient_id", "lesion_id"), ("case_id,group", None)],
)
def test_a_merged_table_is_read_back_by_the_merged_groups_alone(header, named, tmp_path):
    rows = []
    for n in range(8):
        (tmp_path / f"{n}.jpg").touch()
        rows.append(f"{n}.jpg,{'ab'[n % 2]},A{n // 2},B{n // 2},4{n}")
    (tmp_path / "t.csv").write_text("\n".join([f"image,label,{header},age", *rows]) + "\n")
    pairs = Pairs(np.array([0]), np.array([2]), np.ones(1), np.zeros(1, dtype=np.int64))
    (tmp_path / "out").mkdir()
    merged = tmp_path / "out" / "merged.csv"
    assert write_merged(merged, Audit(data.read("auto", tmp_path, group=named), None, (), pairs, {})) == 1
    for again in (data.read("auto", merged), data.read("auto", merged, group=GROUP)):
        assert again.origin.group == GROUP
        assert len(set(again.groups[:4])) == 1
        assert len(set(again.groups)) == 3
        assert list(again.attributes) == ["age"]


def test_a_merged_table_that_cannot_be_written_is_refused(alone, tmp_path):
    with pytest.raises(DataError, match=r"gone/merged\.csv: cannot be written"):
        write_merged(tmp_path / "gone" / "merged.csv", alone)


def test_an_audit_without_findings_is_valid(table):
    assert not Audit(table, None, (), Pairs(*(np.empty(0, int),) * 4), {}).invalid


def test_copies_without_ids_in_one_group_are_not_called_a_lesion(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for seed, name in enumerate("abc"):
        photograph(tmp_path / f"{name}.png", seed)
    shutil.copy(tmp_path / "a.png", tmp_path / "d.png")
    (tmp_path / "table.csv").write_text("path,label\na.png,MEL\nb.png,NV\nc.png,NV\nd.png,NV\n")
    found = {finding.kind: finding.message for finding in audit(data.load_table(tmp_path / "table.csv")).findings}
    assert "kept in one part" in found["copies_together"]
    assert {"copies_within_group", "group_differs_in_label"}.isdisjoint(found)
