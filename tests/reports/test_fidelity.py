import csv
import re

import numpy as np
import pytest

from dspkd import reports
from dspkd.errors import DataError, RunError
from dspkd.evaluation.predictions import Predictions
from dspkd.reports import fidelity
from dspkd.reports.outcomes import by_image
from dspkd.runs import run_folder

CLASSES = ("NV", "MEL", "BCC")
NV, MEL, BCC = range(3)
LABELS = [MEL, MEL, MEL, NV, NV, BCC, NV]
TEACHER = [MEL, MEL, NV, NV, BCC, NV, MEL]
STUDENT = [NV, MEL, NV, BCC, NV, MEL, MEL]
INT8 = [NV, NV, NV, BCC, NV, MEL, MEL]
FATES = ["forgotten", "kept", "copied", "forgotten", "corrected", "wrong otherwise", "copied"]


def predictions(predicted, labels=LABELS):
    ids = tuple(f"i{n}" for n in range(len(labels)))
    return Predictions(CLASSES, ids, ids, np.array(labels), 2 * np.eye(3, dtype=np.float32)[predicted])


@pytest.fixture
def worked(tmp_path):
    (tmp_path / "attributes.csv").write_text(
        "id,sex,age\n" + "".join(f"i{n},{'female' if n % 2 else 'male'},{'' if n else '40 to 59'}\n" for n in range(7))
    )
    return fidelity.fidelity(
        {"val": predictions(STUDENT), "test": predictions(STUDENT)},
        {"teacher": {"val": predictions(TEACHER), "test": predictions(TEACHER)}, "int8": {"test": predictions(INT8)}},
        tmp_path / "attributes.csv",
    )


def test_entries_are_the_images_that_were_not_kept_melanoma_first(worked):
    got = [(entry.id, entry.outcome, entry.truth) for entry in worked.entries if entry.part == "val"]
    assert got == [
        ("i0", "forgotten", "MEL"), ("i3", "forgotten", "NV"),
        ("i2", "copied", "MEL"), ("i6", "copied", "NV"),
        ("i5", "wrong otherwise", "BCC"), ("i4", "corrected", "NV"),
    ]  # fmt: skip
    first = worked.forgotten("val")[0]
    assert (first.about, first.group) == ("male, 40 to 59", "i0")
    p, q = np.exp(2) / (np.exp(2) + 2), 1 / (np.exp(2) + 2)
    assert first.predictions == {"teacher": ("MEL", pytest.approx(p)), "student": ("NV", pytest.approx(q))}
    assert worked.forgotten("val")[1].about == "female"


def test_what_int8_alone_has_lost_is_listed_too_and_tallied_against_teacher_and_student(worked):
    later = [entry for entry in worked.entries if entry.outcome == "forgotten later"]
    assert [(entry.part, entry.id) for entry in later] == [("test", "i1")]
    assert later[0].predictions["int8"][0] == "NV"
    rows = {row.name: (row.forgotten, row.teacher_right, row.corrected) for row in fidelity.versions(worked)}
    assert rows == {"int8 against the teacher": (3, 3, 1), "int8 against the student": (1, 2, 0)}


def test_another_form_may_have_its_images_in_another_order(worked, tmp_path):
    def entries(int8):
        others = {"teacher": {"test": predictions(TEACHER)}, "int8": {"test": int8}}
        return fidelity.fidelity({"test": predictions(STUDENT)}, others).entries

    turned = predictions(INT8).take(np.arange(len(LABELS))[::-1])
    assert entries(turned) == entries(predictions(INT8))


def test_the_verdict_summarises_the_test_set(worked):
    assert fidelity.verdict(worked) == (
        "Of the 3 test images that the teacher has right, the student has 2 wrong (66.7 %). Among them are 1 of the 2 "
        "MEL that the teacher finds. Of the teacher's 4 errors it corrects 1 (25.0 %) and repeats 2 with the same "
        "wrong class (50.0 %)."
    )


def test_subgroups_with_few_known_images_are_left_out(worked, tmp_path, monkeypatch):
    assert worked.subgroups == {}
    monkeypatch.setattr(fidelity, "FEW", 1)
    (tmp_path / "attributes.csv").write_text(
        "id,sex,age\n" + "".join(f"i{n},{'female' if n % 2 else 'male'},\n" for n in range(7))
    )
    teacher = {"teacher": {"test": predictions(TEACHER)}}
    compared = fidelity.fidelity({"test": predictions(STUDENT)}, teacher, tmp_path / "attributes.csv")
    ((attribute, rows),) = compared.subgroups.items()
    assert attribute == "sex"
    assert [(row.name, row.images, row.forgotten) for row in rows] == [("female", 3, 1), ("male", 4, 1)]


