"""Check a recipe before any data are read: names, options, and settings that exclude each other."""

from __future__ import annotations

from pathlib import Path

from dspkd import data, methods
from dspkd.data import artefacts, class_map
from dspkd.errors import DataError, RecipeError, suggest
from dspkd.models import zoo
from dspkd.recipes import schema
from dspkd.recipes.schema import Recipe
from dspkd.recipes.teacher import TeacherConfig
from dspkd.runs import as_it_is, void_terms
from dspkd.runs.files import RunFiles


def check(recipe: Recipe) -> None:
    """Check names and options, and that a teacher is named where one is needed, before any data are read.

    Raises
    ------
    RecipeError
        Names the place in the recipe.
    """
    try:
        zoo.check(recipe.model.name, recipe.images.size)
    except RecipeError as error:
        raise RecipeError(f"model.name: {error}") from None
    if recipe.data.layout not in (layouts := ("auto", *data.LAYOUTS)):
        raise RecipeError(
            f"data.layout: no layout is called {recipe.data.layout!r}; {suggest(recipe.data.layout, layouts)}"
        )
    classes = _classes(recipe)
    as_it_is.check(recipe)
    _check_images(recipe)
    if recipe.teacher:
        _check_teacher(recipe, recipe.teacher)
    before: tuple[str, ...] = ()
    for s, stage in enumerate(recipe.stages):
        for t, (name, term) in enumerate(zip(stage.part_names, stage.terms, strict=True)):
            place = f"stages.{s}.terms.{t}"
            try:
                method = methods.declaration(term.method)
                methods.check_options(term.method, term.options)
            except RecipeError as error:
                raise RecipeError(f"{place}: {error}") from None
            if method.needs_teacher and not recipe.teacher:
                raise RecipeError(f'{place}: {term.method!r} learns from a teacher; name its run: teacher = "runs/..."')
            if method.needs_one_label and recipe.train.mixes_images:
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
    _check_heads(recipe)
    _check_views(recipe)
    if classes:
        void_terms.refuse(recipe, classes)


def _classes(recipe: Recipe) -> int | None:
    """Return the most classes that the images can have; None where only the images tell."""
    if recipe.data.classes is not None:
        try:
            return len(class_map.load(Path(recipe.data.classes)).classes)
        except DataError as error:
            raise RecipeError(f"data.classes: {error}") from None
    return len({*recipe.data.columns.names.values()}) or None


def _check_heads(recipe: Recipe) -> None:
    """Refuse `ssd_kd` where the teacher's head, whose similarities the student would imitate, is random."""
    trained: set[str] = set()
    for s, stage in enumerate(recipe.stages):
        carried = {*stage.carried} & trained
        trained = set(carried)
        for t, (name, term) in enumerate(zip(stage.part_names, stage.terms, strict=True)):
            if term.method != "ssd_kd":
                continue
            if term.options.get("trains") == "teacher_head":
                trained.add(name)
            elif term.options.get("self_supervision", 1.0) > 0 and name not in carried:
                raise RecipeError(
                    f"stages.{s}.terms.{t}: ssd_kd: the student would imitate the similarities of a random head of the "
                    'teacher; train it in a stage before, with trains = "teacher_head", and set carry = true here '
                    "(dspkd recipes show dermoscopy150/ssd_kd), or set self_supervision = 0"
                )


def _check_views(recipe: Recipe) -> None:
    """Refuse the mean over all quarter turns beside a term that tells quarter turns apart."""
    if recipe.teacher and recipe.teacher.views == 8 and (rotated := compares_rotations(recipe)):
        raise RecipeError(
            f"teacher.views = 8: {rotated!r} compares an image with its quarter turns, and the mean over all of them "
            "is the same for each; set it to 2 or 1"
        )


def compares_rotations(recipe: Recipe) -> str:
    """Return the first method that compares an image with its quarter turns; empty if there is none."""
    names = [term.method for stage in recipe.stages for term in stage.terms]
    return next((name for name in names if methods.declaration(name).wants_rotated), "")


