"""The two networks of a call of `dspkd.distill`, checked, with their feature maps."""

from __future__ import annotations

from contextlib import ExitStack

from torch import Tensor, nn

from dspkd.errors import RecipeError
from dspkd.models.adapted import Adapted
from dspkd.models.tapped import Tapped


def require_networks(student: nn.Module, teacher: nn.Module | None) -> None:
    """Refuse what is no network, a student without trainable parameters, and a teacher that shares some with it.

    Raises
    ------
    RecipeError
        Names the network and what to change.
    """
    for role, network in {"student": student, "teacher": teacher}.items():
        if not isinstance(network, nn.Module) and not (role == "teacher" and network is None):
            by_name = f", e.g. dspkd.models.zoo.make({network!r}, classes=8)" if isinstance(network, str) else ""
            raise RecipeError(f"{role}: {network!r} is a {type(network).__name__}; want a torch module{by_name}")
    trained = {id(value) for value in student.parameters() if value.requires_grad}
    if not trained:
        raise RecipeError(
            "student: no parameter is trainable; a network that was the teacher of an earlier call stays frozen: "
            "student.requires_grad_(True)"
        )
    if teacher is not None and not trained.isdisjoint(map(id, teacher.parameters())):
        raise RecipeError(
            "teacher: shares trainable parameters with the student, which would be frozen with it; pass a copy: "
            "copy.deepcopy(teacher)"
        )


def adapted(network: nn.Module, sample: Tensor, role: str, stack: ExitStack) -> Tapped | Adapted:
    """Return the network with its feature maps, found on the images of `sample`; `stack` removes the hooks.

    Raises
    ------
    RecipeError
        It cannot read these images: another type or shape; or it has a single output; or see `Adapted`.
    """
    dtype = next((value.dtype for value in network.parameters()), sample.dtype)
    mixed = RecipeError(
        f"{role}: its weights are {dtype} and the loader's images {sample.dtype}; both must be of one type, e.g. "
        f"{role}.float() and images.float()"
    )
    if isinstance(network, Tapped):
        if dtype != sample.dtype:
            raise mixed
        return network
    try:
        found = Adapted(network, sample, role=role)
    except RuntimeError as error:
        if dtype != sample.dtype:
            raise mixed from error
        first_line = str(error).partition("\n")[0]
        raise RecipeError(
            f"{role}: cannot read the loader's images, {list(sample.shape)}: {first_line}; want images [B, 3, H, W] of "
            "the size and number of channels that it was built for"
        ) from error
    stack.callback(found.release)
    if found.spec.classes < 2:
        raise RecipeError(
            f"{role}: has one output, [B, 1]; want a logit for each class, two where there are two classes"
        )
    return found
