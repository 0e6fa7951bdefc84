"""Class priors: the one that a network's logits reflect, and its removal from a teacher's logits."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from dspkd.errors import RecipeError
from dspkd.methods._base import Term
from dspkd.types import NetworkSpec

ClassWeights = Literal["none", "inverse", "sqrt_inverse", "effective"]


def weights_of(kind: ClassWeights, images_K: Tensor, effective_beta: float) -> Tensor:
    """Return ``[K]`` the weights of the classes, up to a common factor; the kinds are those of `labels`."""
    if kind == "effective":
        # 1 - beta^N in full precision, however close to 1 beta is.
        return -1 / torch.expm1(images_K * images_K.new_tensor(effective_beta).log())
    return images_K ** {"none": 0.0, "inverse": -1.0, "sqrt_inverse": -0.5}[kind]


def images_of(spec: NetworkSpec, setting: str) -> Tensor:
    """Return the training images of each class, ``[K]`` float64; RecipeError where one is unknown or 0."""
    counts = spec.class_counts
    if not counts:
        raise RecipeError(f"{setting}: needs the training images per class, and there is no training set")
    if 0 in counts:
        empty = ", ".join(str(c) for c, count in enumerate(counts) if count == 0)
        raise RecipeError(f"{setting}: no training image is of class {empty}; merge or drop it")
    return torch.tensor(counts, dtype=torch.float64)


def class_prior(
    spec: NetworkSpec, *, class_weights: ClassWeights, effective_beta: float, logit_adjustment: float
) -> tuple[float, ...]:
    r"""Return the class shares that logits reflect once `labels` with these options has trained them.

    .. math:: \pi_c \propto (w_c M_c)^{1 - \tau}

    with :math:`M_c` the images of class c drawn in an epoch, :math:`w_c` its weight and :math:`\tau` the logit
    adjustment of the training loss. 0 for a class without images; empty where the training images are unknown.

    Source: Menon et al., *Long-Tail Learning via Logit Adjustment*, ICLR 2021 (Theorem 1).
    """
    # On the CPU even where modules are built on the meta device: these are numbers, not parameters.
    images_K = torch.tensor(spec.class_counts, dtype=torch.float64, device="cpu")
    draws_K = torch.tensor(spec.class_draws or spec.class_counts, dtype=torch.float64, device="cpu")
    present = images_K > 0
    weighted = draws_K[present] * weights_of(class_weights, images_K[present], effective_beta)
    shares_K = torch.zeros_like(images_K)
    shares_K[present] = ((1 - logit_adjustment) * weighted.log()).softmax(0)
    return tuple(shares_K.tolist())


def adjustment(term: Term, teacher: NetworkSpec, prior: float | Literal["uniform"]) -> Tensor:
    r"""Return ``[K]`` what to subtract from the teacher's logits: :math:`\tau \log \pi`, or zeros for ``prior`` = 0.

    Raises
    ------
    RecipeError
        If the teacher's prior is needed and unknown, or 0 for a class.
    """
    tau = 1.0 if prior == "uniform" else float(prior)
    if tau == 0:
        return torch.zeros(teacher.classes)
    place = f"{term.name}.prior = {prior!r}"
    if not teacher.class_prior:
        raise RecipeError(
            f"{place}: the class prior that the teacher was trained with is unknown; name the folder of a run that "
            "learned from labels, or set prior to 0"
        )
    if 0 in teacher.class_prior:
        raise RecipeError(f"{place}: the teacher was trained without images of a class; train one with all classes")
    return (tau * torch.tensor(teacher.class_prior, dtype=torch.float64).log()).float()
