"""The tables of docs/results.md are those that the packed runs in results/ give."""

import re
from pathlib import Path

import pytest

from dspkd.experiments.compare import packed_comparison
from dspkd.runs import packed
from dspkd.runs.reading import opened
from untrained_runs import write_comparison

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "results.md"
RUNS = sorted((path.parent.relative_to(ROOT) for path in (ROOT / "results").rglob(packed.RUN)), key=str)


def embedded(text):
    """Return ``{folder: tables}`` of a page."""
    return dict(
        re.findall(r"<!-- (results/\S+(?: \+ results/\S+)*) begin -->\n\n(.*?)\n<!-- \1 end -->", text, flags=re.DOTALL)
    )


def tables(folders):
    """Return the tables of the folders of a marker."""
    return packed_comparison.tables(list(map(Path, folders.split(" + "))))


def stale(text):
    """Return the folders whose tables on the page are not those of their files."""
    return [folders for folders, shown in embedded(text).items() if tables(folders) != shown]


def test_each_marker_of_the_page_has_its_counterpart():
    text = PAGE.read_text(encoding="utf-8")
    assert re.findall(r"<!-- (.+) begin -->", text) == re.findall(r"<!-- (.+) end -->", text) == [*embedded(text)]


@pytest.mark.parametrize("folders", embedded(PAGE.read_text(encoding="utf-8")))
def test_the_page_has_the_tables_of_the_files(folders, monkeypatch):
    monkeypatch.chdir(ROOT)
    assert tables(folders) == embedded(PAGE.read_text(encoding="utf-8"))[folders]


@pytest.mark.parametrize("run", RUNS, ids=str)
def test_each_packed_run_is_whole_and_names_no_path_of_a_machine(run):
    assert opened(ROOT / run).require_finished().recipe.data.path
    for name in ("recipe.toml", packed.RUN):
        assert not re.search(r'"/', (ROOT / run / name).read_text(encoding="utf-8"))


def test_a_page_with_a_changed_number_is_found(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    packed.pack(write_comparison(tmp_path / "runs"), Path("results/GRID"))
    page = tmp_path / "page.md"
    page.write_text("<!-- results/GRID begin -->\n<!-- results/GRID end -->\n")
    packed_comparison.embed(page, "results/GRID", packed_comparison.tables([Path("results/GRID")]))
    assert stale(page.read_text()) == []
    number = re.search(r"kd \| 0 \| (0\.\d{4})", page.read_text())[1]
    assert stale(page.read_text().replace(number, "0.9999")) == ["results/GRID"]
