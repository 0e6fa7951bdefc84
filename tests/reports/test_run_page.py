import json
import re
import subprocess
import sys

import matplotlib as mpl
import pytest
from PIL import Image

from dspkd import reports
from dspkd.evaluation.metrics import DEFINITIONS, summarise
from dspkd.evaluation.predictions import Predictions
from dspkd.reports import wording
from figures import drawn

HOSTILE = ("<b>x</b> $\\frac$", '" onload="x', "黑色素瘤 {{ 7 * 7 }}", "-->")
"""Class names; the last class has no test images."""
DASH = "\N{EN DASH}"
LOADS = {"src", "href", "xlink:href", "srcset", "data", "poster", "action"}


@pytest.fixture(scope="module")
def hostile(fabricated):
    folder = fabricated(
        name="<script>alert(1)</script>", classes=HOSTILE, images=(20, 15, 1, 0), short=True, synthetic=True
    )
    with drawn():
        return reports.write(folder)


def test_it_is_one_page_that_loads_nothing(whole, page):
    read = page(whole / "report.html")
    tags = {tag for tag, _ in read.tags}
    assert not tags & {"script", "link", "iframe", "object", "embed", "base", "form"}
    linked = [value for _, attributes in read.tags for name, value in attributes.items() if name in LOADS]
    assert linked
    assert all(value.startswith("#") for value in linked)
    assert "@import" not in read.text
    assert all(target.startswith("#") for target in re.findall(r"url\(([^)]*)\)", read.text))
    assert "http:" not in read.text.replace("http://www.w3.org/", "")
    policies = [m["content"] for m in read.all("meta") if m.get("http-equiv") == "Content-Security-Policy"]
    assert policies == ["default-src 'none'; style-src 'unsafe-inline'; img-src data:"]


def test_every_link_has_its_target_and_ids_are_unique(whole, page):
    read = page(whole / "report.html")
    ids = [attributes["id"] for _, attributes in read.tags if "id" in attributes]
    assert len(set(ids)) == len(ids)
    targets = re.findall(r'(?:url\(|href=")#([^")]+)', read.text)
    named = " ".join(a["aria-labelledby"] for _, a in read.tags if "aria-labelledby" in a).split()
    assert set(targets) | set(named) <= set(ids)


def test_it_is_accessible_to_screen_readers(whole, page):
    read = page(whole / "report.html")
    assert all("scope" in th for th in read.all("th"))
    assert len(read.all("caption")) == len(read.all("table"))
    drawn = [svg for svg in read.all("svg") if svg["role"] == "img"]
    assert len(drawn) == len(read.all("svg")) == 1 + 3 + 2 * 3 + 2 + 1
    assert all(svg["aria-label"] for svg in drawn)
    curves = [svg["aria-label"] for svg in drawn if "Validation" in svg["aria-label"]]
    assert all(re.search(r": 0\.\d{3} in epoch \d+ of \d+, which was kept\.$", words) for words in curves)
    assert len(curves) == 2
    assert len(read.all("figcaption")) == len(read.all("figure"))
    assert read.all("html") == [{"lang": "en"}]
    assert len(read.all("h1")) == 1


def test_it_has_the_metrics_and_their_definitions(whole, page):
    read = page(whole / "report.html")
    test = summarise(Predictions.load(whole / "predictions/test.csv"))
    numbers = [test.accuracy, test.balanced_accuracy, test.f1_macro, test.auc_macro, test.specificity_macro]
    numbers += [test.precision_weighted, test.specificity_weighted]
    numbers += [getattr(row, m) for row in test.per_class for m in ("precision", "recall", "f1", "specificity", "auc")]
    for number in numbers:
        assert f"{number:.3f}" in read.words
    for metric in ("balanced_accuracy", "accuracy", "precision", "recall", "specificity", "f1", "auc", "macro"):
        assert DEFINITIONS[metric] in read.words
    assert "1.26 M parameters" in read.words
    assert "360 test images of 270 lesions" in read.words
    assert "not a diagnosis" in read.words
    assert 'name = "shufflenet_v2_x1_0"' in read.words
    assert "Linux-6.1-x86_64" in read.words
    assert "MEL 297 (223) 72 (54) 90 (68)" in read.words  # train, val, test of data.json


