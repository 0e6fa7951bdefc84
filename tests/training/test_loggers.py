import json
import sys

import pytest

from dspkd.errors import RecipeError
from dspkd.training.loggers import MetricsLogger


class Heard:
    def __init__(self):
        self.steps, self.records = [], []

    def step(self, *told):
        self.steps.append(told)

    def epoch(self, record):
        self.records.append(record)


def record(stage, epoch, loss):
    return {
        "stage": stage, "epoch": epoch, "lr": 10.0 ** -(epoch + 1), "train": {"total": loss, "kd#2": loss / 4},
        "val": {"balanced_accuracy": 1 / loss}, "best": True, "seconds": 0.5,
    }  # fmt: skip


TOLD = [record("features", 0, 8.0), record("features", 1, 4.0), record("logits", 0, 2.0)]


def lines(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def tell(folder, records, **settings):
    with MetricsLogger(folder, Heard(), **settings) as made:
        for each in records:
            made.epoch(each)


def test_all_is_passed_on_and_each_epoch_is_on_disk_as_soon_as_it_is_told(tmp_path):
    heard = Heard()
    with MetricsLogger(tmp_path, heard) as made:
        made.step("features", 0, 1, 2)
        for number, told in enumerate(TOLD, start=1):
            made.epoch(told)
            assert lines(tmp_path) == TOLD[:number]
    assert heard.steps == [("features", 0, 1, 2)]
    assert heard.records == TOLD
    assert not (tmp_path / "tensorboard").exists()


def test_after_a_kill_and_a_resumption_each_epoch_is_there_once(tmp_path):
    tell(tmp_path, TOLD[:2])
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"stage": "logits", "epo')
    tell(tmp_path, TOLD)
    assert lines(tmp_path) == TOLD


def test_tensorboard_has_every_figure_of_all_stages_on_one_axis_once_even_after_a_resumption(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    tell(tmp_path, TOLD[:2], tensorboard=True)
    tell(tmp_path, TOLD, tensorboard=True)
    read = EventAccumulator(str(tmp_path / "tensorboard"))
    read.Reload()
    figures = {tag: [(event.step, event.value) for event in read.Scalars(tag)] for tag in read.Tags()["scalars"]}
    assert figures["train/total"] == [(0, 8.0), (1, 4.0), (2, 2.0)]
    assert figures["val/balanced_accuracy"] == [(0, 0.125), (1, 0.25), (2, 0.5)]
    assert [value for _, value in figures["lr"]] == pytest.approx([0.1, 0.01, 0.1])
    assert [value for _, value in figures["train/kd#2"]] == [2.0, 1.0, 0.5]


def test_without_tensorboard_the_error_says_what_to_install_and_the_records_of_before_stay(tmp_path, monkeypatch):
    tell(tmp_path, TOLD)
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(RecipeError, match=r"machine\.tensorboard = true: .*pip install 'dspkd\[tensorboard\]'"):
        MetricsLogger(tmp_path, Heard(), tensorboard=True)
    assert lines(tmp_path) == TOLD
    tell(tmp_path, TOLD[:1])
