"""Errors that a user can cause. Each message names the place, what was found, and a remedy.

DspkdError
├── DataError        a table, an image or a split
│   └── DamagedImagesError   images that do not decode
├── RecipeError      a recipe, an option of a method, a name
├── WeightsError     a file of weights
│   └── PartialWeightsError  it lacks tensors of the network
├── RunError         a run folder: missing, of another recipe, unfinished
│   └── RankError    another process of the same run
├── BundleError      a bundle: not one, damaged, changed, or of another version
├── ServeError       a server cannot start: its address, its token
└── TrainingError    training went wrong: a loss that is not finite

`suggest` and `first_few` word parts of such messages.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence

LONGEST_LINE = 2000
"""Characters of a line of a message: a value that is longer, of a file of others perhaps, is cut in the middle."""


class DspkdError(Exception):
    """Base of all errors that a user can cause and fix; in its message nothing is hidden, and no line is endless."""

    def __str__(self) -> str:
        return "\n".join(map(_shown, super().__str__().split("\n")))


class DataError(DspkdError):
    """A table, an image or a split is not as it must be."""


class DamagedImagesError(DataError):
    """Images of a table do not decode.

    Attributes
    ----------
    problems
        ``{row: path and reason}``.
    """

    def __init__(self, message: str, problems: Mapping[int, str]) -> None:
        super().__init__(message)
        self.problems = dict(problems)


class RecipeError(DspkdError):
    """A recipe, one of its values, or a name in it is not valid."""


class WeightsError(DspkdError):
    """A file of weights does not fit the network."""


class PartialWeightsError(WeightsError):
    """A file of weights lacks tensors besides the classifier's."""


class RunError(DspkdError):
    """A run folder is missing, unfinished, or belongs to another recipe."""


class RankError(RunError):
    """Another process of this run has died, or has failed with an error that rank 0 reports."""


class BundleError(DspkdError):
    """A bundle is no bundle, is damaged or was changed, or is of an unknown version."""


class ServeError(DspkdError):
    """A server cannot start with these settings."""


class TrainingError(DspkdError):
    """Training cannot go on; what was saved stays."""


def _shown(line: str) -> str:
    """Return a line with escapes in place of what a terminal obeys or hides; one too long without its middle."""
    if len(line) > LONGEST_LINE:
        line = f"{line[: LONGEST_LINE // 2]} ... {line[-LONGEST_LINE // 3 :]}"
    return "".join(each if each.isprintable() else repr(each)[1:-1] for each in line)


def suggest(name: str, known: Iterable[str]) -> str:
    """Return the remedy for a `name` that is not among `known`: the nearest of them, else all.

    >>> suggest("lesion", ("image", "lesion_id"))
    "did you mean 'lesion_id'?"
    """
    known = tuple(known)
    near = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"


def first_few(names: Sequence[str]) -> str:
    """Return up to three of the names for a message, and how many more there are.

    >>> first_few(["a", "b", "c", "d", "e"])
    'a, b, c and 2 more'
    """
    beyond = len(names) - 3
    return ", ".join(names[:3]) + (f" and {beyond} more" if beyond > 0 else "")