def test_the_interval_of_the_forgotten_takes_a_lesion_as_one():
    labels, groups = [NV] * 8, ("a",) * 4 + tuple("bcde")
    ids = tuple(map(str, range(8)))

    def of(predicted):
        return Predictions(CLASSES, ids, groups, np.array(labels), np.eye(3, dtype=np.float32)[predicted])

    compared = fidelity.fidelity({"test": of([MEL] + [NV] * 7)}, {"teacher": {"test": of([NV] * 8)}}).parts["test"]
    low, high = compared.intervals["NV"]
    n = 8**2 / (4**2 + 4)  # Kish's effective number, by hand
    middle = (1 / 8 + 1.959964**2 / (2 * n)) / (1 + 1.959964**2 / n)
    reach = 1.959964 * np.sqrt(1 / 8 * 7 / 8 / n + 1.959964**2 / (4 * n**2)) / (1 + 1.959964**2 / n)
    assert (low, high) == pytest.approx((middle - reach, middle + reach), abs=1e-5)
    assert compared.intervals["all"] == compared.intervals["NV"]
    assert compared.intervals["MEL"] is None


def test_the_csv_has_every_entry(worked, tmp_path):
    fidelity.write_csv(worked, tmp_path / "ledger.csv")
    with (tmp_path / "ledger.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(worked.entries)
    one = next(row for row in rows if row["outcome"] == "forgotten later")
    assert (one["id"], one["class"], one["teacher"], one["int8"]) == ("i1", "MEL", "MEL", "NV")
    assert float(one["int8_p_of_class"]) == pytest.approx(1 / (np.exp(2) + 2), abs=1e-4)
    assert {row["int8"] for row in rows if row["part"] == "val"} == {""}


def test_a_runs_page_has_the_agreement_and_writes_its_csv(runs, page):
    reports.write(runs[0])
    words = page(runs[0] / "report.html").words
    compared = fidelity.of_run(run_folder.read(runs[0]))
    assert fidelity.verdict(compared) in words
    total = compared.parts["test"].total
    assert f"all {total.images} {total.teacher_right} {total.forgotten} {100 * total.forgets:.1f} %" in words
    assert re.search(r"\d+ more: all are in ledger.csv", words)
    assert len((runs[0] / "ledger.csv").read_text().splitlines()) == len(compared.entries) + 1


def test_a_run_without_a_teacher_or_its_predictions_is_reported_as_such(runs, fabricated, page):
    reports.write(runs[2])
    assert "This run had no teacher." in page(runs[2] / "report.html").words
    assert not (runs[2] / "ledger.csv").exists()
    old = fabricated("old", classes=("MEL", "NV"), images=(20, 30), short=True)
    reports.write(old)
    assert "this run did not keep its teacher" in page(old / "report.html").words


def test_each_image_has_the_predictions_of_both_networks(runs):
    run = run_folder.read(runs[0])
    teacher = Predictions.load(runs[0] / "predictions/teacher-val.csv")
    got = by_image(run, "val")
    for row, name in enumerate(run.predictions("val").ids):
        truth = run.predictions("val").classes[run.predictions("val").labels[row]]
        assert got[name].predictions["teacher"] == run.predictions("val").classes[teacher.predicted[row]]
        forgotten = (
            teacher.predicted[row] == run.predictions("val").labels[row] != run.predictions("val").predicted[row]
        )
        assert (got[name].truth, got[name].forgotten) == (truth, forgotten)
    assert set(by_image(run_folder.read(runs[2]), "val")["val_00000"].predictions) == {"student"}


def test_a_run_is_compared_with_another_run(runs):
    compared = fidelity.of_folder(runs[2], "test", teacher=runs[3], also=[runs[0] / "predictions/test.csv"])
    assert set(compared.parts) == {"test"}
    assert compared.forgotten("test")[0].predictions.keys() == {"teacher", "student", "test"}
    listed = fidelity.of_class(compared, "test", "NV")
    assert listed == [entry for entry in compared.forgotten("test") if entry.truth == "NV"]
    assert fidelity.of_class(compared, "test", None) == compared.forgotten("test")
    with pytest.raises(DataError, match="no class is called 'NVV'; did you mean 'NV'"):
        fidelity.of_class(compared, "test", "NVV")
    with pytest.raises(RunError, match=r"predictions/teacher-val.csv is missing: .*--teacher RUN"):
        fidelity.of_folder(runs[2], "val")
    for folders in ((runs[0].parent, runs[3]), (runs[2], runs[0].parent)):
        with pytest.raises(RunError, match=r"not a run folder, .* runs in it: "):
            fidelity.of_folder(folders[0], "test", teacher=folders[1])
