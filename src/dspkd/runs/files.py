"""The files of a run folder; the only place that names them.

========================  ==============================================================================
recipe.toml               the recipe as run, with every default
classes.toml              the class map, where the recipe names one
environment.json          versions and machine
data.json                 where the images are, fingerprints, counts per class and part, data card
shared_outputs.json       in a comparison: what its runs read of the teacher's outputs, computed together
teacher_answers.npz       logits of a teacher that is a file of answers, as the run began
teacher_weights.json      SHA-256 of the weights of each run that teaches, as the run began
initial_weights.json      SHA-256 of model.weights, a file, where a later stage starts from it
unlabelled.csv            the unlabelled images that are used, and why others are not
split.csv                 the set (training, validation, test) of each image
attributes.csv            sex, age, body site, ... of each image, where the data set has them
metrics.jsonl             a record for each epoch
stages/0-NAME/            checkpoint of each stage, from which an interrupted run continues
model.safetensors         the student alone, with its library's own tensor names
predictions/              val.csv, test.csv: logits, label, id, group; teacher-val.csv, teacher-test.csv
artifacts/                small images, Grad-CAM maps, pooled features: see `dspkd.runs.artifacts`
test_evaluations.jsonl    each evaluation on the test set: date, command, weights
latency.json              time of student and teacher for one image
result.json               summary; training writes it last, so a folder that has it is complete
files.json                SHA-256 of the files above but the recipe, each recorded when it is finished
report.html, ledger.csv   written by `dspkd.reports`
========================  ==============================================================================
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from dspkd.errors import RunError
from dspkd.recipes import schema
from dspkd.recipes.schema import Recipe
from dspkd.runtime.files import write_text
from dspkd.runtime.manifest import Manifest

_RENAMED = {"test_openings.jsonl": "test_evaluations.jsonl", "evidence": "artifacts"}
"""Names in run folders of older versions, and the names of today."""


@dataclass(frozen=True)
class RunFiles:
    """The paths of the files of the run folder `folder`, which need not exist."""

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
        """Where the images are, their fingerprints and counts."""
        return self.folder / "data.json"

    @property
    def shared_outputs(self) -> Path:
        """In a comparison, what the runs that share this run's teacher read of its outputs."""
        return self.folder / "shared_outputs.json"

    @property
    def teacher_answers(self) -> Path:
        """The logits of a teacher that is a file of answers."""
        return self.folder / "teacher_answers.npz"

    @property
    def teacher_weights(self) -> Path:
        """The SHA-256 of the weights of each run that teaches."""
        return self.folder / "teacher_weights.json"

    @property
    def initial_weights(self) -> Path:
        """The SHA-256 of the file of initial weights, where a later stage starts from it."""
        return self.folder / "initial_weights.json"

    @property
    def unlabelled(self) -> Path:
        """The unlabelled images that are used, and why others are left out."""
        return self.folder / "unlabelled.csv"

    @property
    def split(self) -> Path:
        """The set (training, validation, test) of each image."""
        return self.folder / "split.csv"

    @property
    def attributes(self) -> Path:
        """Attributes of each image, such as sex and age."""
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
        """Return the path of the student's predictions for ``val`` or ``test``."""
        return self.folder / "predictions" / f"{part}.csv"

    def teacher_predictions(self, part: str) -> Path:
        """Return the path of the teacher's predictions for the same images."""
        return self.folder / "predictions" / f"teacher-{part}.csv"

    @property
    def artifacts(self) -> Path:
        """The folder of small images and maps."""
        return self.folder / "artifacts"

    @property
    def image_index(self) -> Path:
        """The images in `artifacts`, with their Grad-CAM maps."""
        return self.artifacts / "images.json"

    @property
    def features(self) -> Path:
        """Pooled features of validation images."""
        return self.artifacts / "features.npz"

    @property
    def test_evaluations(self) -> Path:
        """The record of every evaluation on the test set."""
        return self.folder / "test_evaluations.jsonl"

    @property
    def latency(self) -> Path:
        """How long student and teacher take for one image."""
        return self.folder / "latency.json"

    @property
    def result(self) -> Path:
        """The summary of the run."""
        return self.folder / "result.json"

    @property
    def manifest(self) -> Manifest:
        """The digests of the files."""
        return Manifest(self.folder)

    @property
    def trained(self) -> bool:
        """Whether an epoch is saved: from then on recipe, data and teachers may not change."""
        return any(self.stages.glob("*/last.pt"))

    @property
    def made_again(self) -> tuple[Path, ...]:
        """Those that training makes again from its checkpoints where they are missing, but for images and maps."""
        parts = ("val", "test")
        predictions = [each(part) for each in (self.predictions, self.teacher_predictions) for part in parts]
        return (
            self.environment, self.data, self.attributes, self.metrics, self.weights, self.result, self.image_index,
            self.features, self.latency, *predictions,
        )  # fmt: skip

    @property
    def report(self) -> Path:
        """The report."""
        return self.folder / "report.html"

    @property
    def ledger(self) -> Path:
        """The images that the student forgot, copied or corrected."""
        return self.folder / "ledger.csv"

    def write_recipe(self, recipe: Recipe) -> None:
        """Write the recipe; in a new folder the record of its files begins with it."""
        if not self.recipe.exists():
            self.manifest.begin()
        write_text(self.recipe, schema.dump(recipe))

    def require_recipe(self, digest: str) -> None:
        """Raise RunError if a run of another recipe has trained here; forget one that failed before its first epoch."""
        if not self.recipe.exists():
            return
        earlier = schema.load(self.recipe)
        if earlier.digest == digest:
            return
        if self.trained or self.result.exists():
            raise RunError(
                f"{self.folder}: holds a run of recipe {earlier.digest} ({earlier.name}), but this recipe is {digest}; "
                "choose another folder (--out), or delete this folder"
            )
        begun = (self.recipe, self.class_map, self.environment, self.data, self.split, self.attributes, self.unlabelled)
        taught = (self.shared_outputs, self.teacher_answers, self.teacher_weights, self.initial_weights)
        for path in (*begun, *taught, self.manifest.path):
            path.unlink(missing_ok=True)

    def require_current_names(self) -> None:
        """Raise RunError for a folder of an older version, which has files of other names."""
        for old, new in _RENAMED.items():
            if (self.folder / old).exists():
                raise RunError(
                    f"{self.folder}: of an older version ({old} is now {new}); train its recipe into a new folder"
                )
