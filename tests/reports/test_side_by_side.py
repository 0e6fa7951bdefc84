"""A table beside the paper's, in four forms."""

import csv
import io
import re
from html.parser import HTMLParser

import pytest

from dspkd.experiments.paper import side_by_side_page
from dspkd.experiments.paper.side_by_side import (
    DASH,
    SYNTHETIC,
    OurFigure,
    SideBySide,
    TableCell,
    TableRow,
    as_csv,
    latex,
    markdown,
)

TABLE = SideBySide(
    number=7,
    title="Ablation & <controls>",
    caption="Ours: 100 % drawings.",
    columns=("accuracy, %", "verdict"),
    lines=(
        TableRow("S_plain", (TableCell("86.21", OurFigure(61.234, 1.5, 58.0, 64.05, 3)), TableCell()), (1, 2)),
        TableRow("only theirs", (TableCell("90.00"), TableCell())),
        TableRow("only ours", (TableCell("", OurFigure(0.0231, digits=4)), TableCell("", "inconclusive"))),
    ),
    reasons=("data: other | images", "split: by lesion"),
    notes=("a note",),
    given_up=("epochs: 4, not 150",),
    synthetic=True,
)


@pytest.mark.parametrize(
    ("ours", "text"),
    [
        (OurFigure(61.234), "61.23"),
        (OurFigure(61.234, 1.5), "61.23 ± 1.50"),
        (OurFigure(61.234, None, 58.0, 64.05), "61.23 [58.00, 64.05]"),
        (OurFigure(0.02314, digits=4), "0.0231"),
    ],
)
def test_a_figure_has_its_spread_and_its_interval(ours, text):
    assert str(ours) == text


def test_markdown_has_a_line_for_the_papers_figures_and_one_for_ours():
    text = markdown(TABLE)
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]
    assert {len(row) for row in rows} == {4}
    assert rows[2:] == [
        ["S_plain, paper", "86.21", DASH, ""],
        ["**S_plain, ours**", "61.23 ± 1.50 [58.00, 64.05]", DASH, "1, 2"],
        ["only theirs, paper", "90.00", DASH, ""],
        ["**only ours, ours**", "0.0231", "inconclusive", ""],
    ]
    assert SYNTHETIC in text
    assert "1. data: other | images\n2. split: by lesion" in text
    assert "- epochs: 4, not 150" in text


def test_csv_has_a_line_for_each_figure_with_its_reasons():
    rows = list(csv.DictReader(io.StringIO(as_csv(TABLE))))
    assert [(row["row"], row["column"], row["paper"], row["ours"]) for row in rows] == [
        ("S_plain", "accuracy, %", "86.21", "61.234"), ("only theirs", "accuracy, %", "90.00", ""),
        ("only ours", "accuracy, %", "", "0.0231"), ("only ours", "verdict", "", "inconclusive"),
    ]  # fmt: skip
    assert (rows[0]["low"], rows[0]["high"], rows[0]["runs"]) == ("58", "64.05", "3")
    assert rows[0]["not_comparable_because"] == "data: other | images; split: by lesion"
    assert rows[1]["not_comparable_because"] == ""


def test_latex_escapes_what_means_something_there_and_its_rows_are_of_one_length():
    text = latex(TABLE)
    body = text[text.index(r"\midrule") : text.index(r"\bottomrule")]
    rows = [line for line in body.splitlines() if line.endswith(r"\\")]
    assert {len(re.findall(r"(?<!\\)&", row)) for row in rows} == {3}
    assert r"S\_plain, ours & 61.23 $\pm$ 1.50 [58.00, 64.05] & -- & 1, 2 \\" in rows
    assert r"Ablation \& <controls>" in text
    assert r"100 \% drawings" in text


class Page(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.ids, self.links = [], set(), set()

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        self.tags.append(tag)
        self.ids.add(values.get("id"))
        self.links.add(values.get("href"))


def test_the_page_is_whole_in_itself_and_its_numbers_lead_to_their_reasons(tmp_path):
    files = side_by_side_page.write(TABLE, tmp_path / "out")
    assert [path.name for path in files] == ["table7.md", "table7.csv", "table7.tex", "table7.html"]
    text = files[-1].read_text()
    page = Page()
    page.feed(text)
    assert not {"script", "link", "img", "iframe"} & set(page.tags)
    assert {link for link in page.links if link} <= {f"#{each}" for each in page.ids if each}
    assert "#reason-2" in page.links
    assert "Ablation &amp; &lt;controls&gt;" in text
    assert SYNTHETIC in text
    assert "http" not in text.replace('http-equiv="Content-Security-Policy"', "")
    assert not list(tmp_path.rglob("*.partial"))
