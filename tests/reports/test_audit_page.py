import numpy as np
import pytest
from PIL import Image

from dspkd.data.audit.audit import Audit
from dspkd.data.audit.duplicates import Pairs
from dspkd.data.audit.findings import AuditFinding
from dspkd.data.split import Split
from dspkd.data.table import Table
from dspkd.reports import audit_page


def audited(folder, *, pairs=3, findings=(), split=None):
    """An audit of eight images of two classes; pair p is images p and p + 1."""
    ids = tuple(f"i<{row}>" for row in range(8))
    paths = tuple(folder / f"{row}.png" for row in range(8))
    for row, path in enumerate(paths):
        Image.new("RGB", (300, 200), (30 * row, 90, 90)).save(path)
    groups = ("L0", "L0", "L2", "L3", "L4", "L5", "L6", "L7")
    table = Table(("MEL", "NV"), ids, paths, np.arange(8) // 4, groups, {}, folder)
    rows = np.arange(pairs)
    duplicates = Pairs(rows, rows + 1, 0.9 - 0.1 * rows, rows % 8)
    return Audit(table, split, tuple(findings), duplicates, {"HAM": 8})


GRAVE = AuditFinding("unreadable", "invalidates", "1 image cannot be read", (("i<5>",),), "fix it")
DOUBT = AuditFinding("tiny", "warning", "2 images have a side of less than 64 pixels", (("i<1>",), ("i<2>",)))


def test_a_page_is_whole_and_has_the_findings(tmp_path, page):
    read = page(audit_page.write(audited(tmp_path, findings=(GRAVE, DOUBT)), tmp_path / "a.html"))
    assert "Fix before splitting: 1 image cannot be read. 1 warning as well." in read.words
    assert "fix it" in read.words
    assert "i<5>" in read.words  # escaped: it is text, no tag
    assert "HAM 8" in read.words
    assert len(read.all("img")) == 6
    assert all(image["src"].startswith("data:image/jpeg;base64,") for image in read.all("img"))
    assert [tag for tag, _ in read.tags if tag in {"script", "link", "iframe"}] == []
    assert "http" not in read.text.replace('http-equiv="Content', "")


def test_the_most_severe_pairs_come_first(tmp_path):
    parts = np.array(["train"] * 8)
    parts[3:] = "test"
    audit = audited(tmp_path, pairs=5, split=Split(parts))
    couples = audit_page._couples(audit)
    assert [(couple.images[0].name, couple.faults) for couple in couples] == [
        ("i<2>", ("two parts of the split", "two lesions or patients")),
        ("i<3>", ("two classes", "two lesions or patients")),
        ("i<1>", ("two lesions or patients",)),
        ("i<4>", ("two lesions or patients",)),
        ("i<0>", ()),
    ]
    assert couples[0].images[0].part == "train"
    assert couples[0].images[1].part == "test"


def test_the_sheet_is_limited_and_gives_the_total(tmp_path, page, monkeypatch):
    monkeypatch.setattr(audit_page, "SHOWN", 2)
    read = page(audit_page.write(audited(tmp_path), tmp_path / "a.html"))
    assert len(read.all("img")) == 4
    assert "the 2 most severe of 3." in read.words


def test_parts_have_columns_of_their_own(tmp_path, page):
    split = Split(np.array(["train"] * 6 + ["test"] * 2))
    read = page(audit_page.write(audited(tmp_path, split=split), tmp_path / "a.html"))
    assert "Class All train val test MEL 4 (3) 4 (3) 0 (0) 0 (0) NV 4 (4) 2 (2) 0 (0) 2 (2)" in read.words


def test_an_audit_without_findings(tmp_path, page):
    read = page(audit_page.write(audited(tmp_path, pairs=0), tmp_path / "a.html"))
    assert "Nothing was found that would invalidate a result on this data set." in read.words
    assert "checked twice. None." in read.words
    assert read.all("img") == []


@pytest.mark.parametrize(
    ("split", "first"),
    [(None, "Fix before splitting:"), (Split(np.array(["train"] * 8)), "Results on this split are not")],
)
def test_the_verdict_is_about_what_was_audited(tmp_path, split, first):
    assert audit_page.verdict(audited(tmp_path, findings=(GRAVE,), split=split)).startswith(first)


def test_synthetic_data_is_flagged(tmp_path, page):
    (tmp_path / "SYNTHETIC.md").touch()
    assert "Synthetic data" in page(audit_page.write(audited(tmp_path), tmp_path / "a.html")).words
