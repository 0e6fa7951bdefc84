"""The base of every method: a module that computes a loss from two networks' outputs for one batch."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor, nn

from dspkd.errors import RecipeError
from dspkd.methods._options import check_values, options_of
from dspkd.types import NetworkSpec


class Term(nn.Module):
    """One term of a stage's objective.

    A method derives from this class, takes its options as keyword-only arguments with type and default, hands
    them to ``super().__init__`` to be checked, and defines
    ``forward(student: Output, teacher: Output | None, batch: Batch) -> Tensor``, a scalar. It guarantees:

    - its arithmetic is float32 (float64 for float64 inputs); only convolutions may run in the lower precision that
      autocast chooses, since a generator can cost more than the networks themselves;
    - no gradient flows to the teacher, unless `trains_teacher` is true;
    - loss and gradient are finite for a batch of one, for equal logits and for logits of 1e4.

    Its weight in the objective belongs to the stage. Its parameters are trained with the student and discarded when
    the stage ends.

    Parameters
    ----------
    student, teacher
        Shapes of the two networks; the teacher's is None where a stage has none.
    options
        The method's own options, checked against its signature.

    Raises
    ------
    RecipeError
        If an option does not fit the signature, if the method needs a teacher and there is none, or if it is `void`
        with the student's number of classes.
    """

    needs_teacher: ClassVar[bool] = True
    """Whether the term reads the teacher's output."""
    trains_teacher: ClassVar[bool] = False
    """Whether the term sends gradients to a trainable copy of the teacher (a stage's ``teacher_lr``)."""
    wants_rotated: ClassVar[bool] = False
    """Whether the term reads `Output.rotated`; the networks then process four images instead of one."""
    wants_strong_aug: ClassVar[bool] = False
    """Whether the term reads `Output.strong_aug`; the networks then process one more view of each image."""
    needs_one_label: ClassVar[bool] = False
    """Whether the term cannot be used with MixUp: it reads `Batch.labels` and not `Batch.other_labels`.
    A recipe that mixes images is then refused."""
    reads_labels: ClassVar[bool | None] = None
    """Whether the term reads labels; unlabelled images, whose label is -1, are then kept from it. None: it does if it
    has no teacher, or with `needs_one_label`. One that reads `Batch.labels` and `Batch.other_labels` beside a teacher
    sets this."""
    by_image: ClassVar[bool] = False
    """Whether the loss is a mean over images of values that each depend on one image only, apart from batch
    normalisation and random numbers of `Batch.draw`. If several processes share a batch, each then computes it for its
    own images; any other loss is computed on all images, gathered from the processes."""
    corrects_prior: bool = False
    """Whether the term, with its options, teaches predictions for equally common classes."""
    inferred: ClassVar[str] = ""
    """What no publication states and this implementation chose, in one sentence; empty if nothing."""

    forward: Callable[..., Tensor]

    def __init__(self, student: NetworkSpec, teacher: NetworkSpec | None, **options: object) -> None:
        super().__init__()
        # Of all classes: a method that derives from another one passes the options of that one. Where both have an
        # option of one name, what comes here is that of the class nearer to this one.
        classes = [cls for cls in type(self).__mro__ if issubclass(cls, Term) and cls is not Term]
        known = {name: option for cls in classes for name, option in options_of(cls).items()}
        check_values(known, self.name, options)
        if self.needs_teacher and teacher is None:
            raise RecipeError(f"{self.name}: compares the student with a teacher, and there is none; name one")
        if reason := self.void(student.classes, **options):
            raise RecipeError(f"{self.name}: teaches nothing about {student.classes} classes: {reason}")

    @classmethod
    def void(cls, classes: int, **options: object) -> str:  # noqa: ARG003
        """Return why the term, with these options, teaches nothing about so many classes; empty where it teaches."""
        return ""

    @property
    def labelled_only(self) -> bool:
        """Whether the term learns from labelled images alone; see `reads_labels`."""
        return self.needs_one_label or not self.needs_teacher if self.reads_labels is None else self.reads_labels

    @property
    def name(self) -> str:
        """Return the method's name in recipes."""
        return type(self).__module__.rpartition(".")[2]

    def require_same_classes(self, student: NetworkSpec, teacher: NetworkSpec) -> None:
        """Raise RecipeError unless both networks have the same number of classes."""
        if student.classes != teacher.classes:
            numbers = f"the student has {student.classes}, the teacher {teacher.classes}"
            raise RecipeError(
                f"{self.name}: compares logits class by class, but {numbers}; train a teacher on these classes"
            )

    def channels(self, network: str, spec: NetworkSpec, tap: str, setting: str) -> int:
        """Return the number of channels of the map `tap`.

        Parameters
        ----------
        network
            "student" or "teacher", for the message.
        spec
            Its shape.
        tap
            The name of the map.
        setting
            The option and value that require it, e.g. ``tap = 'last'``, for the message.

        Raises
        ------
        RecipeError
            If the network does not offer that map; the message lists those that it offers.
        """
        if tap not in spec.channels:
            near = difflib.get_close_matches(tap, spec.channels, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            offer = ", ".join(spec.channels) or "no maps"
            raise RecipeError(f"{self.name}.{setting}: the {network} offers {offer}, not {tap}{hint}")
        return spec.channels[tap]


def precise(x: Tensor) -> Tensor:
    """Return `x` in float32, or unchanged if it is float64."""
    return x if x.dtype == torch.float64 else x.float()


def exact(x: Tensor) -> torch.autocast:
    """Return a context in which matrix products have the precision of `x`, even under autocast."""
    return torch.autocast(x.device.type, enabled=False)
