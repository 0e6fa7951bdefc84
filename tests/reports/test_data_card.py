import io
import json
import re

import pytest
from rich.console import Console

from dspkd import reports
from dspkd.cli.comparison_tables import print_comparison
from dspkd.data.data_card import Attribute
from dspkd.reports import comparison_markdown, comparison_results, data_card

SMALL = {"classes": ("MEL", "NV"), "images": (20, 30), "short": True}
PARTS = ("train", "val", "test")
CARD = {
    "sex": {
        "column": "gender <b>",
        "parts": {"train": {"male": 60, "": 140}, "val": {"male": 0, "": 10}, "test": {"male": 1200, "": 800}},
        "medians": {},
    },
    "age": {
        "column": "age",
        "parts": {part: {"20 to 39": 3, "": 0} for part in PARTS},
        "medians": {"train": 32.5, "test": 30.0},
    },
    "source": {"column": "source", "parts": {part: {"": 5} for part in PARTS}, "medians": {}},
    "skin type": {"column": None, "parts": {}, "medians": {}},
}
LEAK = {"waiver": "imitates <i>X</i>", "groups": 12, "images": 1040, "tested": 50, "known": 30}
WARNING = "Test images of a lesion or patient that is also in training: 30 of 50 (60.0 %)"


def with_data(folder, **changes):
    path = folder / "data.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    return folder


@pytest.fixture(scope="module")
def old(fabricated):
    return fabricated("old", name="old", **SMALL)


@pytest.fixture(scope="module")
def carded(fabricated):
    return with_data(fabricated("new", name="new", **SMALL), card=CARD, leak=LEAK)


@pytest.fixture(scope="module", params=["run", "comparison"])
def written(request, carded, old, tmp_path_factory, page):
    """The page of a run that has card and leak, and that of a comparison where only one of the runs has them."""
    if request.param == "run":
        return page(reports.write(carded))
    return page(reports.compare([old, carded], tmp_path_factory.mktemp("pages") / "both.html"))


def test_the_card_is_on_both_pages_with_counts_shares_medians_and_what_is_missing(written):
    words = written.words
    assert "Sex gender <b> male 60 (30.0 %) 0 (0.0 %) 1,200 (60.0 %) not provided 140 (70.0 %)" in words
    assert "Age age median, years 32.5 \N{EN DASH} 30 20 to 39 3 (100.0 %)" in words
    assert "Skin type not provided" in words
    assert "not provided 5 (100.0 %)" in words
    assert "Not recorded" not in words
    assert "MEL 66 (50) 16 (12) 20 (15)" in words
    assert all("scope" in th for th in written.all("th"))
    assert not written.all("b")


def test_a_waived_leak_is_on_both_pages_above_every_number(written):
    words = written.words
    assert words.index("The split leaks, so these results are overstated.") < min(
        words.find(f"{name} 0.") % 10**9 for name in ("AUROC", "balanced accuracy")
    )
    assert words.count(WARNING) == 1
    assert 'Waived by the recipe: "imitates <i>X</i>"' in words
    assert [a for a in written.all("p") if a.get("class") == "alarm"] == [{"class": "alarm", "role": "note"}]


def test_different_waivers_are_all_listed(fabricated, carded, tmp_path, page):
    other = with_data(fabricated("other", name="other", **SMALL), leak=LEAK | {"waiver": "for speed"})
    words = page(reports.compare([carded, other], tmp_path / "both.html")).words
    assert words.count(WARNING) == 2
    assert '"for speed"' in words


def test_a_run_without_a_card_is_reported_as_such(old, page, tmp_path):
    for path in (reports.write(old), reports.compare([old], tmp_path / "page.html")):
        words = page(path).words
        assert "Data card Not recorded:" in words
        assert "leaks" not in words


def test_missing_attributes_are_among_the_limitations(carded, old, page):
    words = page(reports.write(carded)).words
    assert re.search(r"Missing for all images: source, skin type", words)
    assert "Missing for all images" not in page(reports.write(old)).words


def test_an_attribute_with_one_value_is_not_missing():
    some = Attribute("x", {"train": {"a": 0, "": 3}, "test": {"a": 1, "": 2}})
    assert data_card.missing({"some": some, "none": Attribute("y", {"train": {"a": 0, "": 3}})}) == ["none"]


def test_the_tables_of_a_comparison_have_card_and_leak_too(carded, old):
    results = comparison_results.tabulate("", [old, carded], [], controls=(), failed={}, unequal=())
    text = comparison_markdown.markdown([results])
    assert text.index(f"**{results.leaks[0]}**") < text.index("| method |")
    assert WARNING in results.leaks[0]
    assert "\n- sex: male 60 %, not provided 40 %\n" in text
    assert "\n- age: 20 to 39 100 %, not provided 0 %, median 30\n" in text
    assert "\n- skin type: not provided" in text
    (kept,) = json.loads(comparison_results.as_json([results]))
    assert kept["leaks"] == results.leaks
    assert kept["card"]["sex"] == CARD["sex"]
    console = Console(file=io.StringIO(), width=200)
    print_comparison(console, results)
    assert WARNING in console.file.getvalue()


def test_the_tables_of_runs_without_a_card(old):
    results = comparison_results.tabulate("", [old], [], controls=(), failed={}, unequal=())
    assert results.leaks == []
    assert "Data card: not provided" in comparison_markdown.markdown([results])
