"""The commands for bundles."""

import csv
import json
import re
import shutil

import pytest

from bundles import contents, edited
from command import call, refused
from dspkd.deploy import Predictor
from dspkd.evaluation.isic2019_submission import CATEGORIES


def test_a_bundle_is_verified_or_not(bundle, tmp_path):
    out, err = call("verify", bundle)
    assert err == ""
    assert re.search(r"^tiny student: 8 classes, digest [0-9a-f]{64}$", out, flags=re.M)
    assert [line[:5] for line in out.splitlines()[1:-1]] == ["ok   "] * 4
    assert out.splitlines()[-1] == "verified"
    steps = {"short_side": 36}
    path = edited(
        tmp_path / "bad.dspkd",
        contents(bundle),
        "spec.json",
        lambda said: said["preprocessing"]["resize"].update(steps),
    )
    out, _ = call("verify", path, code=1)
    assert "WRONG preprocessing: golden/" in out
    assert out.splitlines()[-1] == "NOT VERIFIED: do not use this file here"
    (tmp_path / "cut.dspkd").write_bytes(bundle.read_bytes()[:-30])
    assert "cut.dspkd: damaged, or cut short, or no bundle" in refused("verify", tmp_path / "cut.dspkd")


def test_answers_are_printed_ranked_or_as_json(bundle, photographs):
    told = Predictor(bundle).predict(photographs[0])
    out, err = call("predict", bundle, photographs[0])
    assert out.startswith(f"{photographs[0]}: {told.top} {told.confidence:.3f}  ")
    assert out.rstrip().endswith("not sure, refer") == told.refer
    assert err.startswith("For research. This is no diagnosis")
    out, _ = call("predict", bundle, *photographs[:2], "--json", "--precision", "fp32", "--threads", 2)
    lines = [json.loads(line) for line in out.splitlines()]
    assert [line["image"] for line in lines] == [str(path) for path in photographs[:2]]
    exact_of = Predictor(bundle, "fp32")
    exact = exact_of.predict(photographs[0])
    assert lines[0]["probabilities"] == exact.probabilities
    assert {(line["bundle"], line["precision"]) for line in lines} == {(exact_of.bundle.digest[:12], "fp32")}
    assert (lines[0]["top"], lines[0]["confidence"], lines[0]["refer"]) == (exact.top, exact.confidence, exact.refer)


def test_an_image_that_cannot_be_read_stops_no_other(bundle, photographs, tmp_path):
    (tmp_path / "bad.jpg").write_bytes(b"no image")
    out, err = call("predict", bundle, tmp_path / "bad.jpg", photographs[0], "--json", code=1)
    first, second = map(json.loads, out.splitlines())
    assert "not an image of a known format" in first["error"]
    assert "probabilities" in second
    assert "error: " in err


def test_an_archive_is_answered_into_a_sheet_that_goes_on(bundle, photographs, tmp_path):
    (tmp_path / "archive").mkdir()
    for path in photographs[:5]:
        shutil.copy(path, tmp_path / "archive")
    out, _ = call("predict", bundle, tmp_path / "archive", "--csv", tmp_path / "answers.csv")
    assert out == f"{tmp_path / 'answers.csv'}: 5 of 5 images answered now, 0 not readable\n"
    out, _ = call("predict", bundle, tmp_path / "archive", "--csv", tmp_path / "answers.csv")
    assert out == f"{tmp_path / 'answers.csv'}: 0 of 5 images answered now, 0 not readable\n"


def test_a_submission_to_the_challenge_is_written(bundle, photographs, tmp_path):
    call("predict", bundle, *photographs[:3], "--isic-csv", tmp_path / "submission.csv")
    with (tmp_path / "submission.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["image", *CATEGORIES]
    predictor = Predictor(bundle)
    for row, path in zip(rows, photographs, strict=False):
        told = predictor.predict(path)
        assert row["image"] == path.stem
        assert {name: float(row[name]) for name in CATEGORIES} == {**told.probabilities, "UNK": 0.0}

    def rename(said):
        said["classes"][0]["id"] = "melanoma"

    other = edited(tmp_path / "other.dspkd", contents(bundle), "spec.json", rename)
    message = refused("predict", other, photographs[0], "--isic-csv", tmp_path / "no.csv")
    assert "the challenge has no class melanoma" in message


def test_a_run_is_asked_as_before_and_takes_no_options_of_bundles(finished, photographs, tmp_path):
    out, _ = call("predict", finished, photographs[0], "--json")
    assert sum(json.loads(out)["probabilities"].values()) == pytest.approx(1)
    assert "are for bundles; make one: dspkd export" in refused("predict", finished, photographs[0], "--csv", "a.csv")
    assert "there is no such file" in refused("predict", tmp_path / "none.dspkd", photographs[0])


def test_export_writes_all_that_is_asked_for_and_says_what_it_found(made, finished, tmp_path, monkeypatch):
    """The bundle is that of the fixture: making it is tested in test_export."""
    from dspkd.deploy.export import export as exporting

    asked = {}

    def instead(run, out, **options):
        asked.update(options, run=run, out=out)
        return made[0]

    monkeypatch.setattr(exporting, "export", instead)
    out, _ = call(
        "export", finished, "--out", tmp_path / "m.dspkd", "--max-loss", 0.05, "--coverage", 0.8,
        "--hub", tmp_path / "hub", "--program", tmp_path / "m.pt2",
    )  # fmt: skip
    assert (asked["run"], asked["out"]) == (finished, tmp_path / "m.dspkd")
    assert (asked["max_loss"], asked["coverage"]) == (0.05, 0.8)
    assert made[0].read_json("certificate.json")["conversion"]["verdict"] in out
    assert f"digest {made[0].digest}" in out
    assert (tmp_path / "hub" / "README.md").is_file()
    assert (tmp_path / "m.pt2").is_file()
    assert "web:" not in out


def test_export_writes_the_page_and_refuses_its_folder_before_any_work(made, finished, tmp_path, monkeypatch):
    from dspkd.deploy.export import export as exporting
    from dspkd.deploy.serve import web_page

    begun = []

    def instead(run, out, **options):
        begun.append(run)
        return made[0]

    monkeypatch.setattr(exporting, "export", instead)
    monkeypatch.setattr(web_page, "RUNTIME", ("static/page.js", "static/page.css"))  # as if `make web` had been run
    out, _ = call("export", finished, "--out", tmp_path / "m.dspkd", "--web", tmp_path / "page")
    written = [path for path in (tmp_path / "page").rglob("*") if path.is_file()]
    assert f"web: {len(written)} files in {tmp_path / 'page'}" in out
    network = (tmp_path / "page" / "bundle" / "model.int8.onnx").read_bytes()
    assert network == made[0].read("model.int8.onnx")
    again = ("export", finished, "--out", tmp_path / "n.dspkd", "--web", tmp_path / "page")
    assert "page: is there already; nothing is overwritten" in refused(*again)
    monkeypatch.setattr(web_page, "RUNTIME", ("static/vendor/none.wasm",))
    assert "none.wasm is missing from the page; in a clone of dspkd, `make web` fetches it" in refused(
        "export", finished, "--out", tmp_path / "n.dspkd", "--web", tmp_path / "other"
    )
    assert begun == [finished]
