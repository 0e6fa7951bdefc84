"""The three recipes as TOML files, each line with the reason for its value."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import tomli_w

from dspkd.experiments.own_images import rules
from dspkd.experiments.own_images.facts import DataFacts
from dspkd.experiments.own_images.networks import Network
from dspkd.experiments.own_images.rules import Settings
from dspkd.recipes import schema
from dspkd.recipes.schema import Recipe

TEACHER, PLAIN, STUDENT = "teacher", "plain", "student"
"""Names of the recipes' files and of their run folders."""

_SMOOTHED = "{ label_smoothing = 0.05 }"
_WIDTH = 46


def recipes(facts: DataFacts, settings: Settings, out: Path) -> dict[str, Recipe]:
    """Return ``{file name without suffix: recipe}``; no teacher's recipe where its run is finished already."""
    return {
        name: schema.parse(tomllib.loads(text), place=f"{name}.toml")
        for name, text in texts(facts, settings, out).items()
    }


def texts(facts: DataFacts, settings: Settings, out: Path) -> dict[str, str]:
    """Return ``{file name without suffix: TOML with comments}``."""
    written = {PLAIN: _plain(facts, settings, out), STUDENT: _student(facts, settings, out)}
    if settings.teacher.run:
        return written
    return {TEACHER: _teacher(facts, settings, out), **written}


def teacher_folder(settings: Settings, out: Path) -> Path:
    """Return the teacher's run folder."""
    return Path(settings.teacher.run) if settings.teacher.run else out / TEACHER


def _teacher(facts: DataFacts, settings: Settings, out: Path) -> str:
    as_it_is = settings.teacher.as_it_is
    stage = _stage("labels", settings.epochs, rules.teacher_rate(settings.teacher), settings.keep, warm=True)
    terms = _terms(f'{{ method = "labels", options = {_SMOOTHED} }},  # cross-entropy; 5 % of a label goes to all')
    what = "was trained elsewhere" if as_it_is else "learns from the labels"
    return _join(
        [
            f"# Teacher: a large network that {what}, for the student to learn from",
            f"# Train it: dspkd train {out / (TEACHER + '.toml')} --out {out / TEACHER}",
            "# Every value is inferred from the data, the machine and the budget: docs/how-to/your-own-images.md",
            _line("name", "teacher", "in reports"),
            *([_line("stages", [], "its classifier has these classes: used as it is")] if as_it_is else []),
            *_shared(facts, settings, settings.teacher, views=0),
            *([] if as_it_is else [*stage, *terms]),
        ]
    )


def _plain(facts: DataFacts, settings: Settings, out: Path) -> str:
    return _join(
        [
            "# Plain student: the same small network without a teacher, which the distilled one must beat",
            f"# Train it: dspkd train {out / (PLAIN + '.toml')} --out {out / PLAIN}",
            f"# It has the images, batches and {settings.epochs} epochs of student.toml: keep them equal",
            _line("name", "plain", "in reports"),
            *_shared(facts, settings, settings.student, views=settings.views),
            *_stage("labels", settings.epochs, 1e-3, settings.keep, warm=True),
            *_terms(f'{{ method = "labels", options = {_SMOOTHED} }},  # cross-entropy; 5 % of a label goes to all'),
        ]
    )


def _student(facts: DataFacts, settings: Settings, out: Path) -> str:
    first, second = settings.stage_epochs
    target = f'options = {{ target = "{settings.target}", hidden = 256 }}'
    return _join(
        [
            f"# DSP-KD student: first rebuilds the teacher's feature map, then learns its {_logits(facts)}",
            f"# Train it: dspkd train {out / (STUDENT + '.toml')} --out {out / STUDENT}, after its teacher",
            "# Two stages with one teacher are the paper's; every value here is inferred",
            _line("name", "dsp_kd", "in reports"),
            _line("teacher", str(teacher_folder(settings, out)), "the teacher's run folder"),
            *_shared(facts, settings, settings.student, views=settings.views),
            *_stage("features", first, 1e-3, settings.keep, warm=True),
            *_terms(
                f'{{ method = "labels", options = {_SMOOTHED} }},  # as the plain student',
                f'{{ method = "hierarchical_fusion", share = 0.4, {target} }},  # {_why_target(settings)}',
            ),
            *_stage("logits", second, 5e-4, settings.keep, warm=False),
            *_terms(
                '{ method = "labels", weight = 0.5 },  # labels and teacher count the same',
                _SECOND[rules.second_method(len(facts.classes))],
            ),
        ]
    )


