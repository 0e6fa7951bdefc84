"""MLflow: a run of an experiment, in ``mlflow/mlflow.db`` of the run folder or on a tracking server."""

from __future__ import annotations

import logging
import os
import re
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from dspkd.errors import RunError
from dspkd.training.loggers._base import Sink, flat, metrics


class MLflow(Sink):
    """Logs to the server ``MLFLOW_TRACKING_URI``, else to a file of the run folder.

    The experiment is ``MLFLOW_EXPERIMENT_NAME``, else ``dspkd``. The logger has a client of its own, so that a run
    that the calling program has begun is left alone.
    """

    packages: ClassVar[tuple[str, ...]] = ("mlflow", "sqlalchemy", "alembic")

    def open(self, folder: Path, run: str, settings: Mapping[str, Any]) -> None:
        """Start a run with the settings as parameters; a resumed run continues it after the epochs that it has."""
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        logging.getLogger("mlflow.store.db.utils").setLevel(logging.WARNING)
        kept = folder / "mlflow" / "run-id"
        kept.parent.mkdir(exist_ok=True)
        uri = os.environ.get("MLFLOW_TRACKING_URI") or _uri((folder / "mlflow" / "mlflow.db").resolve())
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*noload", category=DeprecationWarning)  # of SQLAlchemy 2.1
            from mlflow import MlflowClient
            from mlflow.exceptions import MlflowException

            self._client = MlflowClient(tracking_uri=uri)
        try:
            self._run = self._client.get_run(kept.read_text(encoding="utf-8")).info.run_id
        except (OSError, MlflowException):  # a new run, or another server than before
            self._run = self._start(run, settings)
            kept.write_text(self._run, encoding="utf-8")
        self._client.update_run(self._run, status="RUNNING")
        self._logged = {metric.step for metric in self._client.get_metric_history(self._run, "lr")}

    def epoch(self, record: Mapping[str, Any], number: int) -> None:
        """Log the figures at step `number`."""
        from mlflow.entities import Metric

        if number not in self._logged:
            now = int(time.time() * 1000)
            figures = [Metric(key, value, now, number) for key, value in _keys(metrics(record)).items()]
            self._client.log_batch(self._run, metrics=figures)

    def close(self) -> None:
        """End the run."""
        self._client.set_terminated(self._run)

    def _start(self, run: str, settings: Mapping[str, Any]) -> str:
        from mlflow.entities import Param
        from mlflow.exceptions import MlflowException

        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", "dspkd")
        try:
            experiment = self._client.create_experiment(name)
        except MlflowException:  # it exists
            experiment = self._client.get_experiment_by_name(name).experiment_id
        run_id: str = self._client.create_run(experiment, run_name=run).info.run_id
        parameters = [Param(key, str(value)) for key, value in _keys(flat(settings, ".")).items()]
        for first in range(0, len(parameters), 100):  # the most that MLflow takes at a time
            self._client.log_batch(run_id, params=parameters[first : first + 100])
        return run_id


def _uri(database: Path) -> str:
    """Return the address of a file; in it SQLAlchemy and MLflow read ``?`` and ``%`` differently."""
    if set("?%") & set(str(database)):
        raise RunError(
            f"{database.parent}: MLflow keeps no file in a folder whose path has ? or %; train into another (--out), "
            "or set MLFLOW_TRACKING_URI"
        )
    return f"sqlite:///{database}"


def _keys(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values by keys that MLflow takes: letters, digits and ``_-./ ``, with ``-`` for others.

    Keys that would become equal, such as those of the classes ``NV(+)`` and ``NV(-)``, are numbered.
    """
    taken: dict[str, Any] = {}
    for name, value in values.items():
        accepted = key = re.sub(r"[^\w\-./ ]", "-", name)
        number = 1
        while key in taken:
            number += 1
            key = f"{accepted}-{number}"
        taken[key] = value
    return taken
