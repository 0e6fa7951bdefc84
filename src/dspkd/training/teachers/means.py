r"""Means of a teacher's probabilities: over flips and quarter turns of an image, and over several teachers.

.. math:: z_k = \log \sum_m w_m\,\mathrm{softmax}(z_m)_k, \qquad \sum_m w_m = 1

The logits are logarithms of the mean probabilities, so that their softmax at temperature 1 is the mean. A term with a
temperature T reads softmax(z / T), which is not the mean of softmax(z_m / T).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType

import torch
from torch import Tensor

from dspkd.types import Batch

Turn = tuple[int, bool]
"""Quarter turns, after a left-right flip or none."""

_ALL: tuple[Turn, ...] = tuple((quarters, flip) for flip in (False, True) for quarters in range(4))

TURNS: Mapping[int, tuple[Turn, ...]] = MappingProxyType({1: _ALL[:1], 2: (_ALL[0], _ALL[4]), 8: _ALL})
"""The views of an image that a teacher averages, by their number: the image; and its left-right flip; all flips and
quarter turns, the dihedral group D4. The image as it is comes first."""

SHARPNESS = 5.0
"""How strongly a teacher's weight follows its agreement with the others (inferred)."""


def turned(images_BCHW: Tensor, turn: Turn) -> Tensor:
    """Return square images turned."""
    quarters, flip = turn
    return torch.rot90(images_BCHW.flip(3) if flip else images_BCHW, quarters, dims=(2, 3))


def log_mean(logits_MBK: Tensor, weights_MB: Tensor | None = None) -> Tensor:
    """Return ``[B, K]`` the logarithm of the mean probabilities; without weights, all have the same."""
    log_p_MBK = logits_MBK.float().log_softmax(dim=2)
    if weights_MB is None:
        return log_p_MBK.logsumexp(dim=0) - math.log(len(log_p_MBK))
    return (log_p_MBK + weights_MB.log()[:, :, None]).logsumexp(dim=0)


def agreement(logits_MBK: Tensor) -> Tensor:
    r"""Return ``[M, B]`` how far each of M >= 2 teachers agrees with the others on each image, in [0, 1].

    .. math:: a_m = \frac1{M-1} \sum_{n \ne m} \Big(1 - \frac{\mathrm{JS}(q_m, q_n)}{\log 2}\Big)

    with the Jensen-Shannon divergence of their probabilities.
    """
    log_q_MBK = logits_MBK.float().log_softmax(dim=2)
    one_M1BK, other_1MBK = log_q_MBK[:, None], log_q_MBK[None]
    middle_MMBK = torch.logaddexp(one_M1BK, other_1MBK) - math.log(2)
    to_middle_MMB = (one_M1BK.exp() * (one_M1BK - middle_MMBK)).sum(dim=3)
    alike_MMB = 1 - (to_middle_MMB + to_middle_MMB.transpose(0, 1)) / (2 * math.log(2))
    M = len(log_q_MBK)
    return ((alike_MMB.sum(dim=1) - 1) / (M - 1)).clamp(0, 1)  # without itself, with which it agrees fully


def weights_by_agreement(logits_MBK: Tensor) -> Tensor:
    r"""Return ``[M, B]`` weights :math:`\mathrm{softmax}_m(\kappa a_m)` with kappa `SHARPNESS`; see `agreement`.

    Inferred: MTAKD (*Scientific Reports* 2025, s41598-025-27038-1) weights teachers by their agreement on each input;
    its equations were not readable. Two teachers always have equal weights. Agreement is not truth: teachers of one
    family agree on the same mistakes.
    """
    return (SHARPNESS * agreement(logits_MBK)).softmax(dim=0)


def weights_by_label(logits_MBK: Tensor, batch: Batch) -> Tensor:
    r"""Return ``[M, B]`` weights that are higher the closer a teacher is to the label of an image.

    .. math:: w_m = \frac1{M-1} \Big(1 - \frac{e^{c_m}}{\sum_n e^{c_n}}\Big)

    with the cross-entropy :math:`c_m`; of mixed images, with the mixed label.

    Source: Zhang et al., *Confidence-Aware Multi-Teacher Knowledge Distillation* (CA-MKD), ICASSP 2022, from memory.
    """
    log_p_MBK = logits_MBK.float().log_softmax(dim=2)

    def entropy(labels_B: Tensor) -> Tensor:
        return -log_p_MBK.gather(2, labels_B.expand(len(log_p_MBK), -1)[:, :, None])[:, :, 0]

    entropy_MB = entropy(batch.labels)
    if batch.own_share is not None and batch.other_labels is not None:
        entropy_MB = batch.own_share * entropy_MB + (1 - batch.own_share) * entropy(batch.other_labels)
    return (1 - entropy_MB.softmax(dim=0)) / (len(entropy_MB) - 1)
