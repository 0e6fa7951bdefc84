"""The commands for bundles."""

import csv
import json
import re
import shutil

import pytest

from bundles import contents, edited
from command import call, refused
from dspkd.data import image_files
from dspkd.deploy import Predictor
from dspkd.deploy.batch import listing
from dspkd.evaluation.isic2019_submission import CATEGORIES
from dspkd.runs.run_folder import Run


def test_verify_reports_each_check_and_the_exit_code(bundle, tmp_path):
    out, err = call("verify", bundle)
    assert err == ""
    assert re.search(r"^tiny student: 8 classes, digest [0-9a-f]{64}$", out, flags=re.M)
    assert [line.split(":")[0] for line in out.splitlines()[1:3]] == ["Limits", "Advice"]
    assert out.splitlines()[3].startswith("For research. This is no diagnosis")
    assert [line.split()[0] for line in out.splitlines()[4:-1]] == ["ok"] * 4
    assert out.splitlines()[-1] == "verified"
    path = edited(
        tmp_path / "bad.dspkd",
        contents(bundle),
        "spec.json",
        lambda spec: spec["preprocessing"]["resize"].update(short_side=36),
    )
    out, _ = call("verify", path, code=1)
    assert "FAILED preprocessing: golden/" in out
    assert out.splitlines()[-1].startswith("NOT VERIFIED")
    (tmp_path / "cut.dspkd").write_bytes(bundle.read_bytes()[:-30])
    assert "cut.dspkd: damaged, truncated, or not a bundle" in refused("verify", tmp_path / "cut.dspkd")


def test_predictions_are_printed_ranked_or_as_json(bundle, photographs):
    prediction = Predictor(bundle).predict(photographs[0])
    out, err = call("predict", bundle, photographs[0])
    first, second = out.splitlines()
    assert first == f"{photographs[0]}: {prediction.advice}"
    mark = "*" * (prediction.top in {"MEL", "BCC", "AK", "SCC"})
    assert second.startswith(f"  {prediction.top}{mark} {prediction.confidence:.3f}  ")
    assert second.count("*") == 4
    assert [line.split(":")[0].split(".")[0] for line in err.splitlines()] == [
        "* malignant, or possibly so", "Limits", "Advice", "For research", "1 image",
    ]  # fmt: skip
    out, _ = call("predict", bundle, *photographs[:2], "--json", "--precision", "fp32", "--threads", 2)
    lines = [json.loads(line) for line in out.splitlines()]
    assert [line["image"] for line in lines] == [str(path) for path in photographs[:2]]
    fp32 = Predictor(bundle, "fp32")
    expected = fp32.predict(photographs[0])
    assert lines[0]["probabilities"] == expected.probabilities
    assert {(line["bundle"], line["precision"]) for line in lines} == {(fp32.bundle.digest[:12], "fp32")}
    assert (lines[0]["top"], lines[0]["confidence"]) == (expected.top, expected.confidence)
    assert list(lines[0])[:5] == ["image", "advice", "refer", "reasons", "not_benign"]
    assert {key: lines[0][key] for key in expected.advice.to_json()} == expected.advice.to_json()


def test_an_unreadable_image_stops_no_other(bundle, photographs, tmp_path):
    (tmp_path / "bad.jpg").write_bytes(b"no image")
    out, err = call("predict", bundle, tmp_path / "bad.jpg", photographs[0], "--json", code=1)
    first, second = map(json.loads, out.splitlines())
    assert "not an image of a known format" in first["error"]
    assert "probabilities" in second
    assert "error: " in err
    assert err.splitlines()[-1] == f"2 images. 1: {second['advice'].rstrip('.')}; 1 could not be read."


