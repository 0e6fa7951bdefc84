"""All that can be known of a recipe before any data are read."""

from __future__ import annotations

from pathlib import Path

from dspkd import data, methods
from dspkd.data import artefacts, class_map
from dspkd.errors import DataError, RecipeError, suggest
from dspkd.models import zoo
from dspkd.recipes import schema
from dspkd.recipes.schema import Recipe


def check(wanted: Recipe) -> None:
    """Check all that can be known before any data are read: names, options, and that a teacher is there if needed.

    Raises
    ------
    RecipeError
        Names the place in the recipe.
    """
    try:
        zoo.check(wanted.model.name, wanted.images.size)
    except RecipeError as error:
        raise RecipeError(f"model.name: {error}") from None
    if wanted.data.layout not in (layouts := ("auto", *data.LAYOUTS)):
        raise RecipeError(
            f"data.layout: no layout is called {wanted.data.layout!r}; {suggest(wanted.data.layout, layouts)}"
        )
    if wanted.data.classes is not None:
        try:
            class_map.load(Path(wanted.data.classes))
        except DataError as error:
            raise RecipeError(f"data.classes: {error}") from None
    _check_images(wanted)
    before: tuple[str, ...] = ()
    for s, stage in enumerate(wanted.stages):
        for t, (name, term) in enumerate(zip(stage.part_names, stage.terms, strict=True)):
            place = f"stages.{s}.terms.{t}"
            try:
                method = methods.declaration(term.method)
                methods.check_options(term.method, term.options)
            except RecipeError as error:
                raise RecipeError(f"{place}: {error}") from None
            if method.needs_teacher and not wanted.teachers:
                raise RecipeError(f'{place}: {term.method!r} learns from a teacher; name its run: teacher = "runs/..."')
            if method.needs_one_label and wanted.train.mixes_images:
                raise RecipeError(
                    f"{place}: {term.method!r} reads one label for each image, and a mixed one has two; "
                    "set train.mixup and train.cutmix to 0"
                )
            if term.carry and name not in before:
                there = f"that has {', '.join(before)}" if before else "there is none"
                raise RecipeError(
                    f"{place}: carry = true takes over the layers of {name!r} in the stage before; {there}"
                )
        before = stage.part_names
        if stage.teacher_lr and not any(methods.declaration(term.method).trains_teacher for term in stage.terms):
            able = ", ".join(name for name in methods.names() if methods.declaration(name).trains_teacher)
            raise RecipeError(f"stages.{s}.teacher_lr: no term of this stage trains a teacher; those that do: {able}")


def _check_images(wanted: Recipe) -> None:
    try:
        artefacts.check(wanted.images.artefacts)
    except DataError as error:
        raise RecipeError(f"images.artefacts: {error}") from None
    for run in wanted.teachers:
        _require_same_artefacts(wanted, Path(run))
    if not wanted.teachers or wanted.images.views == "fresh":
        return
    if wanted.machine.cache == "none":
        raise RecipeError(
            'machine.cache = "none": a teacher\'s answers to a fixed number of views are kept in a folder; name one, '
            'or set images.views = "fresh"'
        )
    if wanted.train.mixes_images:
        raise RecipeError(
            f"images.views = {wanted.images.views}: a teacher's answers are kept for single images, and "
            'train.mixup or train.cutmix makes new mixtures of them in every batch; set images.views = "fresh", '
            "or both to 0"
        )


def _require_same_artefacts(wanted: Recipe, teacher: Path) -> None:
    """Refuse a teacher that learned from other images than those that it is to answer; one still to be trained waits.

    It sees what its student sees, and a network that has only known hairless skin says little of hairy skin.
    """
    if not (teacher / "recipe.toml").exists():
        return
    known, shown = schema.load(teacher / "recipe.toml").images.artefacts, wanted.images.artefacts
    if known != shown:
        raise RecipeError(
            f"images.artefacts: teacher {teacher} was trained with {_listed(known)}, and the images that it "
            f"would be asked about are made with {_listed(shown)}; train both with the same, in the same order"
        )


def _listed(names: tuple[str, ...]) -> str:
    return f"artefacts = [{', '.join(repr(name) for name in names)}]"
