"""Many images: in order, none lost, and on from where it was stopped."""

import csv
import shutil

import pytest

from bundles import contents, edited
from dspkd.deploy import Predictor
from dspkd.deploy.batch import csv_sheet
from dspkd.errors import DataError


@pytest.fixture(scope="module")
def predictor(bundle):
    return Predictor(bundle)


@pytest.fixture
def folder(photographs, tmp_path):
    """Twelve images in two folders, the third of them damaged."""
    for number, path in enumerate(photographs[:12]):
        to = tmp_path / "archive" / ("a" if number < 6 else "b/deep") / f"{number:02d}.JPG"
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, to)
    (tmp_path / "archive/a/02.JPG").write_bytes(b"no image")
    (tmp_path / "archive/notes.txt").write_text("not an image")
    return tmp_path / "archive"


def table(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def fill(predictor, folder, path, stop=None):
    """Ask about what is missing; return how many were asked about."""
    with csv_sheet.Sheet(path, predictor) as sheet:
        missing = [image for image in csv_sheet.find([folder]) if str(image) not in sheet.answered]
        for image, answer in csv_sheet.ask(predictor, missing[:stop]):
            sheet.write(image, answer)
    return len(missing)


def test_images_are_found_in_folders_and_below_by_name(folder, tmp_path):
    found = csv_sheet.find([folder, folder / "notes.txt"])
    assert [path.stem for path in found] == [f"{number:02d}" for number in range(12)] + ["notes"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"empty: no image in it or below \(\.bmp, "):
        csv_sheet.find([tmp_path / "empty"])


@pytest.mark.parametrize("threads", [1, 3])
def test_answers_come_in_order_with_errors_in_their_place(predictor, folder, threads):
    paths = csv_sheet.find([folder])
    told = list(csv_sheet.ask(predictor, iter(paths), threads=threads))
    assert [path for path, _ in told] == paths
    assert isinstance(told[2][1], DataError)
    for path, answer in told[:2] + told[3:]:
        assert answer.probabilities == predictor.predict(path).probabilities


def test_few_images_are_held_at_a_time(predictor, folder):
    taken = []
    answers = csv_sheet.ask(predictor, (taken.append(path) or path for path in csv_sheet.find([folder])))
    next(answers)
    assert len(taken) <= 5


def test_a_sheet_holds_what_was_said(predictor, folder, tmp_path):
    fill(predictor, folder, tmp_path / "new" / "answers.csv")
    rows = table(tmp_path / "new" / "answers.csv")
    assert len(rows) == 12
    assert rows[2]["error"].endswith(
        "02.JPG: not an image of a known format; known: JPEG, MPO, PNG, WEBP, GIF, BMP, TIFF, AVIF"
    )
    assert rows[2]["top"] == rows[2]["p_NV"] == ""
    for row in rows[:2] + rows[3:]:
        told = predictor.predict(row["image"])
        assert (row["top"], row["refer"], row["error"]) == (told.top, "yes" if told.refer else "no", "")
        for name, share in told.probabilities.items():
            assert float(row[f"p_{name}"]) == pytest.approx(share, abs=5.1e-7)
        assert (row["bundle"], row["precision"]) == (predictor.bundle.digest[:12], predictor.precision)


def test_an_answer_is_in_the_file_before_the_next_is_asked_for(predictor, folder, tmp_path):
    with csv_sheet.Sheet(tmp_path / "answers.csv", predictor) as sheet:
        for number, (image, answer) in enumerate(csv_sheet.ask(predictor, csv_sheet.find([folder])[:2]), start=1):
            sheet.write(image, answer)
            assert len(table(tmp_path / "answers.csv")) == number


def test_a_sheet_that_was_stopped_anywhere_goes_on(predictor, folder, tmp_path):
    path = tmp_path / "answers.csv"
    assert fill(predictor, folder, path, stop=5) == 12
    whole = path.read_bytes()
    path.write_bytes(whole[:-7])  # killed while it wrote the fifth row
    assert fill(predictor, folder, path) == 9  # 12 less 4 rows, of which one has an error and is tried again
    rows = table(path)
    assert sorted(row["image"] for row in rows) == [str(image) for image in csv_sheet.find([folder])]
    assert sum(bool(row["error"]) for row in rows) == 1
    shutil.copy(csv_sheet.find([folder])[0], folder / "a/02.JPG")
    assert fill(predictor, folder, path) == 1
    assert not any(row["error"] for row in table(path))
    for begun in (b"", b"image,err"):
        path.write_bytes(begun)
        assert fill(predictor, folder, path) == 12


def test_a_sheet_of_something_else_is_refused_and_left_alone(predictor, bundle, folder, tmp_path):
    path = tmp_path / "answers.csv"
    fill(predictor, folder, path)
    before = path.read_bytes()
    other = Predictor(
        edited(tmp_path / "other.dspkd", contents(bundle), "spec.json", lambda said: said.update(name="x"))
    )
    for predictor_of_others in (other, Predictor(bundle, {"fp32": "int8", "int8": "fp32"}[predictor.precision])):
        with pytest.raises(DataError, match=r"answers\.csv: holds answers of [0-9a-f]{12} \w+; these would be of"):
            csv_sheet.Sheet(path, predictor_of_others)
    assert path.read_bytes() == before
    for content in (b"image,label\na,b\n", b"\xff\xfe\n", b"notes"):
        path.write_bytes(content)
        with pytest.raises(DataError, match="is there already and holds no answers"):
            csv_sheet.Sheet(path, predictor)
        assert path.read_bytes() == content