def test_out_writes_the_predictions_of_files_and_folders(bundle, photographs, tmp_path):
    (tmp_path / "archive").mkdir()
    for path in photographs[:3]:
        shutil.copy(path, tmp_path / "archive")
    (tmp_path / "archive" / "bad.jpg").write_bytes(b"no image")
    out = tmp_path / "predictions.csv"
    images = (photographs[3], tmp_path / "archive")
    printed, err = call("predict", bundle, *images, "--out", out, "--workers", 0)
    assert printed.startswith(f"{out}: 5 images")
    assert "no prediction for 1" in err
    assert "5 images. " in err
    assert "; 1 could not be read." in err
    with out.open(newline="") as file:
        rows = list(csv.DictReader(file))
    names = [path.name for path in photographs[:3]]
    assert [row["image"] for row in rows] == list(
        map(str, [photographs[3], *sorted(tmp_path / "archive" / name for name in [*names, "bad.jpg"])])
    )
    predictor = Predictor(bundle)
    for row in rows:
        if row["image"].endswith("bad.jpg"):
            assert "not an image of a known format" in row["error"]
            continue
        prediction = predictor.predict(row["image"])
        assert (row["predicted"], row["refer"]) == (prediction.top, "yes" if prediction.refer else "no")
        assert row["reasons"] == " ".join(prediction.advice.reasons)
        assert float(row["not_benign"]) == pytest.approx(prediction.advice.not_benign, abs=1e-5)
        for name, p in prediction.probabilities.items():
            assert float(row[f"probability_{name}"]) == pytest.approx(p, abs=1e-5)
    assert "predictions.csv: exists already" in refused("predict", bundle, photographs[0], "--out", out)


