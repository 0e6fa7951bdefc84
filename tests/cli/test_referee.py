"""The command referee: verdicts on anyone's prediction files."""

import re
from dataclasses import replace

import numpy as np
import pytest

from command import call, refused
from dspkd.evaluation.predictions import Predictions
from dspkd.evaluation.significance import verdicts
from dspkd.reports import wording
from dspkd.runtime import console


@pytest.fixture
def files(tmp_path):
    """Predictions of a good method and of a poor one, three seeds each."""
    labels = np.arange(300) // 2 % 3
    groups, ids = tuple(str(n // 2) for n in range(300)), tuple(map(str, range(300)))
    paths = {}
    for name, gain in (("good", 2.0), ("poor", 0.5)):
        for seed in range(3):
            noise = np.random.default_rng([seed, int(10 * gain)]).normal(size=(300, 3))
            logits = (noise + gain * np.eye(3)[labels]).astype(np.float32)
            paths[name, seed] = tmp_path / f"{name}{seed}.csv"
            Predictions(("A", "B", "C"), ids, groups, labels, logits).save(paths[name, seed])
    return paths


def test_the_verdicts_are_those_of_compare(files, monkeypatch):
    monkeypatch.setattr(console, "terminal", lambda: console.Console(width=160))
    out, _ = call("referee", *(f"{name}={path}" for (name, _), path in files.items()))
    arms = {name: [Predictions.load(files[name, seed]) for seed in range(3)] for name in ("good", "poor")}
    assert "300 images of 150 lesions" in out
    assert out.index("macro AUROC, differences") < out.index("balanced accuracy, differences")
    for row in verdicts(arms):
        value = f"{row.difference.value:+.3f}" if row.metric == "log_loss" else f"{100 * row.difference.value:+.1f}"
        value = re.escape(value.replace("-", "\N{MINUS SIGN}"))
        assert re.search(rf"good[ │]+better[ │]+{value}[ │]+{wording.p_value(row.p_pooled)}", out)
        assert re.search(rf"against poor.*{wording.p_value(row.p_pairwise)}", out)
    assert "< 0.001" in out
    assert "0.000" not in out


def test_the_metric_that_decides_comes_first_and_a_file_alone_is_a_method(files, monkeypatch):
    monkeypatch.setattr(console, "terminal", lambda: console.Console(width=160))
    out, _ = call("referee", files["good", 0], files["poor", 0], "--decide-by", "balanced_accuracy")
    assert out.index("balanced accuracy, differences") < out.index("macro AUROC, differences")
    assert re.search(r"good0[ │]+one run each cannot tell.*\n.*against poor0", out)


def test_the_tables_fit_into_80_columns_and_cut_nothing(files, monkeypatch):
    monkeypatch.setattr(console, "terminal", lambda: console.Console(width=80))
    named = [f"{name}={path}" for (name, _), path in files.items()]
    out, _ = call("referee", *named)
    assert "…" not in out
    for words in ("good 1", "poor 3", "AUROC", "accuracy", "against poor", "80 % power", "nats"):
        assert words in out


def test_an_unknown_metric_is_refused(files):
    assert "no metric is called 'auc'" in refused("referee", files["good", 0], files["poor", 0], "--decide-by", "auc")


def test_one_method_and_a_missing_file_are_refused(files, tmp_path):
    assert "got one method, good; give two at least, each file as NAME=FILE" in refused(
        "referee", f"good={files['good', 0]}", f"good={files['good', 1]}"
    )
    assert "nowhere.csv: cannot be read" in refused("referee", files["good", 0], tmp_path / "nowhere.csv")


def test_a_run_given_twice_is_refused(files, tmp_path):
    good, poor = files["good", 0], files["poor", 0]
    assert "good0.csv is given twice for good; give each run of a method once" in refused(
        "referee", f"good={good}", f"good={good.parent}/./{good.name}", f"poor={poor}"
    )
    copy = tmp_path / "copy.csv"
    copy.write_bytes(good.read_bytes())
    assert "good0.csv and" in (error := refused("referee", f"good={good}", f"good={copy}", f"poor={poor}"))
    assert "copy.csv have the same scores" in error


def test_files_of_one_name_in_several_folders_are_several_methods(files, tmp_path, monkeypatch):
    monkeypatch.setattr(console, "terminal", lambda: console.Console(width=160))
    for name in ("kd", "plain", "lr=0.1"):
        (tmp_path / name).mkdir()
    for place, source in (("kd/test", "good"), ("plain/test", "poor"), ("lr=0.1/k", "good")):
        (tmp_path / f"{place}.csv").write_bytes(files[source, 0].read_bytes())
    monkeypatch.chdir(tmp_path)
    out, _ = call("referee", "kd/test.csv", "plain/test.csv", "lr=0.1/k.csv")
    assert re.search(r"kd/test[ │]+one run each cannot tell.*\n", out)
    assert "against plain/test" in out
    assert re.search(r"│ k +│", out)


def test_images_of_one_class_are_decided_by_balanced_accuracy(tmp_path):
    """AUROC is not defined for them, so that it decides nothing."""
    ids = tuple(map(str, range(20)))
    for name, right in (("a", 18), ("b", 12)):
        logits = 2 * np.eye(2, dtype=np.float32)[(np.arange(20) >= right).astype(int)]
        Predictions(("A", "B"), ids, ids, np.zeros(20, dtype=np.int64), logits).save(tmp_path / f"{name}.csv")
    out, _ = call("referee", tmp_path / "a.csv", tmp_path / "b.csv")
    assert out.splitlines()[-1].startswith("balanced accuracy decides (macro AUROC is not defined for these images)")


def test_of_two_perfect_methods_no_difference_is_detectable_and_there_is_no_interval(tmp_path, monkeypatch):
    monkeypatch.setattr(console, "terminal", lambda: console.Console(width=160))
    labels, ids = np.arange(30) % 3, tuple(map(str, range(30)))
    files = []
    for name in ("E", "F"):
        for seed in range(2):
            size = 3 + np.random.default_rng([seed, ord(name)]).random((30, 1))
            path = tmp_path / f"{name}{seed}.csv"
            Predictions(("A", "B", "C"), ids, ids, labels, (size * np.eye(3)[labels]).astype(np.float32)).save(path)
            files.append(f"{name}={path}")
    out, _ = call("referee", *files)
    dash = "\N{EN DASH}"
    for metric in ("macro AUROC", "balanced accuracy", "accuracy"):
        rows = out.partition(f"\n{metric}, differences")[2]
        assert re.search(
            rf"E[ │]+inconclusive[ │]+\+0\.0[ │]+1\.000[ │]+{dash}.*\n.*against F[ │]+{dash}[ │]+1\.000", rows
        )


def test_log_loss_is_left_out_where_a_true_class_has_probability_0(tmp_path):
    for name, low in (("a", "0.02"), ("b", "0.0")):
        high = f"{1 - float(low):.2f}"
        rows = [f"{n},{'AB'[n % 2]},{n},{high if n % 2 == 0 or n == 1 else low},{low if n % 2 == 0 or n == 1 else high}"
                for n in range(12)]  # fmt: skip
        (tmp_path / f"{name}.csv").write_text("\n".join(["id,label,group,prob_A,prob_B", *rows, ""]))
    out, _ = call("referee", tmp_path / "a.csv", tmp_path / "b.csv", "--decide-by", "log_loss")
    assert re.search(r"b\.csv: the probability of the true class is 0 for 1 image, so log loss is not defined", out)
    assert "a.csv: the probability" not in out
    assert "log loss, differences" not in out
    assert out.splitlines()[-1].startswith("balanced accuracy decides (class-balanced log loss is not defined")


def rewritten(path, target, change):
    """Write a copy of a prediction file with other columns: `change` returns the cells to add to a row."""
    header, *rows = path.read_text().splitlines()
    added = [change(number) for number in range(len(rows))]
    lines = [",".join([header, *added[0]])]
    lines += [",".join([row, *map(str, cells.values())]) for row, cells in zip(rows, added, strict=True)]
    target.write_text("\n".join(lines) + "\n")
    return target


def test_what_is_taken_from_the_columns_is_said(files, tmp_path):
    folds = [
        rewritten(files[name, 0], tmp_path / f"{name}.csv", lambda n: {"fold": n // 2 % 5}) for name in ("good", "poor")
    ]
    assert "column fold: predictions of 5 networks" in call("referee", *folds)[0]
    numbers = [
        rewritten(files[name, 0], tmp_path / f"{name}.csv", lambda n: {"logit_pred": n % 3})
        for name in ("good", "poor")
    ]
    assert "no image is of class pred; if that is no class, remove the column" in call("referee", *numbers)[0]
    both = rewritten(files["good", 0], tmp_path / "both.csv", lambda _: {"prob_A": 1.0})
    assert "begin with logit_ and others with prob_" in refused("referee", both, files["poor", 0])
    rounded = tmp_path / "rounded.csv"
    of = Predictions.load(files["poor", 0])
    replace(of, logits=np.round(of.logits)).save(rounded)
    tied = int((np.sort(np.round(of.logits))[:, -1] == np.sort(np.round(of.logits))[:, -2]).sum())
    out = call("referee", files["good", 0], rounded)[0]
    assert f"{tied} images with several largest scores: of these classes the one whose name comes first counts" in out
    plain = call("referee", files["good", 0], files["poor", 0])[0]
    quiet = ("column fold", "no image is of", "warning", "several largest", "are rounded")
    assert not any(words in plain for words in quiet)
    header = ",".join(["id,label,group", *(f"prob_{k}" for k in range(9))])
    for name in ("one", "two"):
        rows = [f"{n},{n % 9},{n}," + ",".join(["0.52", "0.44", *["0.00"] * 7]) for n in range(9)]
        (tmp_path / f"{name}.csv").write_text("\n".join([header, *rows]))
    out = call("referee", tmp_path / "one.csv", tmp_path / "two.csv")[0]
    assert "two.csv: the probabilities of 9 images are rounded and sum to 0.96 to 0.96; log loss takes them" in out


@pytest.mark.parametrize("units", [1, 3])
def test_few_lesions_are_refused_or_warned_of(files, tmp_path, units):
    groups = tmp_path / "groups.csv"
    groups.write_text("id,group\n" + "".join(f"{n},{'abc'[n % units]}\n" for n in range(300)))
    arguments = ("referee", files["good", 0], files["poor", 0], "--groups", groups)
    if units == 1:
        assert "all 300 images are of one lesion or patient, 'a'" in refused(*arguments)
    else:
        assert "warning: only 3 lesions or patients" in call(*arguments)[0]


def test_a_class_of_few_lesions_is_warned_of(files, tmp_path):
    """With one lesion in a class, equal methods differ significantly in 14 % of studies by AUROC."""
    named = []
    for method in ("good", "poor"):
        of = Predictions.load(files[method, 0])
        of.take(np.flatnonzero((of.labels < 2) | (np.arange(300) < 12))).save(tmp_path / f"{method}.csv")
        named.append(tmp_path / f"{method}.csv")
    out = call("referee", *named)[0]
    assert "warning: few lesions or patients (2 of C): verdicts by means over classes err more often" in out
    assert "few lesions" not in call("referee", files["good", 0], files["poor", 0])[0]
