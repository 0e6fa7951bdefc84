"""Columns of tables as people export them: in other languages, with several ids, and with placeholders."""

import pytest

from dspkd import data
from dspkd.errors import DataError


def read(root, header, row, number=60):
    names = [f"img_{n}.jpg" for n in range(number)]
    (root / "images").mkdir()
    for name in names:
        (root / "images" / name).touch()
    rows = [",".join(map(str, row(n, name))) for n, name in enumerate(names)]
    (root / "labels.csv").write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return data.read("auto", root)


@pytest.mark.parametrize(
    "header",
    [
        "Bild,Diagnose,Patient",
        "Dateiname,Befund,Patientennummer",
        "Nom du fichier,Diagnostic,Patient",
        "imagen,diagnóstico,paciente",
        "Nombre del archivo,Diagnóstico,Paciente",
        "arquivo,diagnóstico,paciente",
        "immagine,diagnosi,paziente",
    ],
)
def test_columns_of_images_are_found_in_other_languages(header, tmp_path):
    table = read(tmp_path, header, lambda n, name: (name, "ab"[n // 3 % 2], n // 3))
    assert (len(table.classes), len(set(table.groups))) == (2, 20)


@pytest.mark.parametrize("column", ["record_id", "study_id", "user id", "Screening No"])
def test_whole_numbers_in_a_column_called_after_ids_are_doubted_however_many_images_each_has(column, tmp_path):
    table = read(tmp_path, f"image,label,{column}", lambda n, name: (name, "ab"[n // 12 % 2], n // 12), 360)
    (doubt,) = table.origin.doubts
    assert repr(column) in doubt


@pytest.mark.parametrize(("mrn", "doubts"), [(3, 1), (1, 0)])
def test_a_patient_with_several_ids_in_the_chosen_column_is_doubted(mrn, doubts, tmp_path):
    def row(n, name):
        return name, "ab"[n // 2 % 2], f"P{n // 2}", f"M{n // 2 // mrn}"

    table = read(tmp_path, "image,label,patient_id,mrn", row)
    assert table.origin.group == "patient_id"
    assert len(table.origin.doubts) == doubts
    assert all(
        "10 ids in column 'mrn' have several in 'patient_id', such as 'M0': P0, P1" in each
        for each in table.origin.doubts
    )


@pytest.mark.parametrize(
    ("cells", "such"), [((0, 1, -1), "'-1'"), ((1, 2, 99), "'99'"), ((-1, 1), ""), ((0, 1, 2), "")]
)
def test_numbers_that_may_stand_for_no_label_are_doubted(cells, such, tmp_path):
    table = read(tmp_path, "image,label", lambda n, name: (name, cells[n % len(cells)]))
    assert [such in each for each in table.origin.doubts] == [True] * bool(such)


def test_another_column_that_names_the_files_is_said(tmp_path):
    with pytest.raises(
        DataError, match=r"nowhere below .*; the column 'External ID' names files there: set data\.columns"
    ):
        read(tmp_path, "ID,Label,External ID", lambda n, name: (f"ck{n}", "ab"[n % 2], name))
