"""The data set of a recipe and its split, as strict, frozen, typed data."""

from __future__ import annotations

from dataclasses import field
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass

from dspkd.recipes.stage import STRICT, FilePath

Fraction = Annotated[float, Field(gt=0, lt=1)]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ColumnsConfig:
    """The columns of a table by name, in any case; where one is left out, it is recognised by its name, and printed."""

    image: str | None = None
    """Names the image file: a path, a name, or a name without suffix. Makes the layout `csv`."""
    label: str | tuple[str, ...] | None = None
    """Names the class. A list of columns, one for each class, holds 1 in that of the image's class and 0 elsewhere; or
    weights that sum to 1, from which the term `labels` learns with `soft_labels = true`."""
    names: dict[str, str] = field(default_factory=dict, hash=False)
    """Names of classes for labels that are numbers or codes, in the order of the network's outputs, such as
    `{ 0 = "benign", 1 = "malignant" }`."""
    group: str | None = None
    """Names the lesion or patient; the same as `data.group`."""
    part: str | None = None
    """Names the training, validation or test set in any spelling, as published."""
    sex: str | None = None
    """The patient's sex, for subgroups."""
    age: str | None = None
    """The patient's age, for subgroups."""
    site: str | None = None
    """The body site, for subgroups."""
    source: str | None = None
    """Where the image comes from, for subgroups."""
    skin_type: str | None = None
    """The Fitzpatrick skin type, or a scale of the data set's own, for subgroups."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class DataConfig:
    """The data set: a folder or CSV file of a known layout."""

    path: FilePath
    """The folder or table of the images, relative to the working directory."""
    layout: str = "auto"
    """`auto` to recognise it, or a layout such as `folder`, `imagefolder`, `csv`, `isic2019` or `ham10000`;
    docs/how-to/get-the-data.md lists all."""
    group: str | None = None
    """Column of lesion or patient ids; where none is named, one is chosen by its name, and printed."""
    columns: ColumnsConfig = Field(default_factory=ColumnsConfig)
    """The columns of a table by name."""
    licences: tuple[str, ...] = ()
    """Use images under these licences alone, such as `["CC-0", "CC-BY"]`; `[]` uses all."""
    classes: FilePath | None = None
    """A TOML file, the class map, that renames, merges and drops classes; docs/how-to/get-the-data.md shows one."""
    malignant: tuple[str, ...] = ()
    """Malignant classes that the table of class names does not know; see docs/how-to/ship-a-bundle.md. Not part of the
    digest: it changes the advice of a bundle, not the training."""
    benign: tuple[str, ...] = ()
    """Classes that are neither malignant nor premalignant, likewise. A class that neither the table nor the recipe
    knows is always referred, but does not count as a cancer where a threshold is set or the sensitivity is measured."""
    merge_copies: bool = True
    """Put copies of images without a lesion or patient id into one group, so that no split separates them."""
    unlabelled: FilePath | None = None
    """A folder of images without labels, from which terms learn that read a teacher and no labels. Copies of validation
    and test images are left out; see `dspkd.data.unlabelled`."""
    unlabelled_ratio: Annotated[float, Field(gt=0, le=1000)] = 1.0
    """Unlabelled images for each labelled one in a batch, beside `train.batch_size` labelled ones; 1 is inferred."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class SplitConfig:
    """The split into training, validation and test set: as published, a fold, at random, or from a file or column."""

    val: Fraction = 0.15
    """Share of the images for validation."""
    test: Fraction = 0.2
    """Share of the images for the test set."""
    seed: int = 0
    """Seed of the random split; another value gives other sets. It does not depend on the run's `seed`."""
    by: Literal["group", "image"] = "group"
    """`image` lets images of one lesion fall into several parts; only to imitate papers that did so. Training then
    needs a `waiver`."""
    file: FilePath | None = None
    """A CSV with the columns id, group, label and part, such as a run's own split.csv."""
    column: str | None = None
    """Column of the data set with the values train, val and test, in any spelling: an official split."""
    official: bool = True
    """Use the parts that the data set is published with, where it has any: folders such as train and test, or a column
    such as `split`. A missing validation or test set is taken out of the training set by lesion or patient. `false`
    splits at random."""
    folds: Annotated[int, Field(ge=2, le=1000)] | None = None
    """Number of folds of a cross-validation, e.g. 5: lesions or patients are divided into so many parts."""
    fold: Annotated[int, Field(ge=0)] | None = None
    """The fold whose part is the test set, from 0; the rest is training and validation set, and `test` does not matter.
    Published parts are then not used. A grid with `folds` trains all folds."""
    labelled: Fraction | None = None
    """Share of the training images to use, by lesion or patient and in every class, to measure how results depend on
    the number of labels. The others are in no part, and may be among `data.unlabelled`."""
    waiver: str | None = None
    """Why a lesion or patient may be in several parts, for example "imitates the image-level split of ...". Such a
    split is refused without it, and every report of the run prints it. Not part of the digest."""

    @model_validator(mode="after")
    def _require_training_images(self) -> Self:
        if self.val + self.test >= 1:
            raise ValueError(
                f"val {self.val} and test {self.test} leave nothing to train on; they must sum to less than 1"
            )
        several = [name for name in ("file", "column", "folds") if getattr(self, name) is not None]
        if len(several) > 1:
            raise ValueError(f"{' and '.join(several)} both define the parts; keep one of the two")
        return self

    @model_validator(mode="after")
    def _require_a_fold(self) -> Self:
        if self.folds is None:
            if self.fold is not None:
                raise ValueError(f"fold {self.fold} of how many? Set folds too, such as folds = 5")
            return self
        if self.fold is None or self.fold >= self.folds:
            given = "no fold is given" if self.fold is None else f"fold is {self.fold}"
            raise ValueError(f"{self.folds} folds are numbered 0 to {self.folds - 1}, but {given}; choose one of them")
        if self.val + 1 / self.folds >= 1:
            raise ValueError(
                f"val {self.val} and one of {self.folds} folds leave nothing to train on; use a smaller val"
            )
        if self.test != SplitConfig.test:
            raise ValueError(
                f"test is {self.test}, but with folds the test set is one of {self.folds}; leave test out, or the folds"
            )
        return self

    @model_validator(mode="after")
    def _require_a_reason(self) -> Self:
        if self.waiver is not None and not self.waiver.strip():
            raise ValueError("waiver is empty; state why lesions may be in several parts, or leave it out")
        return self
