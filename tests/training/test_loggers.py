import csv
import json
import random
import re
import struct
import sys

import numpy as np
import pytest
import torch

from dspkd.errors import RecipeError
from dspkd.recipes import schema
from dspkd.runs import train as run
from dspkd.training import loggers
from dspkd.training.loggers import MetricsLogger
from dspkd.training.loggers.jsonl import JSONL
from dspkd.training.loggers.tensorboard import TensorBoard
from dspkd.training.progress import NullProgress


class Recorder(NullProgress):
    def __init__(self):
        self.notes, self.steps, self.records = [], [], []

    def note(self, text):
        self.notes.append(text)

    def step(self, *arguments):
        self.steps.append(arguments)

    def epoch(self, record):
        self.records.append(record)


def record(stage, epoch, loss, term="kd#2"):
    return {
        "stage": stage, "epoch": epoch, "lr": 10.0**-epoch, "train": {"total": loss, term: loss / 4},
        "val": {"balanced_accuracy": 1 / loss}, "best": True, "seconds": 0.5,
    }  # fmt: skip


RECORDS = [record("features", 1, 8.0), record("features", 2, 4.0), record("logits", 1, 2.0)]


def lines(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def log(folder, records, *names):
    recorder = Recorder()
    settings = {"stages": ({"epochs": 2}, {"epochs": 1}), "teacher": None}
    with MetricsLogger(folder, recorder, names, run="dsp_kd", settings=settings) as logger:
        for each in records:
            logger.epoch(each)
    return recorder


@pytest.fixture
def no_telemetry(monkeypatch):
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    for name in ("WANDB_MODE", "WANDB_PROJECT", "MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME"):
        monkeypatch.delenv(name, raising=False)


def random_states():
    return torch.get_rng_state().tolist(), np.random.get_state()[1].tolist(), random.getstate()  # noqa: NPY002


def test_each_epoch_is_written_at_once_and_everything_is_passed_on(tmp_path):
    recorder = Recorder()
    with MetricsLogger(tmp_path, recorder) as logger:
        logger.note("two classes")
        logger.step("features", 0, 1, 2)
        for number, each in enumerate(RECORDS, start=1):
            logger.epoch(each)
            assert lines(tmp_path) == RECORDS[:number]
    assert recorder.notes == ["two classes"]
    assert recorder.steps == [("features", 0, 1, 2)]
    assert recorder.records == RECORDS
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.jsonl"]


def test_a_resumed_run_has_each_epoch_once(tmp_path):
    log(tmp_path, RECORDS[:2])
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"stage": "logits", "epo')
    log(tmp_path, RECORDS)
    assert lines(tmp_path) == RECORDS


def test_loggers_are_found_by_file():
    assert loggers.names() == ["csv", "jsonl", "mlflow", "tensorboard", "wandb"]
    assert loggers.find("jsonl") is JSONL


def test_csv_has_a_row_for_each_epoch_and_the_columns_of_all_stages(tmp_path):
    records = [*RECORDS[:2], record("logits", 1, 2.0, term="normkd")]
    log(tmp_path, records[:1], "csv")
    log(tmp_path, records, "csv")
    with (tmp_path / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["stage"] for row in rows] == ["features", "features", "logits"]
    assert [row["train/kd#2"] for row in rows] == ["2.0", "1.0", ""]
    assert [row["train/normkd"] for row in rows] == ["", "", "0.5"]
    assert [float(row["val/balanced_accuracy"]) for row in rows] == [0.125, 0.25, 0.5]


def test_tensorboard_has_all_figures_on_one_axis_and_each_epoch_once(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    log(tmp_path, RECORDS[:2], "tensorboard")
    log(tmp_path, RECORDS, "tensorboard")
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    figures = {tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]}
    assert figures["train/total"] == [(1, 8.0), (2, 4.0), (3, 2.0)]
    assert figures["val/balanced_accuracy"] == [(1, 0.125), (2, 0.25), (3, 0.5)]
    assert [value for _, value in figures["lr"]] == pytest.approx([0.1, 0.01, 0.1])
    assert [value for _, value in figures["train/kd#2"]] == [2.0, 1.0, 0.5]


def wandb_records(path):
    """Yield the records of a ``.wandb`` file: LevelDB's log format, all of it in one block here."""
    from wandb.proto import wandb_internal_pb2

    content = path.read_bytes()
    assert content.startswith(b":W&B")
    place = 7
    while place < len(content):
        _, length, kind = struct.unpack("<IHB", content[place : place + 7])
        assert kind == 1, "a record in one piece"
        message = wandb_internal_pb2.Record()
        message.ParseFromString(content[place + 7 : place + 7 + length])
        yield message
        place += 7 + length


def test_wandb_is_offline_and_has_each_epoch_once_under_one_id(tmp_path, no_telemetry):
    import wandb

    assert log(tmp_path, RECORDS[:2], "wandb").notes == []
    run_id = (tmp_path / "wandb" / "run-id").read_text()
    states = random_states()
    assert log(tmp_path, RECORDS, "wandb").notes == []
    assert random_states() == states
    wandb.teardown()  # as at the end of a process; the file may be complete only then
    (path,) = (tmp_path / "wandb").glob(f"offline-run-*/run-{run_id}.wandb")
    records = list(wandb_records(path))
    runs = [each.run for each in records if each.HasField("run")]
    assert (runs[0].project, runs[0].display_name, runs[0].run_id) == ("dspkd", "dsp_kd", run_id)
    totals = []
    for each in records:
        values = {item.key or "/".join(item.nested_key): item.value_json for item in each.history.item}
        if "train/total" in values:
            totals.append((each.history.step.num, float(values["train/total"])))
    assert totals == [(1, 8.0), (2, 4.0), (3, 2.0)]


def test_mlflow_keeps_a_run_in_the_run_folder_and_continues_it(tmp_path, no_telemetry):
    from mlflow import MlflowClient

    assert log(tmp_path, RECORDS[:2], "mlflow").notes == []
    states = random_states()
    assert log(tmp_path, RECORDS, "mlflow").notes == []
    assert random_states() == states
    client = MlflowClient(tracking_uri=f"sqlite:///{tmp_path / 'mlflow' / 'mlflow.db'}")
    (run,) = client.search_runs([client.get_experiment_by_name("dspkd").experiment_id])
    assert (run.info.run_name, run.info.status) == ("dsp_kd", "FINISHED")
    assert run.data.params["stages.0.epochs"] == "2"
    totals = [(metric.step, metric.value) for metric in client.get_metric_history(run.info.run_id, "train/total")]
    assert sorted(totals) == [(1, 8.0), (2, 4.0), (3, 2.0)]
    assert run.data.metrics["train/kd-2"] == 0.5


@pytest.mark.parametrize("folder", ["a#b", "\u00fc b"])
def test_mlflow_keeps_its_file_in_the_run_folder_alone(tmp_path, no_telemetry, folder):
    (tmp_path / folder).mkdir()
    assert log(tmp_path / folder, RECORDS[:1], "mlflow").notes == []
    assert (tmp_path / folder / "mlflow" / "mlflow.db").stat().st_size > 0
    assert [path.name for path in tmp_path.iterdir()] == [folder]


@pytest.mark.parametrize("folder", ["50%", "a?b=c", "a%20b"])
def test_mlflow_is_off_in_a_folder_whose_name_its_addresses_do_not_take(tmp_path, no_telemetry, folder):
    (tmp_path / folder).mkdir()
    (note,) = log(tmp_path / folder, RECORDS[:2], "mlflow").notes
    assert re.search(r"'mlflow' failed and is off .*whose path has \? or %; train into another \(--out\), or set", note)
    assert len(lines(tmp_path / folder)) == 2
    assert [path.name for path in tmp_path.iterdir()] == [folder]


def test_mlflow_takes_settings_whose_names_have_other_characters(tmp_path, no_telemetry):
    from mlflow import MlflowClient

    names = {"NV(+)": "nevus +", "NV(-)": "nevus -", "NV": "nevus"}
    with MetricsLogger(tmp_path, recorder := Recorder(), ["mlflow"], run="r", settings={"names": names}) as logger:
        logger.epoch(RECORDS[0])
    assert recorder.notes == []
    client = MlflowClient(tracking_uri=f"sqlite:///{tmp_path / 'mlflow' / 'mlflow.db'}")
    (run,) = client.search_runs([client.get_experiment_by_name("dspkd").experiment_id])
    assert run.data.params == {"names.NV---": "nevus +", "names.NV----2": "nevus -", "names.NV": "nevus"}


def test_an_unknown_logger_is_refused_with_the_nearest_name(tmp_path):
    with pytest.raises(RecipeError, match=r"^machine\.loggers: .*'tensorbord'; did you mean 'tensorboard'"):
        MetricsLogger(tmp_path, NullProgress(), ["tensorbord"])


@pytest.mark.parametrize("name", ["tensorboard", "wandb", "mlflow"])
def test_a_missing_package_is_refused_with_the_extra_and_earlier_records_stay(name, tmp_path, monkeypatch):
    log(tmp_path, RECORDS)
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(RecipeError, match=rf"^machine\.loggers: '{name}' needs {name}.*pip install 'dspkd\[{name}\]'"):
        MetricsLogger(tmp_path, NullProgress(), [name])
    assert lines(tmp_path) == RECORDS


@pytest.mark.parametrize("action", ["open", "epoch", "close"])
def test_a_logger_that_fails_is_switched_off_with_one_note(action, tmp_path, monkeypatch):
    def fail(*_):
        raise OSError("disk full\nsecond line")

    monkeypatch.setattr(TensorBoard, action, fail)
    recorder = log(tmp_path, RECORDS, "csv", "tensorboard")
    (note,) = recorder.notes
    assert "'tensorboard'" in note
    assert note.endswith("disk full")
    assert recorder.records == lines(tmp_path) == RECORDS
    assert (tmp_path / "metrics.csv").read_text().count("\n") == 4


def test_a_failure_to_write_metrics_jsonl_stops_the_run(tmp_path, monkeypatch):
    monkeypatch.setattr(JSONL, "epoch", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        log(tmp_path, RECORDS)


def test_a_run_uses_the_loggers_of_its_recipe(lesions, tmp_path, monkeypatch):
    monkeypatch.setattr(run.artifacts, "keep", lambda *_: None)

    def recipe(*names):
        return schema.parse({
            "name": "logged", "data": {"path": str(lesions)}, "model": {"name": "tiny"},
            "images": {"size": 32, "randaugment": {"num_ops": 0}}, "train": {"batch_size": 64},
            "machine": {"threads": 1, "cache": "none", "loggers": list(names)},
            "stages": [{"name": "s", "epochs": 1, "lr": 1e-3, "terms": [{"method": "labels"}]}],
        })  # fmt: skip

    with pytest.raises(RecipeError, match=r"machine\.loggers: .*'csw'; did you mean 'csv'"):
        run.train(recipe("csw"), tmp_path / "run")
    assert not (tmp_path / "run" / "stages").exists()
    run.train(recipe("csv"), tmp_path / "run")
    assert (tmp_path / "run" / "metrics.csv").read_text().count("\n") == 2