def _check_images(recipe: Recipe) -> None:
    try:
        artefacts.check(recipe.images.artefacts)
    except DataError as error:
        raise RecipeError(f"images.artefacts: {error}") from None
    for run in recipe.teachers:
        _require_same_artefacts(recipe, Path(run))
    if recipe.train.mix_teacher_outputs and not recipe.train.mixes_images:
        raise RecipeError(
            "train.mix_teacher_outputs = true: no images are mixed; set train.mixup or train.cutmix above 0, or leave "
            "this out"
        )
    if recipe.teachers and recipe.train.mix_teacher_outputs and recipe.images.views == "fresh":
        raise RecipeError(
            'train.mix_teacher_outputs = true: images.views = "fresh" caches no teacher outputs that could be mixed; '
            "set images.views to a number, or leave this out"
        )
    if recipe.teacher and recipe.teacher.answers and recipe.train.mixes_images and not recipe.train.mix_teacher_outputs:
        raise RecipeError(
            f"teacher.answers = {recipe.teacher.answers!r}: are for single images, and train.mixup or train.cutmix "
            "mixes new ones in each batch; set train.mix_teacher_outputs = true to learn from those of the two images"
        )
    if not recipe.teachers or recipe.images.views == "fresh":
        return
    if recipe.machine.cache == "none":
        raise RecipeError(
            'machine.cache = "none": teacher outputs for a fixed number of views are cached in a folder; name one, '
            'or set images.views = "fresh"'
        )
    if recipe.train.mixes_images and not recipe.train.mix_teacher_outputs:
        raise RecipeError(
            f"images.views = {recipe.images.views}: teacher outputs are cached for single images, and "
            "train.mixup or train.cutmix mixes new ones in each batch; set train.mix_teacher_outputs = true to learn "
            'from the outputs of the two images, images.views = "fresh" to run the teacher on the mixture, or both to 0'
        )


def _check_teacher(recipe: Recipe, teacher: TeacherConfig) -> None:
    """Check the settings of the table `[teacher]` against the rest of the recipe and, where trained, the teachers."""
    if recipe.data.unlabelled and teacher.weights == "label":
        raise RecipeError(
            'teacher.weights = "label": unlabelled images have no label that weighs teachers; set it to "mean" or '
            '"agreement", or leave out data.unlabelled'
        )
    size = teacher.size
    if size and size < recipe.images.size:
        raise RecipeError(
            f"teacher.size = {size}: smaller than images.size = {recipe.images.size}, so the teacher would see less "
            "than its student; choose a larger one, or leave it out"
        )
    for run in teacher.run:
        theirs = schema.load(RunFiles(Path(run)).recipe) if RunFiles(Path(run)).recipe.exists() else None
        if theirs and size:
            try:
                zoo.check(theirs.model.name, size)
            except RecipeError as error:
                raise RecipeError(f"teacher.size: {error}") from None
        if theirs and not theirs.stages and teacher.cross_fit:
            raise RecipeError(
                f"teacher.cross_fit: {run} was trained elsewhere (stages = []), so it cannot be trained without a "
                "fold; leave out cross_fit"
            )
        if theirs and theirs.teachers and teacher.cross_fit:
            raise RecipeError(
                f"teacher.cross_fit: {run} has a teacher of its own, {theirs.teachers[0]}, which saw all lesions; name "
                "a teacher that learns from labels alone"
            )
    if teacher.cross_fit and recipe.train.mixes_images and not recipe.train.mix_teacher_outputs:
        raise RecipeError(
            f"teacher.cross_fit = {teacher.cross_fit}: train.mixup or train.cutmix shows two lesions in one image, and "
            "each fold teacher may have seen one of them; set both to 0, or train.mix_teacher_outputs to true, or "
            "leave out teacher.cross_fit"
        )
    changed = [key for key in ("cross_fit", "views", "size") if getattr(teacher, key) not in (None, 1)]
    for s, stage in enumerate(recipe.stages):
        if stage.teacher_lr and changed:
            raise RecipeError(
                f"stages.{s}.teacher_lr: the copy of the teacher that learns sees the student's images as they are; "
                f"leave out {' and '.join(f'teacher.{key}' for key in changed)}"
            )


def _require_same_artefacts(recipe: Recipe, teacher: Path) -> None:
    """Refuse a teacher trained on images with other artefacts removed; a teacher that is not trained yet passes.

    The teacher gets its student's images, and a network trained on hairless skin alone is unreliable on hairy skin.
    """
    if not RunFiles(teacher).recipe.exists():
        return
    theirs, ours = schema.load(RunFiles(teacher).recipe).images.artefacts, recipe.images.artefacts
    if theirs != ours:
        raise RecipeError(
            f"images.artefacts: teacher {teacher} was trained with {_listed(theirs)}, and its "
            f"student has {_listed(ours)}; train both with the same, in the same order"
        )


def _listed(names: tuple[str, ...]) -> str:
    return f"artefacts = [{', '.join(repr(name) for name in names)}]"
