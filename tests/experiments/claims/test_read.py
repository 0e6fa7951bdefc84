"""Reading tables of results: written by hand, and by dspkd."""

import json
import re
import subprocess
import sys

import pytest

from command import call, refused
from dspkd.errors import DataError
from dspkd.experiments.paper.claims import check
from dspkd.experiments.paper.claims.read import read

CSV = """\
# typed from a paper
model,role,network,Top-1,Macro F1,sd:accuracy,f1:MEL,f1:NV,images,classes,seeds,Params (M)
big,teacher,large,92.50,90.00,,,,200,MEL=50 NV=150,,43.2
plain,baseline,small,90.0,88.00,0.40,,,200,MEL=50 NV=150,3,1.262
kd,student,small,91.20 ± 0.5,87.50,,80.00,95.00,200,MEL=50 NV=150,3,1.10
"""


@pytest.fixture
def write(tmp_path):
    def file(text, name="table.csv"):
        (tmp_path / name).write_text(text)
        return tmp_path / name

    return file


def test_a_csv_keeps_digits_spreads_classes_and_ranges(write):
    big, plain, kd = read(write(CSV))
    assert (big.role, big.network, str(big.figures["accuracy"])) == ("teacher", "large", "92.50")
    assert (plain.figures["accuracy"].digits, plain.spreads["accuracy"].value, plain.runs) == (1, 0.4, 3)
    assert (kd.spreads["accuracy"].value, kd.figures["f1"].value) == (0.5, 87.5)
    assert {name: each.value for name, each in kd.f1_of.items()} == {"MEL": 80, "NV": 95}
    assert (kd.images, kd.classes) == ((200, 200), {"MEL": 50, "NV": 150})
    assert read(write(CSV.replace(",200,", ",150-250,")))[0].images == (150, 250)
    assert {f.rule for f in check([big, plain, kd]) if f.severity == "impossible"} >= {"same-network", "granularity"}


def test_toml_gives_the_same_rows(write):
    toml = """
[data.d]
images = 200
classes = { MEL = 50, NV = 150 }
[[rows]]
model = "kd"
data = "d"
accuracy = 91.20
sd = { accuracy = 0.5 }
f1_of = { MEL = 80.00, NV = 95.00 }
"""
    (kd,) = read(write(toml, "table.toml"))
    assert (str(kd.figures["accuracy"]), kd.spreads["accuracy"].value, kd.images) == ("91.20", 0.5, (200, 200))
    assert kd.classes == {"MEL": 50, "NV": 150}


def test_shares_become_percentages_with_two_digits_fewer(write):
    (row,) = read(write("model,accuracy,f1\nkd,0.9120,0.88\n"))
    assert (row.figures["accuracy"].value, row.figures["accuracy"].digits) == (pytest.approx(91.2), 2)
    assert row.figures["f1"].digits == 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model,acuracy\nkd,90\n", "'acuracy'; did you mean 'accuracy'?"),
        ("model,accuracy\n,90\n", "row 1: .*model"),
        ("model,accuracy\nkd,ninety\n", r"row 1 \(kd\): accuracy is 'ninety'"),
        ("model,accuracy\nkd,190\n", "190.0; .*between 0 and 100"),
        ("model,accuracy,f1\nkd,90,0.8\n", "0.8; write all metrics as percentages, or all as"),
        ("model,role,accuracy\nkd,pupil,90\n", "role 'pupil' .*teacher, baseline or student"),
        ("model,accuracy,images\nkd,90,some\n", "images is 'some'; .*whole number"),
        ("model,accuracy,images\nkd,90,300-200\n", "images .*a number of test images, or the least and the greatest"),
        ("model,accuracy\nkd,90,3\n", "3 cells, the headings are 2"),
        ("model,accuracy\n", "no row"),
    ],
)
def test_an_error_is_reported_with_its_row(write, text, message):
    with pytest.raises(DataError, match=message):
        read(write(text))