def test_isic_csv_writes_a_submission(bundle, photographs, tmp_path):
    call("predict", bundle, *photographs[:3], "--isic-csv", tmp_path / "submission.csv")
    with (tmp_path / "submission.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["image", *CATEGORIES]
    predictor = Predictor(bundle)
    for row, path in zip(rows, photographs, strict=False):
        prediction = predictor.predict(path)
        assert row["image"] == path.stem
        assert {name: float(row[name]) for name in CATEGORIES} == {**prediction.probabilities, "UNK": 0.0}

    def rename(spec):
        spec["classes"][0]["id"] = "melanoma"

    other = edited(tmp_path / "other.dspkd", contents(bundle), "spec.json", rename)
    message = refused("predict", other, photographs[0], "--isic-csv", tmp_path / "no.csv")
    assert "the challenge has no class melanoma" in message


def test_a_run_predicts_too_and_refuses_options_of_bundles(finished, photographs, tmp_path):
    out, _ = call("predict", finished, photographs[0], "--json")
    assert sum(json.loads(out)["probabilities"].values()) == pytest.approx(1)
    assert json.loads(out)["refer"] is True
    out, err = call("predict", finished, photographs[0])
    assert "Refer to a dermatologist." in out
    assert "a run has no referral thresholds; set them with: dspkd export" in out
    assert "* malignant" in err
    for option, value in (("--isic-csv", "a.csv"), ("--precision", "int8")):
        assert f"{option} is for bundles; dspkd export" in refused("predict", finished, photographs[0], option, value)
    assert "there is no such file" in refused("predict", tmp_path / "none.dspkd", photographs[0])


def test_export_passes_its_options_on_and_writes_other_formats(made, finished, tmp_path, monkeypatch):
    """The bundle is that of the fixture: making it is tested in test_export."""
    from dspkd.deploy.export import export as exporting

    given = {}

    def instead(run, out, **options):
        given.update(options, run=run, out=out)
        return made[0]

    monkeypatch.setattr(exporting, "export", instead)
    out, _ = call(
        "export", finished, "--out", tmp_path / "m.dspkd", "--max-loss", 0.05, "--coverage", 0.8,
        "--hub", tmp_path / "hub", "--program", tmp_path / "m.pt2",
    )  # fmt: skip
    assert (given["run"], given["out"]) == (finished, tmp_path / "m.dspkd")
    assert (given["max_loss"], given["coverage"]) == (0.05, 0.8)
    assert made[0].read_json("certificate.json")["conversion"]["verdict"] in out
    assert f"digest {made[0].digest}" in out
    assert (tmp_path / "hub" / "README.md").is_file()
    assert (tmp_path / "m.pt2").is_file()
    assert "web:" not in out


def test_export_writes_the_page_and_checks_its_folder_first(made, finished, tmp_path, monkeypatch):
    from dspkd.deploy.export import export as exporting
    from dspkd.deploy.serve import web_page

    exported = []

    def instead(run, out, **options):
        exported.append(run)
        return made[0]

    monkeypatch.setattr(exporting, "export", instead)
    monkeypatch.setattr(web_page, "RUNTIME", ("static/page.js", "static/page.css"))  # as if `make web` had been run
    out, _ = call("export", finished, "--out", tmp_path / "m.dspkd", "--web", tmp_path / "page")
    written = [path for path in (tmp_path / "page").rglob("*") if path.is_file()]
    assert f"web: {len(written)} files in {tmp_path / 'page'}" in out
    network = (tmp_path / "page" / "bundle" / "model.fp32.onnx").read_bytes()
    assert network == made[0].read("model.fp32.onnx")
    again = ("export", finished, "--out", tmp_path / "n.dspkd", "--web", tmp_path / "page")
    assert "page: exists already" in refused(*again)
    monkeypatch.setattr(web_page, "RUNTIME", ("static/vendor/none.wasm",))
    error = refused("export", finished, "--out", tmp_path / "n.dspkd", "--web", tmp_path / "other")
    assert "none.wasm is missing" in error
    assert "make web" in error
    assert exported == [finished]


def test_a_file_that_cannot_be_written_is_refused_before_the_test_set_is_evaluated(finished, tmp_path):
    before = Run(finished).test_evaluations
    assert f"{tmp_path}: Is a directory" in refused("export", finished, "--out", tmp_path)
    assert Run(finished).test_evaluations == before


def test_the_limits_are_those_of_the_model_that_is_used(made, photographs, tmp_path):
    spec = made[0].spec
    other = next(name for name in spec.models if name != spec.default)
    for options in ((), ("--out", tmp_path / "a.csv", "--workers", 0)):
        _, err = call("predict", made[0].path, photographs[0], "--precision", other, *options)
        assert f"Limits: on the test set its {other} model recognised MEL " in err
        assert "Advice: always to refer. " in err
        assert "of cancers" not in err


@pytest.mark.parametrize("source", ["bundle", "finished"])
def test_photographs_that_are_left_out_of_a_folder_are_counted_and_named(
    request, source, photographs, tmp_path, monkeypatch
):
    heic = {".heic", ".heif", ".hif"}
    monkeypatch.setattr(image_files, "SUFFIXES", image_files.SUFFIXES - heic)
    monkeypatch.setattr(listing, "SUFFIXES", listing.SUFFIXES - heic)
    monkeypatch.setattr(listing, "_ENDINGS", tuple(listing.SUFFIXES))
    folder = tmp_path / "visit"
    (folder / "deep").mkdir(parents=True)
    shutil.copy(photographs[0], folder / "b.jpg")
    for name in ("a.heic", "deep/c.jp2", "deep/notes.txt", ".d.heic"):
        (folder / name).touch()
    note = (
        f"warning: {folder}: 2 files are not read as images and left out: "
        "1 .heic (a.heic; to read them: pip install 'dspkd[heic]'), 1 .jp2 (deep/c.jp2)"
    )
    model = request.getfixturevalue(source)
    commands = (
        (folder,),
        (folder, "--out", tmp_path / "a.csv", "--workers", 0),
        ("--many", folder, "--out", tmp_path / "b.csv", "--workers", 0),
    )
    for arguments in commands:
        _, err = call("predict", model, *arguments)
        assert err.splitlines().count(note) == 1
        assert re.match(r"1 image\. 1: .*; 2 more files left out, of a kind not read here\.$", err.splitlines()[-1])
        assert "all could be read" not in err
    _, err = call("predict", model, folder / "b.jpg")
    assert err.endswith("; all could be read.\n")
    (folder / "b.jpg").unlink()
    _, err = call("predict", model, folder, code=2)
    first, second = err.splitlines()
    assert first == note
    assert second.startswith(f"error: {folder}: no image in it or below")
