"""What every method is: a module that turns two networks' answers to one batch into a number to make small."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor, nn

from dspkd.errors import RecipeError
from dspkd.methods._options import check
from dspkd.types import NetworkSpec


class Term(nn.Module):
    """One term of a stage's objective.

    A method derives from this class, takes its options as keyword-only arguments with type and default, hands
    them to ``super().__init__`` to be checked, and defines
    ``forward(student: Output, teacher: Output | None, batch: Batch) -> Tensor``, a scalar. What it promises:

    - its arithmetic is float32 (float64 where float64 comes in), whatever arrives; only convolutions may run in
      the lower precision that autocast chooses, since a generator can cost more than the networks themselves;
    - no gradient flows to the teacher, unless it says that it trains one;
    - it is finite, and so is its gradient, for a batch of one, for equal logits and for logits of 1e4.

    Its weight in the objective is the stage's affair. Its parameters are trained with the student and thrown away
    when the stage ends.

    Parameters
    ----------
    student, teacher
        Shapes of the two networks; no teacher is given where a stage has none.
    options
        The method's own options, to be checked against its signature.

    Raises
    ------
    RecipeError
        If an option is not what the signature says, or if the method needs a teacher and there is none.
    """

    needs_teacher: ClassVar[bool] = True
    """Whether the term reads the teacher's answer."""
    trains_teacher: ClassVar[bool] = False
    """Whether the term sends gradients to a teacher that learns (a stage's ``teacher_lr``)."""
    wants_rotated: ClassVar[bool] = False
    """Whether the term reads `Output.rotated`; the networks then answer four images instead of one."""
    wants_strong_aug: ClassVar[bool] = False
    """Whether the term reads `Output.strong_aug`; the loader then makes, and the networks answer, one more image."""
    needs_one_label: ClassVar[bool] = False
    """Whether the term means nothing for an image mixed of two: it reads `Batch.labels` and not `Batch.other_labels`.
    A recipe that mixes images is then refused."""
    by_image: ClassVar[bool] = False
    """Whether the loss is the mean over images of what depends on that image alone, apart from batch normalisation
    and from what is drawn with `Batch.draw`. Where several processes share a batch, each then computes it of its own
    images; any other loss each computes of all images, which are gathered for it."""
    inferred: ClassVar[str] = ""
    """What no publication states and this implementation had to choose, in one sentence; empty if nothing."""

    forward: Callable[..., Tensor]

    def __init__(self, student: NetworkSpec, teacher: NetworkSpec | None, **options: object) -> None:  # noqa: ARG002
        super().__init__()
        check(type(self), self.name, options)
        if self.needs_teacher and teacher is None:
            raise RecipeError(f"{self.name}: compares the student with a teacher, and there is none; name one")

    @property
    def name(self) -> str:
        """Return the name under which a recipe knows the method."""
        return type(self).__module__.rpartition(".")[2]

    def require_same_classes(self, student: NetworkSpec, teacher: NetworkSpec) -> None:
        """Raise RecipeError unless both networks tell the same number of classes apart."""
        if student.classes != teacher.classes:
            numbers = f"the student has {student.classes}, the teacher {teacher.classes}"
            raise RecipeError(
                f"{self.name}: compares logits class by class, but {numbers}; train a teacher on these classes"
            )

    def channels(self, network: str, spec: NetworkSpec, tap: str, asked: str) -> int:
        """Return the number of channels of the map `tap`.

        Parameters
        ----------
        network
            "student" or "teacher", for the message.
        spec
            Its shape.
        tap
            The name of the map.
        asked
            The option and value that ask for it, e.g. ``tap = 'last'``, for the message.

        Raises
        ------
        RecipeError
            If the network does not offer that map; the message says what it does offer.
        """
        if tap not in spec.channels:
            near = difflib.get_close_matches(tap, spec.channels, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            offer = ", ".join(spec.channels) or "no maps"
            raise RecipeError(f"{self.name}.{asked}: the {network} offers {offer}, not {tap}{hint}")
        return spec.channels[tap]


def precise(x: Tensor) -> Tensor:
    """Return `x` in float32, or as it is if it is float64."""
    return x if x.dtype == torch.float64 else x.float()


def exact(x: Tensor) -> torch.autocast:
    """Return a context in which products of matrices are as precise as `x`, autocast or not."""
    return torch.autocast(x.device.type, enabled=False)
