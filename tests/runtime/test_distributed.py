"""Runs on several ranks, end to end on synthetic lesions: they equal a run of one process, also when a rank dies."""

import json
import os
import re
import signal
import time

import pytest
import torch

from dspkd.data.loader import TrainBatches
from dspkd.errors import DataError, RankError, RunError
from dspkd.evaluation.predictions import Predictions
from dspkd.runs import train as run
from dspkd.runtime import distributed
from dspkd.runtime.distributed import SINGLE, World
from dspkd.training.progress import NullProgress
from dspkd.training.teachers.frozen import FrozenTeacher
from tiny_runs import FUSION, IMAGES, LABELS, recipe, stage, trained, weights
from together import together

GATED = {**FUSION, "options": {**FUSION["options"], "gate": 0.5}}
# AdamW makes a step of full size of the smallest gradient, and large rates let rounding grow to 1e-4 in ten steps.
SGD = {"optimizer": "sgd", "lr": 1e-3}
FEATURES = stage("features", LABELS, GATED, **SGD)
LOGITS = stage("logits", LABELS, {"method": "normkd"}, epochs=2, **SGD)
RELATIONS = stage("relations", {"method": "rkd"}, {"method": "crkd"}, **SGD)


def recipe_for(lesions, cache, **settings):
    three_stages = {
        "images": IMAGES,
        "train": {"batch_size": 42, "balance": 0.5, "mixup": 0.2, "cutmix": 1.0, "ema": 0.9},
        "machine": {"threads": 1, "cache": str(cache)},
        "stages": [FEATURES, LOGITS, RELATIONS],
    }
    return recipe(lesions, **{**three_stages, **settings})


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def teacher(lesions, cache, tmp_path_factory):
    wide = recipe_for(lesions, cache, model={"name": "tiny_wide"}, stages=[stage("labels", lr=3e-3)])
    return str(trained(wide, tmp_path_factory.mktemp("runs") / "teacher"))


@pytest.fixture(scope="module")
def dsp_kd(lesions, cache, teacher):
    return recipe_for(lesions, cache, teacher=teacher)


@pytest.fixture(scope="module")
def single(dsp_kd, tmp_path_factory):
    """The folder of a run of one process, and its training batches."""
    out = tmp_path_factory.mktemp("runs") / "single"
    with pytest.MonkeyPatch.context() as patch:
        batches = record_batches(patch)
        run.train(dsp_kd, out)
    return out, batches


def record_batches(patch):
    """Return a list that gets each training batch: indices, views, images, labels mixed in."""
    batches, epoch = [], TrainBatches.epoch

    def spy(self, number):
        for batch in epoch(self, number):
            batches.append((batch.index, batch.views, batch.images, batch.other_labels))
            yield batch

    patch.setattr(TrainBatches, "epoch", spy)
    return batches


def records(out):
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


def require_equal_runs(out, expected):
    """Require losses equal within 1e-5, weights and logits within the rounding errors of a dozen steps.

    `rkd` has differences of pooled features that are nearly equal at first, which leaves few of float32's digits;
    `tests/training/test_ddp.py` shows in float64 that ranks compute the same.
    """
    for here, there in zip(records(out), records(expected), strict=True):
        near = 1e-3 if here["stage"] == "relations" else 1e-5
        assert here["train"] == pytest.approx(there["train"], rel=near, abs=near)
        assert here["val"] == pytest.approx(there["val"])
        assert all(here[key] == there[key] for key in ("stage", "epoch", "lr", "best"))
    expected_weights = weights(expected)
    for name, value in weights(out).items():
        torch.testing.assert_close(value, expected_weights[name], rtol=1e-3, atol=2e-4, msg=name)
    for part in ("val", "test"):
        here, there = (Predictions.load(folder / "predictions" / f"{part}.csv") for folder in (out, expected))
        assert here.ids == there.ids
        assert abs(here.logits - there.logits).max() < 1e-3


def test_the_result_does_not_depend_on_the_number_of_ranks(dsp_kd, single, tmp_path, monkeypatch):
    """Each rank gets its own folder, and only that of rank 0 is created. Runs of two and three ranks follow below."""
    count = 4

    def work(world):
        batches = record_batches(monkeypatch)
        run.train(dsp_kd, tmp_path / f"run-{world.rank}", None, world)
        return batches

    by_rank = together(count, work, tmp_path)
    for batch, *shares in zip(single[1], *by_rank, strict=True):
        for whole, *parts in zip(batch, *shares, strict=True):
            assert torch.equal(torch.cat(parts), whole)
    require_equal_runs(tmp_path / "run-0", single[0])
    assert sorted(path.name for path in tmp_path.glob("run-*")) == ["run-0"]
    assert json.loads((tmp_path / "run-0" / "environment.json").read_text())["ranks"] == count


class Dying(NullProgress):
    """Ends the process within the first epoch of the second stage."""

    def step(self, stage, epoch, done, steps):
        if stage == "logits" and done == 1:
            os._exit(9)


def test_a_run_whose_rank_died_is_resumed_by_another_number_of_ranks(dsp_kd, single, tmp_path):
    out = tmp_path / "run"
    first, second = together(2, lambda world: run.train(dsp_kd, out, Dying(), world), tmp_path)
    assert first is None
    assert isinstance(second, RankError)
    assert "rank 1 of 2: another rank has died" in str(second)
    assert "The same command goes on from the last finished epoch" in str(second)
    assert [record["stage"] for record in records(out)] == ["features"]
    together(3, lambda world: run.train(dsp_kd, out, None, world), tmp_path)
    require_equal_runs(out, single[0])


