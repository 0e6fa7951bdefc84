"""Transforms from a decoded image to the square input of a network.

A training image is a pure function of (image, view, seed): random numbers come from a hash of these. Loader processes,
batch order and resumption then cannot change it, and a teacher's outputs for it can be cached.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional as F
from torchvision import transforms
from torchvision.transforms import v2

from dspkd.data import artefacts
from dspkd.data.decode import centre
from dspkd.runtime.seeds import seed_for

RGB = NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """Random-resized crop, rotation, flips and RandAugment.

    Crop, rotation and flips are one affine map from the crop to the image, so that pixels are interpolated once
    (bilinear) and the corners of a rotated crop show the surrounding image, where there is any, instead of black.

    Parameters
    ----------
    size
        Side of the result, in pixels.
    min_area
        Smallest share of the image's area that the crop covers, in (0, 1]; its aspect ratio is between 3:4 and 4:3.
    rotation
        Largest angle, in degrees; uniform in both directions, about the crop's centre. Black lies outside the image.
    flips
        Mirror left-right and top-bottom, each with probability 1/2.
    num_ops, magnitude
        RandAugment's; 0 operations switch it off. The paper names RandAugment and gives no numbers.
    erasing
        Probability that a rectangle of 2 to 33 % of the result, of aspect ratio 3:10 to 10:3, becomes black.
    artefacts
        What is removed from the image when it is decoded; see `dspkd.data.decode.decode`.

    Notes
    -----
    `decode_side` is the short side at which to decode an image: 1.5 times `size`, so that a crop of less than half the
    image is not enlarged, and the largest is not shrunk so far that it aliases.

    Source: Cubuk et al., *RandAugment: Practical automated data augmentation with a reduced search space*, 2020;
    random-resized crop: Szegedy et al., *Going deeper with convolutions*, 2015; erasing: Zhong et al., *Random Erasing
    Data Augmentation*, AAAI 2020, as torchvision does it.
    """

    size: int
    min_area: float = 0.3
    rotation: float = 180.0
    flips: bool = True
    num_ops: int = 2
    magnitude: int = 9
    erasing: float = 0.0
    artefacts: tuple[str, ...] = ()

    @property
    def decode_side(self) -> int:
        """Return the short side, in pixels, at which to decode."""
        return self.size * 3 // 2

    @property
    def about(self) -> dict[str, object]:
        """Return, as plain data, what training images depend on besides (image, view, seed).

        Options added after the first teacher caches are left out where they are off, so that old caches still match.
        """
        settings = asdict(self)
        del settings["artefacts"]
        if not self.erasing:
            del settings["erasing"]
        return {"transform": {"name": type(self).__name__, **settings}, **artefacts.about(self.artefacts)}

    def __call__(self, image: RGB, *, name: str, view: int, seed: int) -> Tensor:
        """Return view `view` of the image called `name`: ``[3, size, size]`` float32 in [0, 1]."""
        return to_unit(self.pixels(image, name=name, view=view, seed=seed))

    def pixels(self, image: RGB, *, name: str, view: int, seed: int) -> RGB:
        """Return the same view as ``[size, size, 3]`` uint8: a quarter of the memory of float32."""
        return self.pixels_at(self.size, image, image.shape[:2], name=name, view=view, seed=seed)

    def pixels_at(self, size: int, image: RGB, drawn_on: tuple[int, ...], *, name: str, view: int, seed: int) -> RGB:
        """Return the same view at another size: the same crop, rotation, flips, operations and erased rectangle.

        Parameters
        ----------
        size
            Side of the result, in pixels.
        image
            The decoded image, of any size: the result has the detail that is in this one.
        drawn_on
            Rows and columns of the image that `pixels` receives for this view.
        name, view, seed
            As for `pixels`.
        """
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed_for(seed, "augment", name, view))
            a, b, c, d, e, f = self._draw_map(*drawn_on)
            down, across = (now / then for now, then in zip(image.shape, drawn_on, strict=False))
            finer = self.size / size
            crop = Image.fromarray(image).transform(
                (size, size),
                Image.Transform.AFFINE,
                (across * a * finer, across * b * finer, across * c, down * d * finer, down * e * finer, down * f),
                Image.Resampling.BILINEAR,
            )
            if self.num_ops:
                crop = v2.RandAugment(num_ops=self.num_ops, magnitude=self.magnitude)(crop)
            if not self.erasing:
                return np.asarray(crop)
            kept_1HW: Tensor = v2.RandomErasing(p=self.erasing)(torch.ones(1, self.size, self.size))
            kept_HW1 = F.interpolate(kept_1HW[None], size=(size, size), mode="nearest-exact")[0].permute(1, 2, 0)
            return np.asarray(crop) * kept_HW1.numpy().astype(np.uint8)

    def _draw_map(self, rows: int, columns: int) -> tuple[float, ...]:
        """Return the six numbers of the random map from (column, row) of the result to (column, row) of the image."""
        top, left, height, width = transforms.RandomResizedCrop.get_params(
            torch.empty(3, rows, columns, device="meta"), scale=[self.min_area, 1.0], ratio=[3 / 4, 4 / 3]
        )
        turn = math.radians(self.rotation) * (2 * torch.rand(()).item() - 1)
        mirror = torch.where(torch.rand(2) < 0.5, -1.0, 1.0).tolist() if self.flips else (1.0, 1.0)
        across, down = width * mirror[0] / self.size, height * mirror[1] / self.size
        a, b, d, e = across * math.cos(turn), -down * math.sin(turn), across * math.sin(turn), down * math.cos(turn)
        middle = self.size / 2
        return a, b, left + width / 2 - (a + b) * middle, d, e, top + height / 2 - (d + e) * middle


@dataclass(frozen=True, kw_only=True)
class CentreCrop:
    """The transform of evaluation: the short side becomes 8/7 of `size`, and the centre is cropped.

    At 224 px this is the usual resize to 256 and crop to 224. `artefacts` as for `Augmentation`.
    """

    size: int
    artefacts: tuple[str, ...] = ()

    @property
    def decode_side(self) -> int:
        """Return the short side, in pixels, at which to decode."""
        return round(self.size * 8 / 7)

    def __call__(self, image: RGB, *, name: str = "", view: int = 0, seed: int = 0) -> Tensor:  # noqa: ARG002
        """Return ``[3, size, size]`` float32 in [0, 1]; only `image` matters."""
        return to_unit(self.pixels(image))

    def pixels(self, image: RGB, *, name: str = "", view: int = 0, seed: int = 0) -> RGB:  # noqa: ARG002
        """Return the same image as ``[size, size, 3]`` uint8."""
        return centre(image, self.size)


def strengthened(image_3HW: Tensor, *, name: str, view: int, seed: int) -> Tensor:
    """Return a strongly augmented training image: two more operations of RandAugment at magnitude 10 of 30.

    A pure function of (image, view, seed), as the image itself.

    Source: the second view of Jin et al., *Multi-level Logit Distillation*, CVPR 2023.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed_for(seed, "strong", name, view))
        stronger_3HW: Tensor = v2.RandAugment(num_ops=2, magnitude=10)((image_3HW * 255).round().to(torch.uint8))
    return stronger_3HW.float() / 255


def to_unit(pixels: RGB) -> Tensor:
    """Return uint8 values 0..255, ``[..., H, W, 3]``, as ``[..., 3, H, W]`` float32 in [0, 1].

    In memory the channels stay last, the layout of the networks, so that converting a batch moves no data.
    """
    return torch.from_numpy(pixels.astype(np.float32)).movedim(-1, -3).div_(255)
