"""Artefact removal: hair, uneven light, dark corners, a colour cast.

The paper removes "pseudo-shadows" (probably image artefacts) without a description. These are common methods, none of
them claimed to be the paper's. Each is a deterministic function from ``[H, W, 3]`` uint8 RGB to the same shape and
type; lengths are shares of the shorter side, so that the result does not depend on the image's size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from types import ModuleType

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dspkd.errors import DataError, suggest

RGB = NDArray[np.uint8]


def hair(image: RGB) -> RGB:
    r"""Remove dark hairs and fill them from the pixels beside them.

    .. math:: h = \max_\theta h_\theta - \operatorname*{median}_\theta h_\theta, \qquad
              h_\theta = \delta(g \bullet \ell_{\theta + 90°} - g) \circ L_\theta

    with g the brightness, :math:`\bullet` a closing along a line of 4 % of the shorter side, :math:`\delta` a dilation
    by one pixel, :math:`\circ` an opening along a line of 15 %, and 12 directions: how much darker a pixel is than the
    pixels on both sides of a straight segment that it is part of. The median is 0 at a hair and at crossing hairs, but
    not in pigment network, which has lines in all directions. Where h is above 18 of 255 there is hair; it is replaced
    by the Gaussian-weighted mean of the pixels around it.

    Notes
    -----
    Light hair, stubble and hair wider than 4 % stay. Other dark lines are removed too: pen, ruler, streaks. The
    brightness is that of the brightest channel, in which red vessels are faint; dark vessels are removed as well.

    Raises
    ------
    DataError
        OpenCV is not installed.

    Source: black-hat, after Lee et al., *DullRazor: A software approach to hair removal from images*, Computers in
    Biology and Medicine 1997. Opening, median and all numbers are inferred.
    """
    cv2 = _opencv()
    side = min(image.shape[:2])
    brightness_HW = image.max(axis=2)
    lines_DHW = []
    for angle in np.arange(12) * np.pi / 12:
        darker_HW = cv2.morphologyEx(brightness_HW, cv2.MORPH_BLACKHAT, _line(0.04 * side, angle + np.pi / 2))
        wider_HW = cv2.dilate(darker_HW, np.ones((3, 3), np.uint8))
        lines_DHW.append(cv2.morphologyEx(wider_HW, cv2.MORPH_OPEN, _line(0.15 * side, angle)))
    hair_HW = np.max(lines_DHW, axis=0) - np.median(lines_DHW, axis=0)
    return _fill(image, hair_HW > 18, spread=max(1.0, 0.012 * side))


def shading(image: RGB) -> RGB:
    r"""Even out the light: divide by a smooth surface fitted to the brightness of the image's border.

    .. math:: v = V\,\bar z / z(x, y), \qquad \log z = p_1 x^2 + p_2 y^2 + p_3 xy + p_4 x + p_5 y + p_6

    with V each channel and :math:`\bar z` the geometric mean of z over the image, which keeps the overall brightness.
    z is fitted by least squares to the brightest channel on the outer tenth of the image, where skin is more likely
    than lesion. Pixels below 45 % of the brightest tenth (dark corners) are excluded, and then, three times, pixels
    that deviate by more than twice the typical deviation (hair, a lesion at the border).

    Notes
    -----
    The gain is limited to 1/2 to 2. An image with less than a tenth of its border lit stays as it is. A lesion that
    fills the image is taken for a shadow and made paler.

    Source: after Cavalcanti, Scharcanski, *Automated prescreening of pigmented skin lesions using standard cameras*,
    Computerized Medical Imaging and Graphics 2011. Deviation: they fit to four corners; the border, the logarithm,
    the refitting and the limits are inferred.
    """
    height, width = image.shape[:2]
    y_HW, x_HW = np.meshgrid(np.linspace(-1, 1, height), np.linspace(-1, 1, width), indexing="ij")
    terms_HW6 = np.stack([x_HW**2, y_HW**2, x_HW * y_HW, x_HW, y_HW, np.ones_like(x_HW)], axis=2)
    border_HW = np.maximum(np.abs(x_HW), np.abs(y_HW)) > 0.8
    brightness_HW = image.max(axis=2)
    lit_HW = border_HW & (brightness_HW >= _dark(brightness_HW))
    if lit_HW.sum() < 0.1 * border_HW.sum():
        return image.copy()
    terms_N6, light_N = terms_HW6[lit_HW], np.log1p(brightness_HW[lit_HW].astype(np.float64))
    used_N = np.ones(len(light_N), bool)
    for _ in range(4):
        surface_6 = np.linalg.lstsq(terms_N6[used_N], light_N[used_N], rcond=None)[0]
        off_N = np.abs(light_N - terms_N6 @ surface_6)
        used_N = off_N <= 2 * 1.4826 * np.median(off_N)
    log_z_HW = terms_HW6 @ surface_6
    gain_HW = np.exp(log_z_HW.mean() - log_z_HW).clip(0.5, 2)
    return _to_uint8(image * gain_HW[..., None])


def dark_corner(image: RGB) -> RGB:
    """Crop away the dark corners of a round lens, and resize the rest to the size of the image.

    Pixels are dark if they are below 45 % of the brightest tenth and connected to a corner. The crop is the largest
    rectangle of the image's aspect ratio, about the centre of the pixels that are not dark, with at most 0.5 % dark
    pixels; bilinear. An image without dark corners, or whose rectangle would be less than half its height (a lesion in
    a corner), stays as it is.

    Source: none; inferred.
    """
    height, width = image.shape[:2]
    brightness_HW = image.max(axis=2)
    pieces_HW, _ = _ndimage().label(brightness_HW < _dark(brightness_HW))
    corners = {int(pieces_HW[row, column]) for row in (0, -1) for column in (0, -1)} - {0}
    dark_HW = np.isin(pieces_HW, list(corners))
    lit = np.argwhere(~dark_HW)
    middle = (lit.min(axis=0) + lit.max(axis=0) + 1) / 2
    for share in np.arange(1.0, 0.49, -0.01):
        kept = np.array([height, width]) * share
        top, left = (np.clip(middle - kept / 2, 0, np.array([height, width]) - kept)).round().astype(int)
        bottom, right = top + round(kept[0]), left + round(kept[1])
        if dark_HW[top:bottom, left:right].mean() <= 0.005:
            if share == 1:
                return image.copy()
            cut = Image.fromarray(image[top:bottom, left:right])
            return np.array(cut.resize((width, height), Image.Resampling.BILINEAR))
    return image.copy()


def colour_constancy(image: RGB) -> RGB:
    r"""Remove a colour cast: shades of grey with p = 6.

    .. math:: e_c = \Big(\frac1{HW} \sum V_c^6\Big)^{1/6}, \qquad v_c = V_c\, \frac{\lVert e \rVert_2}{\sqrt3\, e_c}

    with e the colour of the light, estimated for each channel c; the result is as under white light. A black image
    stays black.

    Source: Finlayson, Trezzi, *Shades of Gray and Colour Constancy*, Color Imaging Conference 2004; p = 6 on
    dermoscopic images: Barata, Celebi, Marques, *Improving dermoscopy image classification using color constancy*,
    IEEE Journal of Biomedical and Health Informatics 2015. Deviation: they undo gamma first where it is known.
    """
    light_3 = (image.astype(np.float64) ** 6).mean(axis=(0, 1)) ** (1 / 6)
    gain_3 = np.linalg.norm(light_3) / (np.sqrt(3) * np.maximum(light_3, 1e-6))
    return _to_uint8(image * gain_3)


REMOVERS: Mapping[str, Callable[[RGB], RGB]] = {
    step.__name__: step for step in (hair, shading, dark_corner, colour_constancy)
}
"""``{name in a recipe: function that removes the artefact}``."""


def check(names: Iterable[str]) -> None:
    """Raise DataError unless the names are different, each is one of `REMOVERS`, and the libraries are installed."""
    seen: set[str] = set()
    for name in names:
        if name not in REMOVERS:
            raise DataError(f"no artefact is called {name!r}; {suggest(name, REMOVERS)}")
        if name in seen:
            raise DataError(f"{name!r} is there twice; name it once, at its place in the order")
        seen.add(name)
    if "hair" in seen:
        _opencv()
    if seen & {"hair", "dark_corner"}:
        _ndimage()


def about(names: Sequence[str]) -> dict[str, object]:
    """Return, as plain data, what pixels without these artefacts depend on besides the image; empty for no names."""
    if not names:
        return {}
    import scipy

    opencv = f", opencv {_opencv().__version__}" if "hair" in names else ""
    return {"artefacts": list(names), "removed by": f"numpy {np.__version__}, scipy {scipy.__version__}{opencv}"}


def removed(image: RGB, names: Sequence[str]) -> RGB:
    """Return the image with these artefacts removed, in this order.

    Raises
    ------
    DataError
        See `check`.
    """
    check(names)
    for name in names:
        image = REMOVERS[name](image)
    return image


def _opencv() -> ModuleType:
    try:
        import cv2
    except ImportError:
        raise DataError("removing hair needs OpenCV, which is not installed; pip install 'dspkd[artefacts]'") from None
    return cv2


def _ndimage() -> ModuleType:
    try:
        from scipy import ndimage
    except ImportError:
        raise DataError(
            "removing hair or dark corners needs SciPy, which is not installed; pip install 'dspkd[artefacts]'"
        ) from None
    return ndimage  # type: ignore[no-any-return]


def _line(length: float, angle: float) -> NDArray[np.uint8]:
    """Return a structuring element: a line of `length` rounded to an odd number of pixels, at least 5."""
    half = max(2, round(length / 2))
    along_N = np.linspace(-half, half, 8 * half + 1)
    element = np.zeros((2 * half + 1, 2 * half + 1), np.uint8)
    element[
        half + np.rint(along_N * np.sin(angle)).astype(int), half + np.rint(along_N * np.cos(angle)).astype(int)
    ] = 1
    return element


def _dark(brightness_HW: NDArray[np.uint8]) -> float:
    """Return the brightness below which a pixel may belong to a dark corner."""
    return 0.45 * float(np.percentile(brightness_HW, 90))


def _fill(image: RGB, hole_HW: NDArray[np.bool_], *, spread: float) -> RGB:
    """Replace the pixels of a hole by the Gaussian-weighted mean of the pixels around it."""
    filled = image.copy()
    kept_HW = (~hole_HW).astype(np.float32)
    ndimage = _ndimage()
    weight_HW = ndimage.gaussian_filter(kept_HW, spread)
    reached_HW = hole_HW & (weight_HW > 1e-3)
    for c in range(3):
        sum_HW = ndimage.gaussian_filter(image[..., c] * kept_HW, spread)
        filled[reached_HW, c] = np.rint(sum_HW[reached_HW] / weight_HW[reached_HW])
    return filled


def _to_uint8(values_HW3: NDArray[np.float64]) -> RGB:
    pixels: RGB = np.rint(values_HW3.clip(0, 255)).astype(np.uint8)
    return pixels
