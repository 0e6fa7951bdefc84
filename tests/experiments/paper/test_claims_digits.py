"""Digits of printed figures: nothing true is called impossible, however a program prints it."""

import random
from fractions import Fraction

import numpy as np
import pytest

from dspkd.experiments.paper.claims import check
from dspkd.experiments.paper.claims.granularity import sizes
from dspkd.experiments.paper.claims.read import read
from dspkd.experiments.paper.claims.rows import Number


@pytest.fixture
def table(tmp_path):
    def rows(text):
        (tmp_path / "table.csv").write_text(text)
        return read(tmp_path / "table.csv")

    return rows


def verdicts(rows, rule):
    return [str(finding.severity) for finding in check(rows) if finding.rule == rule]


def printed(correct, images, runs, chance):
    """Return an accuracy as programs print it: a share or a percentage, whole or with some digits."""
    share = correct / (images * runs)
    mean = float(np.mean([(correct // runs + (run < correct % runs)) / images for run in range(runs)]))
    return chance.choice(
        [
            repr(share), repr(mean), f"{share:.12f}", f"{share:.{chance.randint(1, 17)}f}",
            f"{share:.{chance.randint(0, 9)}e}", repr(float(np.float32(share))), str(np.float32(share)),
            *([repr(100 * share), f"{100 * share:.{chance.randint(0, 12)}f}"] * (share > 0.02)),
        ]
    )  # fmt: skip


def test_no_true_accuracy_is_called_impossible(table):
    chance = random.Random(0)
    wrong = []
    for _ in range(1000):
        images = chance.choice([chance.randint(5, 300), chance.randint(300, 40_000), 2 ** chance.randint(3, 20)])
        runs = chance.choice([1, 1, 3, 5])
        correct = chance.randint(1, images * runs)
        text = printed(correct, images, runs, chance)
        (row,) = table(f"model,accuracy,images,seeds\nA,{text},{images},{runs}\n")
        if verdicts([row], "granularity") != ["passed"]:
            wrong.append((text, correct, images, runs))
    assert wrong == []


@pytest.mark.parametrize(
    ("accuracy", "images"),
    [
        ("0.8734177215189873", 79),
        ("78.95464055899886", 25_331),
        ("0.9", 19),
        ("0.829023725869488", 25_331),
        ("0.8734177350997925", 79),
        ("9e-1", 19),
    ],
)
def test_accuracies_of_whole_numbers_of_images_pass(table, accuracy, images):
    assert verdicts(table(f"model,accuracy,images\nA,{accuracy},{images}\n"), "granularity") == ["passed"]


@pytest.mark.parametrize("accuracy", ["0.9", "0.87", "0.8734", "0.873417721518", "0.8734177215189873"])
@pytest.mark.parametrize("images", [2, 3, 19, 78, 79, 80])
def test_an_accuracy_is_impossible_where_trying_all_numbers_finds_none(table, accuracy, images):
    unit = Fraction(1, 10 ** min(len(accuracy) - 2, 7))
    apart = [Fraction(correct, images) - Fraction(accuracy) for correct in range(images + 1)]
    possible = any(abs(each) <= unit / 2 or 0 <= each < unit for each in apart)
    verdict = "passed" if possible else "impossible"
    assert verdicts(table(f"model,accuracy,images\nA,{accuracy},{images}\n"), "granularity") == [verdict]


def test_sizes_beyond_64_bits_are_counted_exactly():
    number = Number(78.95464055899886, 14)
    assert list(sizes([number], (25_331, 25_331), 10**6)) == [25_331]
    assert list(sizes([Number(50.0, -1)], (10, 12))) == [10, 11, 12]
    assert len(sizes([Number(50.0, 8)], (10**9 + 1, 10**9 + 1))) == 1


def test_a_share_with_one_digit_leaves_five_points_either_way(table):
    (row,) = table("model,accuracy\nA,0.9\n")
    assert (row.figures["accuracy"].value, row.figures["accuracy"].half, str(row.figures["accuracy"])) == (90, 5, "90")
    assert verdicts(table("model,f1,f1:MEL,f1:NV,f1:BCC\nA,0.8,0.94,0.84,0.55\n"), "macro-mean") == ["passed"]
    assert verdicts(table("model,f1,f1:MEL,f1:NV,f1:BCC\nA,0.8,0.94,0.54,0.55\n"), "macro-mean") == ["impossible"]
    assert verdicts(table("model,balanced_accuracy,recall\nA,0.8,0.83\n"), "balanced-accuracy")[-1] == "passed"


@pytest.mark.parametrize(
    ("ours", "theirs", "verdict"),
    [
        ("1.26e6", "1.3e6", "passed"), ("1.26e6", "1.25e6", "passed"), ("1.26e6", "1.32e6", "impossible"),
        ("1.262E+6", "1262000", "passed"), ("1.26", "1.25", "passed"), ("126e4", "1.19e6", "impossible"),
    ],
)  # fmt: skip
def test_an_exponent_moves_the_last_digit(table, ours, theirs, verdict):
    text = f"model,network,role,parameters\nA,n,baseline,{ours}\nB,n,student,{theirs}\n"
    assert verdicts(table(text), "same-network") == [verdict]


def test_shares_become_percentages_without_an_error_of_floats(table):
    (row,) = table("model,accuracy,f1\nA,0.57,0.9120\n")
    assert (row.figures["accuracy"].value, row.figures["f1"].value, row.figures["f1"].digits) == (57, 91.2, 2)
