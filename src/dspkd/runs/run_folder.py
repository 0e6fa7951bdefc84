"""A run folder as one object: everything that training wrote, read when it is first used."""

from __future__ import annotations

import zipfile
from functools import cached_property
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import TypeAdapter

from dspkd.data import metadata
from dspkd.data.leakage import Leak
from dspkd.errors import RunError, first_few
from dspkd.evaluation.metrics import Summary, summarise
from dspkd.evaluation.predictions import Predictions
from dspkd.recipes import schema
from dspkd.recipes.schema import Recipe
from dspkd.runs import holdout, integrity, records
from dspkd.runs.files import RunFiles
from dspkd.runs.holdout import TestEvaluation
from dspkd.runs.records import DataSummary, Environment, Epoch, NetworkLatency, Result, StageResult

if TYPE_CHECKING:
    from dspkd.models.tapped import Tapped

WEIGHTS = (".safetensors", ".pt", ".pth", ".ckpt", ".bin")
"""Suffixes of files of weights."""

_GO_ON = "train the same recipe into this folder and it continues where it stopped"


class Run:
    """A run folder.

    Parameters
    ----------
    folder
        The folder; of an unfinished run, what training has not yet written raises RunError when it is used.

    Raises
    ------
    RunError
        There is no such folder, or an older version wrote it under other names. Each attribute: its file is missing or
        is not as training wrote it.
    DataError
        A file of predictions or attributes is broken.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.files = RunFiles(self.folder)
        if self.folder.suffix in WEIGHTS:
            raise RunError(
                f"{folder}: weights, not a run folder; a recipe with model.weights = {str(folder)!r} and stages = [] "
                "makes one without training: docs/how-to/your-own-teacher.md"
            )
        if zipfile.is_zipfile(self.folder):
            raise RunError(f"{folder}: a bundle, not a run folder; dspkd predict, verify, serve and web take bundles")
        if self.folder.is_file():
            raise RunError(f"{folder}: a file, not the folder of a run, which dspkd train makes")
        if not self.folder.is_dir():
            raise RunError(f"{folder}: no such run folder; make it with: dspkd train RECIPE --out {folder}")
        self.files.require_current_names()
        self._loaded: dict[str, Predictions] = {}
        self._checked = False

    def __repr__(self) -> str:
        return f"Run({str(self.folder)!r})"

    @property
    def parts(self) -> tuple[Run, ...]:
        """The trainings that it consists of: this one, or one for each fold of a cross-validation."""
        return (self,)

    @property
    def finished(self) -> bool:
        """Whether training has ended."""
        return self.files.result.is_file()

    @cached_property
    def recipe_text(self) -> str:
        """The recipe as run, in TOML, every default written out."""
        return records.text_of(self._existing(self.files.recipe, "training writes it when it starts"))

    @cached_property
    def recipe(self) -> Recipe:
        """The recipe as run."""
        return schema.load(self._existing(self.files.recipe, "training writes it when it starts"))

    @cached_property
    def teachers(self) -> tuple[Path, ...]:
        """The run folders of the teachers, as the recipe names them: relative to where it was run."""
        return tuple(map(Path, self.recipe.teachers))

    @cached_property
    def result(self) -> Result:
        """The summary that training writes last."""
        return records.read(
            TypeAdapter(Result), self._existing(self.files.result, f"training writes it last; {_GO_ON}")
        )

    @cached_property
    def data(self) -> DataSummary:
        """Where the images are, fingerprints, counts, data card."""
        path = self._existing(self.files.data, "training writes it when the images are split")
        return records.read(TypeAdapter(DataSummary), path)

    @cached_property
    def latency(self) -> NetworkLatency | None:
        """How long student and teacher take for one image; None where that was not measured."""
        path = self.files.latency
        return records.read(TypeAdapter(NetworkLatency), path) if path.is_file() else None

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes, in the order of the logits."""
        return self.data.classes

    @property
    def leak(self) -> Leak | None:
        """How the split leaks; None if it does not."""
        return self.data.leak

    @cached_property
    def environment(self) -> Environment:
        """Versions and machine."""
        path = self._existing(self.files.environment, "training writes it when it starts")
        return records.read(TypeAdapter(Environment), path)

    @cached_property
    def history(self) -> tuple[Epoch, ...]:
        """The record of each epoch, in order."""
        path = self._existing(self.files.metrics, "training writes it, a line for each epoch")
        lines = records.text_of(path).splitlines()
        return tuple(
            records.parse(TypeAdapter(Epoch), line, f"{path}, line {n}") for n, line in enumerate(lines, start=1)
        )

    def epochs_of(self, stage: StageResult) -> list[Epoch]:
        """Return the epochs of a stage, in order."""
        return [epoch for epoch in self.history if epoch.stage == stage.name]

    def predictions(self, part: str = "test") -> Predictions:
        """Return the student's predictions for ``val`` or ``test``, as training saved them; each is read once."""
        if part not in ("val", "test"):
            raise RunError(
                f"predictions are saved for 'val' and 'test', not for {part!r}; dspkd.evaluate computes others"
            )
        if part not in self._loaded:
            made_by = f"training writes it after the last stage; {_GO_ON}"
            self._loaded[part] = Predictions.load(self._existing(self.files.predictions(part), made_by))
        return self._loaded[part]

    @cached_property
    def val(self) -> Summary:
        """The metrics on the validation set, on which the epoch was chosen."""
        return summarise(self.predictions("val"))

    @cached_property
    def test(self) -> Summary:
        """The metrics on the test set."""
        return summarise(self.predictions("test"))

    @cached_property
    def test_evaluations(self) -> tuple[TestEvaluation, ...]:
        """Every recorded evaluation on the test set."""
        return tuple(holdout.evaluations(self.folder))

    @cached_property
    def early_evaluations(self) -> tuple[TestEvaluation, ...]:
        """Those of `test_evaluations` that training may have learnt from."""
        return tuple(holdout.early(self.folder, self.test_evaluations))

    @cached_property
    def attributes(self) -> dict[str, tuple[str, ...]] | None:
        """``{attribute: a value for each test image}``, such as sex and age; None where none were saved."""
        path = self.files.attributes
        return metadata.load(path, self.predictions("test").ids) if path.is_file() else None

    @cached_property
    def model(self) -> Tapped:
        """The trained student, a torch module in evaluation mode: images ``[B, 3, H, W]`` in [0, 1] -> `Output`."""
        from dspkd.models import zoo

        if not (self.files.weights.exists() and self.finished):
            self.require_run()
            lacking = self.files.result if self.files.weights.exists() else self.files.weights
            raise RunError(
                f"{self.folder}: no finished run (no {lacking.name}); "
                f"make it with: dspkd train RECIPE --out {self.folder}"
            )
        self.require_whole()
        network = zoo.make(self.recipe.model.name, classes=len(self.classes), weights=str(self.files.weights))
        if network.loaded and network.loaded.fresh:
            raise RunError(
                f"{self.files.weights}: lacks {len(network.loaded.fresh)} tensors of {network.name}, such as "
                f"{network.loaded.fresh[0]}; it is not as training wrote it"
            )
        return network.eval()

    @property
    def report(self) -> Path:
        """The report, an HTML file to open in a browser."""
        return self._existing(self.files.report, f"write it with: dspkd report {self.folder}")

    def require_finished(self) -> Run:
        """Return this run; RunError unless its files are there, as training wrote them, and all of one run."""
        self.require_whole()
        _ = self.recipe_text, self.environment, self.data, self.history
        for part in ("val", "test"):
            predictions = self.predictions(part)
            if predictions.classes != self.result.classes:
                raise RunError(
                    f"{self.folder}: {self.files.predictions(part).name} has the classes "
                    f"{', '.join(predictions.classes)}, {self.files.result.name} {', '.join(self.result.classes)}; "
                    "one of them is of another run"
                )
        for stage in self.result.stages:
            if stage.best_epoch not in [epoch.epoch for epoch in self.epochs_of(stage)]:
                raise RunError(
                    f"{self.folder}: {self.files.metrics.name} lacks epoch {stage.best_epoch} of stage {stage.name!r}, "
                    f"which {self.files.result.name} calls its best; one of them is of another run"
                )
        return self

    def require_whole(self) -> None:
        """Raise RunError unless the files of a finished run are as training wrote them; checked once."""
        if not self._checked:
            integrity.require_whole(self.files)
            self._checked = True

    def _existing(self, path: Path, made_by: str) -> Path:
        self.require_whole()
        if not path.is_file():
            self.require_run()
            raise RunError(f"{self.folder}: {path.relative_to(self.folder)} is missing; {made_by}")
        return path

    def require_run(self) -> None:
        """Raise RunError where the folder is none of a run: it has no recipe."""
        recipe = self.files.recipe
        if not recipe.is_file():
            inner = [path.parent.relative_to(self.folder).as_posix() for path in self.folder.glob(f"*/{recipe.name}")]
            hint = f"runs in it: {first_few(sorted(inner))}" if inner else "dspkd train makes one, and --out names it"
            raise RunError(f"{self.folder}: not a run folder, it has no {recipe.name}; {hint}")

    def _repr_html_(self) -> str:
        """Return what a notebook shows: scores on validation and test set."""
        head = f"<b>{escape(self.folder.name)}</b>"
        if not self.finished:
            return f"<p>{head}: not finished</p>"
        result = self.result
        cells = "".join(
            f"<tr><td>{name}</td><td>{part.balanced_accuracy:.3f}</td><td>{part.f1_macro:.3f}</td>"
            f"<td>{part.accuracy:.3f}</td><td>{part.images:,}</td></tr>"
            for name, part in (("validation", self.val), ("test", self.test))
        )
        leak = f"<p>{escape(str(self.leak))}</p>" if self.leak else ""
        return (
            f"<p>{head}: {escape(result.name)}, {escape(result.model)}, {result.parameters:,} parameters, "
            f"seed {result.seed}. Research only, not a medical device.</p>{leak}"
            "<table><tr><th></th><th>balanced accuracy</th><th>macro F1</th><th>accuracy</th><th>images</th></tr>"
            f"{cells}</table>"
        )


def read(folder: Path) -> Run:
    """Return a finished run, checked as a whole; see `Run.require_finished`."""
    return Run(folder).require_finished()
