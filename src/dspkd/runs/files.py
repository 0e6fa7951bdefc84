"""The files of a run folder; the only place that names them.

========================  ==============================================================================
recipe.toml               the recipe as run, every default written out
classes.toml              the class map, where the recipe names one
environment.json          versions and machine
data.json                 where the images are, fingerprints, counts per class and part, data card
split.csv                 training, validation or test set: one row an image
attributes.csv            sex, age, site, ... of each image, where the data set has them
metrics.jsonl             a record for each epoch
stages/0-NAME/            checkpoint of each stage: all that an interrupted run needs to go on
model.safetensors         the student alone, under its library's own tensor names
predictions/              val.csv, test.csv: logits, label, id, group; teacher-val.csv, teacher-test.csv
artifacts/                small images, Grad-CAM maps, pooled features: see `dspkd.runs.artifacts`
test_evaluations.jsonl    each evaluation on the test set: date, command, weights
result.json               summary; written last by training, so a folder that has it is complete
report.html, ledger.csv   written by `dspkd.reports`
========================  ==============================================================================
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from dspkd.errors import RunError

_RENAMED = {"test_openings.jsonl": "test_evaluations.jsonl", "evidence": "artifacts"}
"""Files of run folders made before they had the field's words."""


@dataclass(frozen=True)
class RunFiles:
    """The paths of the files of the run folder `folder`; none need exist."""

    folder: Path

    @property
    def recipe(self) -> Path:
        """The recipe as run."""
        return self.folder / "recipe.toml"

    @property
    def class_map(self) -> Path:
        """The class map; only where the recipe names one."""
        return self.folder / "classes.toml"

    @property
    def environment(self) -> Path:
        """Versions and machine."""
        return self.folder / "environment.json"

    @property
    def data(self) -> Path:
        """What the images were."""
        return self.folder / "data.json"

    @property
    def split(self) -> Path:
        """The part of each image."""
        return self.folder / "split.csv"

    @property
    def attributes(self) -> Path:
        """What the data set says of each image."""
        return self.folder / "attributes.csv"

    @property
    def metrics(self) -> Path:
        """A record for each epoch."""
        return self.folder / "metrics.jsonl"

    @property
    def stages(self) -> Path:
        """The folder of the stages' checkpoints."""
        return self.folder / "stages"

    @property
    def weights(self) -> Path:
        """The trained student."""
        return self.folder / "model.safetensors"

    def predictions(self, part: str) -> Path:
        """Return where the student's predictions for ``val`` or ``test`` are."""
        return self.folder / "predictions" / f"{part}.csv"

    def teacher_predictions(self, part: str) -> Path:
        """Return where the teacher's predictions for the same images are."""
        return self.folder / "predictions" / f"teacher-{part}.csv"

    @property
    def artifacts(self) -> Path:
        """The folder of small images and maps."""
        return self.folder / "artifacts"

    @property
    def image_index(self) -> Path:
        """Which image is which in `artifacts`, with Grad-CAM maps."""
        return self.artifacts / "images.json"

    @property
    def features(self) -> Path:
        """Pooled features of validation images."""
        return self.artifacts / "features.npz"

    @property
    def test_evaluations(self) -> Path:
        """Every evaluation on the test set."""
        return self.folder / "test_evaluations.jsonl"

    @property
    def result(self) -> Path:
        """The summary of the run."""
        return self.folder / "result.json"

    @property
    def report(self) -> Path:
        """The report."""
        return self.folder / "report.html"

    @property
    def ledger(self) -> Path:
        """Each image that the student forgot, copied or corrected."""
        return self.folder / "ledger.csv"

    def require_current_names(self) -> None:
        """Raise RunError for a folder that an older version wrote under other names."""
        for old, new in _RENAMED.items():
            if (self.folder / old).exists():
                raise RunError(
                    f"{self.folder}: of an older version ({old} is now {new}); train its recipe into a new folder"
                )