def test_other_errors_are_reported_with_their_place(write, tmp_path):
    with pytest.raises(DataError, match=r"row 1: .*'accurcy'; did you mean 'accuracy'"):
        read(write('[[rows]]\nmodel = "kd"\naccurcy = 90.0\n', "a.toml"))
    with pytest.raises(DataError, match="is not TOML"):
        read(write("model,accuracy", "b.toml"))
    with pytest.raises(DataError, match=r"results\.json"):
        read(write("{}", "c.json"))
    with pytest.raises(DataError, match=r"\[\[rows\]\]"):
        read(write('[rows]\nmodel = "kd"\naccuracy = 90.0\n', "e.toml"))
    with pytest.raises(DataError, match=r"\[data\.NAME\]"):
        read(write('data = "isic"\n[[rows]]\nmodel = "kd"\naccuracy = 90.0\n', "f.toml"))
    with pytest.raises(DataError, match=r"row 1 .kd.: sd must be a table"):
        read(write('[[rows]]\nmodel = "kd"\naccuracy = 90.0\nsd = 0.31\n', "g.toml"))
    with pytest.raises(DataError, match=r"not a results\.json of dspkd compare: KeyError"):
        read(write('[{"arms": []}]', "h.json"))
    with pytest.raises(DataError, match=r"\.toml, \.csv, \.md, \.json"):
        read(write("", "d.pdf"))
    assert "none.csv: " in refused("claims", tmp_path / "none.csv")


def test_units_of_a_class_and_of_a_difference(write):
    (row,) = read(write("model,accuracy,f1:DF\nkd,60.0,0.8\n"))
    assert row.f1_of["DF"].value == 0.8
    _, points = read(write("model,role,accuracy,delta,delta_from\nS,baseline,0.8621,,\nKD,student,0.8739,+1.18,S\n"))
    assert points.delta.value == pytest.approx(1.18)
    _, share = read(write("model,role,accuracy,delta,delta_from\nS,baseline,0.8621,,\nKD,student,0.8739,+0.0118,S\n"))
    assert share.delta.value == pytest.approx(1.18)


def results():
    """Return small results of compare: a student below its baseline in F1 and above it in accuracy."""

    def run(name, seed, accuracy, f1, network="tiny"):
        figures = {"balanced_accuracy": 0.75, "f1_macro": f1, "accuracy": accuracy, "specificity_macro": 0.9}
        return {
            "folder": f"runs/{name}", "seed": seed, "network": network, "parameters": 58_000, "teacher": "runs/big",
            "figures": {**figures, "auc_macro": None}, "recalls": {}, "f1s": {}, "seconds": 1.0,
        }  # fmt: skip

    def arm(name, accuracy, f1):
        figures = {
            m: {"mean": v, "sd": 0.01, "low": 0.0, "high": 1.0}
            for m, v in (("accuracy", accuracy), ("f1_macro", f1), ("auc_macro", 0.9), ("log_loss", 1.2))
        }
        return {"name": name, "figures": figures, "runs": [run(name, s, accuracy, f1) for s in (0, 1)], "seconds": 2.0}

    return [
        {
            "name": "", "data": {"path": "lesions"}, "synthetic": True, "images": 20, "groups": 20,
            "classes": {"MEL": 10, "NV": 10}, "controls": ["plain"], "verdicts": [], "failed": {}, "unequal": [],
            "teachers": [run("big", 0, 0.9, 0.8, "tiny_wide")],
            "arms": [arm("kd", 0.85, 0.6), arm("plain", 0.8, 0.7)],
        }
    ]  # fmt: skip


def test_results_json_is_read_with_roles_sizes_and_single_runs(write):
    rows = read(write(json.dumps(results()), "results.json"))
    assert [(row.model, row.role) for row in rows] == [
        ("big", "teacher"), ("kd", "student"), ("kd, seed 0", None), ("kd, seed 1", None), ("plain", "baseline"),
        ("plain, seed 0", None), ("plain, seed 1", None),
    ]  # fmt: skip
    kd = rows[1]
    assert (kd.teacher, kd.baseline, kd.runs, kd.images) == ("big", "plain", 2, (20, 20))
    findings = {(finding.rule, str(finding.severity)) for finding in check(rows)}
    assert {("accuracy-up", "needs explanation"), ("granularity", "passed"), ("same-network", "passed")} <= findings
    assert ("granularity", "impossible") not in findings


