"""MixUp and CutMix: images mixed in pairs, and their labels with them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from torchvision.transforms import v2

from dspkd.types import Batch


@dataclass(frozen=True, kw_only=True)
class Mixing:
    r"""Mix each image of a batch with the one before it; the first with the last.

    .. math:: x_b \leftarrow \lambda x_b + (1 - \lambda) x_{b-1}, \qquad \lambda \sim \mathrm{Beta}(\alpha, \alpha)

    by MixUp; CutMix pastes a rectangle of :math:`x_{b-1}` into :math:`x_b`, and :math:`\lambda` becomes the share of
    the image that remains. One :math:`\lambda` for the whole batch; if both are on, each batch gets one of them, with
    probability 1/2.

    Parameters
    ----------
    mixup, cutmix
        :math:`\alpha > 0` of each; 0 switches it off. At least one is above 0.

    Notes
    -----
    Training batches are in random order, so neighbours are random pairs. Strongly augmented images are mixed in
    the same way. `Batch.index` and `Batch.views` stay those of :math:`x_b`; `Batch.other_index` and `Batch.other_views`
    are those of :math:`x_{b-1}`.

    Source: Zhang et al., *mixup: Beyond Empirical Risk Minimization*, ICLR 2018; Yun et al., *CutMix: Regularization
    Strategy to Train Strong Classifiers with Localizable Features*, ICCV 2019; pairs and draws as in torchvision, the
    choice between both as in its training script.
    """

    mixup: float = 0.0
    cutmix: float = 0.0

    def __call__(self, batch: Batch, *, seed: int) -> Batch:
        """Mix a batch; a pure function of (batch, seed). Sets `Batch.own_share`, and what is `other` in the batch."""
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            ways = [way(alpha=a) for way, a in ((v2.MixUp, self.mixup), (v2.CutMix, self.cutmix)) if a]
            mix = ways[int(torch.randint(len(ways), ()))]
            drawn = {"labels": None, "batch_size": len(batch), **mix.make_params([batch.images])}
        larger = batch.larger and _mixed(mix, batch.larger, _enlarged(drawn, batch.larger, batch))
        share = drawn["lam"] if isinstance(mix, v2.MixUp) else drawn["lam_adjusted"]
        soft = batch.soft_labels
        return replace(
            _mixed(mix, batch, drawn),
            larger=larger,
            other_labels=batch.labels.roll(1),
            other_index=batch.index.roll(1),
            other_views=batch.views.roll(1),
            own_share=torch.full((len(batch),), share),
            soft_labels=soft if soft is None else share * soft + (1 - share) * soft.roll(1, dims=0),
        )


def _mixed(mix: v2.MixUp | v2.CutMix, batch: Batch, drawn: dict[str, Any]) -> Batch:
    strong_aug = None if batch.strong_aug is None else mix.transform(batch.strong_aug, drawn)
    return replace(batch, images=mix.transform(batch.images, drawn), strong_aug=strong_aug)


def _enlarged(drawn: dict[str, Any], larger: Batch, batch: Batch) -> dict[str, Any]:
    """Return what was drawn for `batch` for its larger images: the rectangle of CutMix is enlarged with them."""
    scale = larger.images.shape[2] / batch.images.shape[2]
    return {**drawn, "box": tuple(round(scale * edge) for edge in drawn["box"])} if "box" in drawn else drawn


class Segment(NamedTuple):
    """The images of one kind, labelled or not, in a share of a batch.

    Attributes
    ----------
    loaded
        Places in the whole batch; where images are mixed, first the one before the first, if another share has it.
    before
        Number of images loaded for mixing alone.
    """

    loaded: list[int]
    before: int

    @classmethod
    def of(cls, kind: range, mine: range, *, mixed: bool) -> Segment | None:
        """Return those of `kind` that are in the share `mine`; None where none is."""
        own = range(max(kind.start, mine.start), min(kind.stop, mine.stop))
        if not own:
            return None
        if not mixed or len(own) == len(kind):
            return cls(list(own), 0)
        before = kind[(own.start - kind.start - 1) % len(kind)]
        return cls([before, *own], 1)
