"""The benchmark for GPUs, small and on a CPU."""

import importlib
import math
import sys
from pathlib import Path

import pytest
import torch

from tiny_runs import dsp_kd_recipe, teacher_recipe, write_recipe


@pytest.fixture
def gpu(monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parents[1] / "benchmarks")
    yield importlib.import_module("gpu")
    for name in ("gpu", "gpu_steps"):
        sys.modules.pop(name, None)


def cells(page, name):
    """Return the cells of the only row of a table with this name."""
    (row,) = [line for line in page.splitlines() if f"| {name} |" in line]
    return [cell.strip() for cell in row.strip("|").split("|")]


def test_the_page_has_a_speed_for_each_step_and_each_phase(gpu, lesions, tmp_path, monkeypatch):
    whole_runs = gpu.whole_runs
    monkeypatch.setattr(gpu, "whole_runs", lambda recipes, folder, _: whole_runs(recipes, folder, math.inf))
    for name in ("teacher", "student"):
        (tmp_path / name).mkdir()
    teacher = write_recipe(tmp_path / "teacher", teacher_recipe(lesions, machine={"device": "cpu"}))
    views = {"size": 32, "views": 1, "randaugment": {"num_ops": 0}}
    student = dsp_kd_recipe(lesions, "nowhere", images=views, machine={"device": "cpu"})
    files = ["--teacher", teacher, "--student", write_recipe(tmp_path / "student", student)]
    out = tmp_path / "page.md"
    small = ["--sizes", 32, "--run-size", 32, "--batches", 8, "--images", 40, "--minutes", 0.02, "--out", out]
    gpu.main([*map(str, files + small)])
    page = out.read_text(encoding="utf-8")
    steps = ["teacher forward: filling the cache", "plain, contiguous", "plain, channels last", "stage 'features'"]
    for name in steps:
        size, batch, _, images, share, bound, _ = cells(page.partition("## A whole run")[0], name)
        assert (size, batch) == ("32", "8")
        assert float(images.replace(",", "")) > 1
        assert float(share.rstrip("%")) > 0  # above 100 where others held the processor while its peak was measured
        assert bound in {"loader", "step"}
    run = page.partition("## A whole run")[2]
    for name in ("caching outputs of tiny_wide", "stage 'labels'", "stage 'logits'"):
        assert float(cells(run, name)[2].replace(",", "")) > 1
    assert "Both ended" in run
    assert "balanced_accuracy" in run


def test_a_run_that_does_not_end_in_time_is_reported_as_such(gpu, lesions, tmp_path):
    recipe = teacher_recipe(lesions, machine={"device": "cpu", "cache": str(tmp_path / "cache")})
    _, ended = gpu.whole_runs([recipe, recipe], tmp_path, deadline=0)
    assert "over before 'teacher' ended" in ended


def test_steps_are_timed_after_the_first_ones_until_the_time_is_over(gpu, monkeypatch):
    steps = sys.modules["gpu_steps"]
    clock = iter([0, 7, 10, 12, 14])  # made, first step, second step: from here on it counts
    monkeypatch.setattr(steps, "now", lambda device: next(clock))
    watch = steps.Stopwatch(torch.device("cpu"), seconds=4, unmeasured=2)
    for _ in range(3):
        watch.step()
    with pytest.raises(steps.EnoughError):
        watch.step()
    speed = watch.speed(batch_size=8)
    assert (speed.images, speed.first) == (2 * 8 / 4, 7)