def test_a_terminated_rank_reports_how_to_resume(tmp_path):
    """torchrun may notice first that a rank has died, and terminates the others."""

    def work(world):
        pids = world.all_gather(os.getpid())
        if world.rank == 1:
            os.kill(pids[0], signal.SIGTERM)
            os.kill(pids[2], signal.SIGTERM)
            os._exit(9)
        time.sleep(100)

    first, second, third = together(3, work, tmp_path)
    assert isinstance(first, RankError)
    assert re.match(r"rank 0 of 3: terminated, by torchrun .*\. The same command goes on from the last ", str(first))
    assert second is None
    assert isinstance(third, SystemExit)


def test_one_process_resumes_a_run_of_two_ranks(dsp_kd, single, tmp_path):
    class Stopped(NullProgress):
        def epoch(self, record):
            if (record["stage"], record["epoch"]) == ("logits", 1):
                raise KeyboardInterrupt

    out = tmp_path / "run"
    first, second = together(2, lambda world: run.train(dsp_kd, out, Stopped(), world), tmp_path)
    assert isinstance(first, KeyboardInterrupt)
    assert isinstance(second, RankError)
    run.train(dsp_kd, out)
    require_equal_runs(out, single[0])


def cached_recipe(lesions, cache, teacher):
    views = {**IMAGES, "views": 2}
    plain = {"batch_size": 42, "balance": 0.5}
    return recipe_for(lesions, cache, teacher=teacher, images=views, train=plain, stages=[FEATURES, LOGITS])


def cached_files(cache):
    (cache,) = cache.glob("teacher-*")
    return {path.relative_to(cache): path.read_bytes() for path in cache.rglob("*.bin")}


def fill_cache(count, lesions, caches, teacher, folder, machines=1):
    """Train on `count` ranks; return for how many batches each rank computed teacher outputs."""

    def work(world):
        computed, answer = [], FrozenTeacher.answer
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(
                FrozenTeacher, "answer", lambda self, batch: computed.append(len(batch)) or answer(self, batch)
            )
            run.train(cached_recipe(lesions, caches[world.rank], teacher), folder / "run", None, world)
        return computed.count(42)  # not those of two images, by which fields that terms read are found

    folder.mkdir()
    return together(count, work, folder, machines=machines) if count > 1 else [work(SINGLE)]


def test_a_cache_filled_by_two_ranks_equals_that_of_one(lesions, teacher, tmp_path):
    caches = [tmp_path / name for name in ("single", "shared", "first", "second")]
    (whole,) = fill_cache(1, lesions, caches[:1], teacher, tmp_path / "a")
    shares = fill_cache(2, lesions, [caches[1]] * 2, teacher, tmp_path / "b")
    assert sum(shares) == whole
    assert abs(shares[0] - shares[1]) <= 1
    require_equal_runs(tmp_path / "b" / "run", tmp_path / "a" / "run")
    # On two machines without a shared disk each caches all outputs, and computes half of them.
    assert fill_cache(2, lesions, caches[2:], teacher, tmp_path / "c", machines=2) == shares
    assert cached_files(caches[0])
    assert all(cached_files(cache) == cached_files(caches[0]) for cache in caches[1:])


def test_an_error_on_one_rank_is_reported_by_rank_0_and_ends_all(lesions, cache, tmp_path):
    def work(world):
        path = lesions if world.rank == 0 else tmp_path / "nothing"
        run.train(recipe_for(path, cache, stages=[{**LOGITS, "terms": [LABELS]}]), tmp_path / "run", None, world)

    first, second = together(2, work, tmp_path)
    assert isinstance(first, DataError)
    assert "rank 1 on" in str(first)
    assert str(tmp_path / "nothing") in str(first)
    assert isinstance(second, SystemExit)


def test_an_error_on_all_ranks_has_the_message_of_one_process(dsp_kd, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.doc").touch()
    first, second = together(2, lambda world: run.train(dsp_kd, tmp_path / "run", None, world), tmp_path)
    assert str(first) == f"{tmp_path / 'run'}: not empty, and not a run folder; choose another folder (--out)"
    assert isinstance(second, SystemExit)


def test_ranks_with_fewer_than_two_images_of_a_batch_are_refused():
    with pytest.raises(RunError, match=r"batch_size: 7 images on 4 ranks.* at most 3 ranks"):
        distributed.require_enough(7, World(0, 4, 0, 4))
    distributed.require_enough(8, World(0, 4, 0, 4))
    distributed.require_enough(1, SINGLE)


@pytest.mark.parametrize(("total", "count"), [(7, 3), (64, 5), (2, 2), (3, 8)])
def test_shares_are_complete_in_order_and_differ_by_at_most_one(total, count):
    shares = World(0, count).shares(total)
    assert [place for share in shares for place in share] == list(range(total))
    assert len(shares) == count
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


@pytest.mark.parametrize("environment", [{}, {"WORLD_SIZE": "1", "RANK": "0"}])
def test_without_torchrun_or_with_one_rank_no_process_group_is_joined(environment, monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(torch.distributed, "init_process_group", lambda *_, **__: pytest.fail("joined"))
    with distributed.joined() as world:
        assert world is SINGLE
    assert SINGLE.all_gather(3) == [3]
    assert SINGLE.writes(None) is True
