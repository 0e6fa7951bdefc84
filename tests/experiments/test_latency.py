"""Student and teacher of a finished run are timed once."""

import json

import pytest
import torch
from safetensors.torch import save_file

from dspkd.deploy.export.latency import Latency
from dspkd.experiments import latency
from dspkd.models import zoo
from dspkd.runs.run_folder import Run
from untrained_runs import CLASSES, predictions, recipe, write_run


@pytest.fixture
def student(tmp_path):
    """The folder of a student and, beside it, of its larger teacher, both with random weights."""
    of = {"teacher": recipe("teacher"), "student": recipe("kd", teacher=tmp_path / "teacher")}
    for name, each in of.items():
        write_run(tmp_path / name, each, predictions(name, 1.0))
        network = zoo.make(each.model.name, classes=len(CLASSES))
        save_file(network.library_state(), tmp_path / name / "model.safetensors")
    return tmp_path / "student"


def test_both_are_timed_and_the_threads_are_as_before(student, monkeypatch):
    """The width of a network stands for its time."""

    def widths(calls, runs):
        assert torch.get_num_threads() == 1
        return {name: Latency(0, 0, call()[0].pooled.shape[1]) for name, call in calls.items()}

    monkeypatch.setattr(latency, "measure", widths)
    threads = torch.get_num_threads()
    latency.record(student)
    timed = Run(student).latency
    assert 0 < timed.student < timed.teacher
    assert torch.get_num_threads() == threads


def test_what_was_timed_stays(student):
    (student / "latency.json").write_text(json.dumps({"student": 2.0, "teacher": None}))
    latency.record(student)
    assert (Run(student).latency.student, Run(student).latency.teacher) == (2.0, None)


def test_without_its_teacher_the_student_is_timed_alone(student):
    (student.parent / "teacher/model.safetensors").unlink()
    latency.record(student)
    assert Run(student).latency.student > 0
    assert Run(student).latency.teacher is None