def test_runs_of_other_divisions_have_names_of_their_own(write):
    one = results()
    for arm in one[0]["arms"]:
        for number, run in enumerate(arm["runs"]):
            run |= {"seed": 0, "split_seed": number}
    names = [row.model for row in read(write(json.dumps(one), "results.json"))]
    assert names[2:4] == ["kd, seed 0, split seed 0", "kd, seed 0, split seed 1"]


def test_results_md_is_read_by_method_and_by_run(write):
    text = """\
| method | runs | balanced accuracy | 95 % | macro F1 | accuracy | training |
| --- | --- | --- | --- | --- | --- | --- |
| kd | 2 | 0.601 ± 0.010 | 0.5 to 0.7 | 0.547 ± 0.008 | 0.759 ± 0.002 | 4 min 2 s |

| method | against | result | difference | 95 % | p | minimum detectable |
| --- | --- | --- | --- | --- | --- | --- |
| kd | plain | **inconclusive** | +1.4 | -0.7 to +3.5 | 0.200 | 3.0 |

| method | seed | balanced accuracy | macro F1 | accuracy | training |
| --- | --- | --- | --- | --- | --- |
| kd | 0 | 0.6010 | 0.5470 | 0.7590 | 2 min 1 s |
"""
    method, run = read(write(text, "results.md"))
    assert (method.runs, method.figures["accuracy"].value, method.spreads["accuracy"].value) == (
        2,
        75.9,
        pytest.approx(0.2),
    )
    assert run.model == "kd, seed 0"


def test_methods_of_several_comparisons_on_a_page_and_listed_runs_are_rows_of_their_own(write):
    head = "| method | macro F1 | accuracy |\n| --- | --- | --- |\n"
    text = f"""\
# Results

## From scratch

### scratch

{head}| `kd` | 0.547 ± 0.008 | 0.759 ± 0.002 |

```bash
# no heading
```

## Pretrained

{head}| `kd` | 0.601 ± 0.008 | 0.783 ± 0.002 |
{head}| `kd` | 0.60, 0.61 | 0.78, 0.79 |
"""
    rows = read(write(text.replace("0.002 |\n| method", "0.002 |\n\n| method"), "page.md"))
    assert [(row.model, row.data, row.figures["accuracy"].value) for row in rows] == [
        ("kd", "From scratch, scratch", 75.9), ("kd", "Pretrained", 78.3), ("kd, run 1", "Pretrained", 78),
        ("kd, run 2", "Pretrained", 79),
    ]  # fmt: skip
    assert not [finding for finding in check(rows) if finding.rule == "two-values"]


@pytest.mark.parametrize(
    "cell",
    ["**88.39** ± 0.31", "**88.39 ± 0.31**", "88.39 ± .31*", "88.39<sup>a</sup> (± 0.31)", r"$88.39 \pm 0.31$",
     "88.39 +/- 0.31 [1]", "88,39 ± 0,31", "88.39 % ± 0.31 %", "__88.39__ ± 0.31\u2020"],
)  # fmt: skip
def test_bold_print_footnotes_and_decimal_commas_are_read(write, cell):
    text = (
        f"| method | accuracy | macro F1 | delta |\n| --- | --- | --- | --- |\n| A\\|B | {cell} | n/a | \u2191 2.10 |\n"
    )
    (row,) = read(write(text, "page.md"))
    figures = (str(row.figures["accuracy"]), row.spreads["accuracy"].value, row.delta.value)
    assert (row.model, *figures) == ("A|B", "88.39", 0.31, 2.1)
    assert "f1" not in row.figures


