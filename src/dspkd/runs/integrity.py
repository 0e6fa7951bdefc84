"""Whether the files of a run folder are as training wrote them, by the digests in its ``files.json``."""

from __future__ import annotations

import json
import logging
from pathlib import Path

from dspkd.errors import RecipeError, RunError
from dspkd.recipes import schema
from dspkd.runs.files import RunFiles

_LOG = logging.getLogger(__name__)
_said: list[Path] = []
_LOST = "restore that file from a copy, or train the recipe into another folder"


def require_whole(files: RunFiles) -> None:
    """Check all files of a finished run but its checkpoints, which only training reads.

    A folder without digests, of an older version, passes; the log says so once.

    Raises
    ------
    RunError
        A file has changed since training wrote it, or is missing.
    """
    if not files.result.is_file():
        return
    if not files.manifest.exists():
        _say_unchecked(files.folder)
    _refuse(files, [line for name, line in _differences(files).items() if not _is_checkpoint(files, name)])


def require_unchanged(files: RunFiles) -> None:
    """Check the files with which a stopped training continues: each that is there must be as it was written.

    What is missing is made again.

    Raises
    ------
    RunError
        A file has changed since training wrote it.
    """
    if files.recipe.is_file() and not files.manifest.exists():
        _say_unchecked(files.folder)
    there = {name: line for name, line in _differences(files).items() if (files.folder / name).is_file()}
    _refuse(files, list(there.values()))


def problems(files: RunFiles) -> list[str]:
    """Return a line for each file that is not as training wrote it, with what can be done; empty if all are.

    Of a finished run also for each file without a digest, which nobody can check.

    Raises
    ------
    RunError
        The folder has no digests, or they are damaged.
    """
    if not files.manifest.exists():
        raise RunError(
            f"{files.folder}: has no {files.manifest.path.name}: an older version trained it, or it is packed; its "
            "files cannot be checked"
        )
    recorded = files.manifest.digests()
    written = [files.split, *files.made_again] if files.result.is_file() else []
    unknown = [path for path in written if path.is_file() and path.relative_to(files.folder).as_posix() not in recorded]
    return [
        *_differences(files).values(),
        *(f"{path}: has no digest in {files.manifest.path.name}, so it cannot be checked; {_LOST}" for path in unknown),
    ]


def _differences(files: RunFiles) -> dict[str, str]:
    """Return ``{path in the folder: a line about it}`` of all files that differ; missing checkpoints do not count."""
    different = files.manifest.different()
    if files.manifest.exists() and files.result.is_file() and not _is_own_recipe(files):
        different[files.recipe.name] = "changed"
    return {
        name: f"{files.folder / name}: {_state(state)}; {_remedy(files, name, state)}"
        for name, state in different.items()
        if not (state == "missing" and _is_checkpoint(files, name))
    }


def _is_own_recipe(files: RunFiles) -> bool:
    """Return whether a finished run's recipe is the one that was trained.

    It is compared by its digest: settings that change no training, such as ``data.malignant``, may be edited.
    """
    try:
        trained = str(json.loads(files.result.read_bytes())["digest"])
    except (ValueError, TypeError, KeyError, RecursionError):
        return True  # the result is what is damaged
    try:
        return schema.load(files.recipe).digest == trained
    except RecipeError:
        return False


def _refuse(files: RunFiles, lines: list[str]) -> None:
    if len(lines) == 1:
        raise RunError(lines[0])
    if lines:
        raise RunError(f"{lines[0]}. So are {len(lines) - 1} more of its files: dspkd check {files.folder} lists them")


def _state(state: str) -> str:
    return "is missing" if state == "missing" else "is damaged or was changed after training wrote it"


def _remedy(files: RunFiles, name: str, state: str) -> str:
    path = files.folder / name
    if _is_checkpoint(files, name):
        return "delete it, and the same dspkd train command trains this stage again from its start"
    made_again = path in files.made_again or files.artifacts in path.parents
    if made_again and files.trained:
        delete = [path] * (state != "missing") + [files.result] * (files.result.is_file() and path != files.result)
        names = " and ".join(each.relative_to(files.folder).as_posix() for each in delete)
        return f"delete {names}, and the same dspkd train command makes it again" if names else "train again"
    return "restore it from a copy, or train the recipe into another folder"


def _is_checkpoint(files: RunFiles, name: str) -> bool:
    return files.stages in (files.folder / name).parents


def _say_unchecked(folder: Path) -> None:
    if not _said:
        _said.append(folder)
        _LOG.warning("%s: has no files.json, as an older version trained it: its files cannot be checked", folder)