_SECOND = {
    "normkd": '{ method = "normkd", weight = 0.5, options = { t_norm = 1.0 } },  # softens each image equally',
    "kd": '{ method = "kd", weight = 0.5, options = { temperature = 4.0 } },  # of two classes: two normalised logits '
    "(normkd) are always +-0.71 and teach nothing",
}


def _logits(facts: DataFacts) -> str:
    return "normalised logits" if rules.second_method(len(facts.classes)) == "normkd" else "softened logits"


def _why_target(settings: Settings) -> str:
    if settings.target == "last":
        return "rebuilds the map that the teacher's classifier reads; 0.4 of the gradient"
    side = settings.size // 32
    return f"the last map has only {side} x {side} positions here, so that of stride 16; 0.4 of the gradient"


def _shared(facts: DataFacts, settings: Settings, network: Network, *, views: int) -> Iterable[str]:
    """Return the sections that the three recipes share, but for the network and the views."""
    yield "\n[data]"
    yield _line("path", facts.path, f"{facts.images:,} images, {len(facts.classes)} classes")
    yield _line("layout", facts.layout, "as recognised")
    if facts.group:
        yield _line("group", facts.group, "the column of lesions or patients")
    if facts.label:
        yield "\n[data.columns]"
        yield _line("label", facts.label, "the column of classes")
    yield "\n[split]"
    if "file" in facts.split:
        yield _line("file", facts.split["file"], "that of the teacher's run: a student must share it")
    elif facts.official:
        yield _line("official", True, f"the parts that the data set is published with: {facts.official}")
    else:
        if "official" in facts.split:
            yield _line("official", False, "the parts that the data set is published with are not used: --resplit")
        what = "by lesion or patient" if facts.unnamed < facts.images else "by image: there are no ids"
        yield _line("val", 0.15, f"share of the images, {what}")
        yield _line("test", 0.2, "share of the images; evaluated once, at the end")
    yield "\n[model]"
    yield _line("name", network.name, f"{network.parameters:,} parameters")
    yield _line("weights", network.weights, "initial weights" if network.pretrained else "random initial weights")
    yield "\n[images]"
    yield _line("size", settings.size, f"px; the images' shorter side is {facts.side} px")
    yield _line("min_area", 0.4, "a training crop covers at least this share of the image")
    yield "randaugment = { num_ops = 1, magnitude = 5 }".ljust(_WIDTH) + "  # mild changes of colour and shape"
    if settings.artefacts:
        yield _line("artefacts", list(settings.artefacts), "removed from images, as in the teacher's run")
    if views:
        yield _line("views", views, "augmented views of an image; teacher outputs are computed once for each")
    yield "\n[train]"
    yield _line("batch_size", settings.batch, f"{facts.training // settings.batch} steps an epoch")
    yield _line("balance", settings.balance, f"the largest class has {facts.imbalance:.1f} times the smallest's images")
    if settings.ema:
        yield _line("ema", settings.ema, "the mean weights of the last steps are validated and kept")


def _stage(name: str, epochs: int, rate: float, keep: str, *, warm: bool) -> Iterable[str]:
    yield "\n[[stages]]"
    yield _line("name", name, "in the record of each epoch")
    yield _line("epochs", epochs, "each draws as many images as there are for training")
    yield _line("lr", rate, "peak learning rate of AdamW; falls to 0 along a cosine")
    if warm and epochs > 1:
        yield _line("warmup", 1, "epoch in which the rate rises from 0")
    best = "the epoch with the best balanced accuracy on the validation set"
    yield _line("keep", keep, best if keep == "best" else "the last epoch: too few validation images to choose by")


def _terms(*terms: str) -> Iterable[str]:
    yield "terms = ["
    yield from (f"  {term}" for term in terms)
    yield "]"


def _line(key: str, value: Any, why: str) -> str:
    setting = tomli_w.dumps({key: value}).strip()
    return f"{setting.ljust(_WIDTH)}  # {why}"


def _join(lines: Iterable[str]) -> str:
    return "\n".join(lines) + "\n"