def test_bars_at_the_ends_of_lines_may_be_left_out(write):
    page = "# Page\n\nA | bar in the text.\n\nmodel | accuracy\n--- | ---:\nKD | 87.1\nplain | 86.2\n\nA | bar.\n"
    assert [(row.model, str(row.figures["accuracy"])) for row in read(write(page, "t.md"))] == [
        ("KD", "87.1"),
        ("plain", "86.2"),
    ]


def test_a_second_figure_in_brackets_is_refused_with_the_way_to_write_it(write):
    with pytest.raises(DataError, match=r"row 1 \(KD\): f1 is '82.49 \(0.31\)'.*write 82.49 ± 0.31"):
        read(write("model,f1\nKD,82.49 (0.31)\n"))


def test_a_csv_may_have_semicolons_and_its_columns_differ_in_what_they_hold(write):
    (row,) = read(write("model;accuracy;sensitivity;delta\nkd;86,21;82,49;\N{MINUS SIGN}1,1\n"))
    assert [str(row.figures[key]) for key in ("accuracy", "recall")] == ["86.21", "82.49"]
    assert row.delta.value == -1.1
    with pytest.raises(DataError, match="the columns 'accuracy' and 'Top-1' are both accuracy; leave one out"):
        read(write("model,accuracy,Top-1\nkd,90,91\n"))
    page = "| method | F1 (macro) | F1 (weighted) |\n| --- | --- | --- |\n| kd | 80.1 | 88.3 |\n"
    assert str(read(write(page, "page.md"))[0].figures["f1"]) == "80.1"
    of_classes = "| method | class | recall |\n| --- | --- | --- |\n| kd | MEL | 80.1 |\n"
    with pytest.raises(DataError, match="has no row"):
        read(write(of_classes, "page.md"))


@pytest.mark.parametrize(
    ("cell", "value", "digits"),
    [("1.26 M", 1.26e6, -4), ("950", 950, 0), ("1,261,804", 1261804, 0), ("1262k", 1.262e6, -3), ("0.5G", 5e8, -8),
     ("1.262", 1.262, 3)],
)  # fmt: skip
def test_parameters_may_have_separators_and_a_unit(write, cell, value, digits):
    table = f"| method | accuracy | parameters |\n| --- | --- | --- |\n| kd | 0.759 | {cell} |\n"
    for text, name in ((table, "results.md"), (f'model,accuracy,parameters\nkd,0.759,"{cell}"\n', "a.csv")):
        number = read(write(text, name))[0].figures["parameters"]
        assert (number.value, number.digits) == (pytest.approx(value), digits)


@pytest.mark.parametrize("cell", ["1,26 M", "12,61,804", "1.26 X", "large"])
def test_parameters_of_an_unknown_form_are_refused(write, cell):
    with pytest.raises(DataError, match=r"parameters is .*; expected a number"):
        read(write(f'model,accuracy,parameters\nkd,75.9,"{cell}"\n'))


def test_the_command_prints_findings_and_exits_with_1_if_one_is_impossible(write):
    out, _ = call("claims", "paper", code=1)
    assert "[impossible] table 6: DSP-KD of Res2Net101 (ISIC2019)" in out
    assert "|1.09 - 1.262| = 0.172; rounding explains 0.0055" in out
    assert "assuming that the test images have the class proportions" in out
    assert "[passed]" not in out
    assert "[passed]" in call("claims", "paper", "--passed", code=1)[0]
    assert re.search(r"12 impossible, 2 implausible, 12 needs explanation, 5 could not be checked, \d+ passed\n$", out)
    findings = json.loads(call("claims", "paper", "--json", code=1)[0])
    assert {"rule", "severity", "where", "message", "arithmetic", "assumes"} == set(findings[0])
    assert call("claims", write("model,accuracy,images\nkd,50,2\n"))[0].endswith("1 passed\n")


def test_claims_are_checked_without_the_packages_of_training():
    program = (
        "import sys\n"
        "for name in ('torch', 'scipy', 'sklearn', 'matplotlib', 'jinja2'): sys.modules[name] = None\n"
        "from dspkd.cli import app; app(['claims', 'paper'])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    assert "12 impossible" in done.stdout