def test_the_confusion_matrix_is_drawn_with_its_counts(whole, page):
    read = page(whole / "report.html")
    test = summarise(Predictions.load(whole / "predictions/test.csv"))
    drawing = read.text[read.text.index('aria-label="Confusion matrix of the test') :].split("</svg>")[0]
    drawn = sorted(int(text) for text in re.findall(r">(\d+)</text>", drawing))
    assert drawn == sorted(count for row in test.confusion for count in row if count)


def test_figures_follow_light_and_dark(whole, page):
    read = page(whole / "report.html")
    assert "prefers-color-scheme: dark" in read.text
    for drawing in re.findall(r"<svg.*?</svg>", read.text, flags=re.DOTALL):
        assert "var(--ink)" in drawing
        assert set(re.findall(r"#[0-9a-f]{6}\b", drawing)) == set()
        assert "DejaVu" not in drawing


def test_the_same_files_give_the_same_bytes(whole, fabricated):
    again = fabricated(short=True, classes=("MEL", "NV", "DF"), images=(90, 240, 30))
    settings = dict(mpl.rcParams)
    with drawn():
        reports.write(again)
    assert dict(mpl.rcParams) == settings  # the drawing leaves those of the user alone
    assert (again / "report.html").read_bytes() == (whole / "report.html").read_bytes()
    for name in ("confusion", "curves", "roc", "reliability", "risk"):
        path = f"figures/{name}.png"
        assert (again / path).read_bytes() == (whole / path).read_bytes()
        with Image.open(whole / path) as image:
            assert min(image.size) > 300
    assert sorted(path.name for path in again.iterdir() if path.suffix in (".html", ".partial")) == ["report.html"]


def test_hostile_names_are_escaped(hostile, page):
    read = page(hostile)
    assert not read.all("b")
    assert not read.all("script")
    assert not [a for _, a in read.tags if "onload" in a]
    for name in (*HOSTILE, "<script>alert(1)</script>"):
        assert name in read.words
    drawing = read.text[read.text.index('aria-label="Confusion matrix of the test') :].split("</svg>")[0]
    assert "&lt;b&gt;x&lt;/b&gt; $\\frac$</text>" in drawing


def test_synthetic_data_are_flagged_at_the_top(hostile, whole, page):
    assert page(hostile).words.index("Synthetic data") < page(hostile).words.index("balanced accuracy")
    assert "Synthetic" not in page(whole / "report.html").words


def test_a_class_without_test_images_gets_dashes_and_a_note(hostile, page):
    words = page(hostile).words
    assert re.search(
        rf"--> {DASH} {DASH} 0\.000 0\.000 \d\.\d{{3}} {DASH} 0 0", words
    )  # recall and AUC have no meaning
    assert "no curve" in words
    assert "left out of every mean: -->." in words
    assert "recall of -->, auc of -->" in words


def test_reporting_needs_neither_torch_nor_pyplot():
    code = "import sys, dspkd.reports; print({'torch', 'matplotlib.pyplot'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"


def test_numbers_are_formatted():
    assert [wording.parameters(n) for n in (1_261_804, 950)] == ["1.26 M", "950"]
    assert [wording.duration(s) for s in (42, 125, 119.7, 7380)] == ["42 s", "2 min 5 s", "2 min 0 s", "2 h 3 min"]
    assert wording.counted(1, "class", "classes") == "1 class"
    assert wording.counted(1640, "image") == "1,640 images"


INDEPENDENCE = (
    ", which were not used for training or for choosing the epoch; validation",
    ": whether the network saw them where it was trained is not known; validation",
    ", which are not independent of the training images (see the warning above); validation",
)

LEAK = {"waiver": "known", "groups": 3, "images": 9, "tested": 4, "known": 2}


@pytest.mark.parametrize(
    ("result", "data", "words"),
    [({}, {}, 0), ({"stages": []}, {}, 1), ({}, {"leak": LEAK}, 2)],
)
def test_test_images_are_independent_only_where_that_is_known(fabricated, result, data, words):
    folder = fabricated(short=True, **result)
    path = folder / "data.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | data))
    text = reports.write(folder).read_text()
    assert [each for each in INDEPENDENCE if each in text] == [INDEPENDENCE[words]]
