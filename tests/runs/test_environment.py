"""What a run records of versions and machine when it is resumed with others."""

import json

from dspkd.reports import provenance
from dspkd.runs import environment
from dspkd.runs.files import RunFiles
from dspkd.runs.run_folder import Run
from tiny_runs import Notes
from untrained_runs import predictions, recipe, write_run

OLD = {"torch": "2.4", "threads": 2, "device": "cpu"}
NEW = {"torch": "2.5", "threads": 2, "device": "cpu"}


def went_on(files, facts, epochs):
    """Record facts, then train so many epochs in all; return the notes."""
    listener = Notes()
    environment.record(files, facts, listener)
    if epochs:
        checkpoint = files.stages / "0-labels" / "last.pt"
        checkpoint.parent.mkdir(parents=True, exist_ok=True)
        checkpoint.touch()
        files.metrics.write_text("{}\n" * epochs)
    return listener.notes


def recorded(files):
    return json.loads(files.environment.read_text())


def test_a_run_resumed_with_another_version_keeps_both_and_says_so(tmp_path):
    files = RunFiles(tmp_path)
    assert went_on(files, OLD, 3) == []
    assert recorded(files) == OLD
    assert went_on(files, NEW, 5) == [
        "trained until now with torch 2.4, from epoch 4 on with torch 2.5; environment.json keeps both"
    ]
    assert recorded(files) == {"from epoch": 4, **NEW, "earlier": [{"from epoch": 1, **OLD}]}
    assert went_on(files, NEW, 6) == []
    assert went_on(files, OLD, 7)
    both = [{"from epoch": 1, **OLD}, {"from epoch": 4, **NEW}]
    assert recorded(files) == {"from epoch": 7, **OLD, "earlier": both}


def test_what_trained_no_epoch_that_is_saved_is_not_kept(tmp_path):
    files = RunFiles(tmp_path)
    went_on(files, NEW, 0)
    went_on(files, OLD, 3)
    assert recorded(files) == OLD
    went_on(files, NEW, 3)
    assert recorded(files)["torch"] == "2.5"
    assert went_on(files, OLD, 4) == []
    assert recorded(files) == OLD


def test_the_report_shows_what_was_different_before(tmp_path):
    of = recipe("plain")
    out = write_run(tmp_path / "run", of, predictions("plain", 1.0))
    before = dict(provenance.rows(Run(out)))
    assert before["python"] == "3.11.7"
    assert not [name for name in before if "epoch" in name]
    facts = json.loads((out / "environment.json").read_text())
    earlier = [{"from epoch": 1, **facts, "python": "3.10.1", "threads": 8}]
    (out / "environment.json").write_text(json.dumps({"from epoch": 2, **facts, "earlier": earlier}))
    rows = dict(provenance.rows(Run(out)))
    assert rows["from epoch"] == "2"
    assert rows["before, from epoch 1"] == "python 3.10.1, threads 8"
    assert "earlier" not in rows
