"""Open files and tensors as images. A tensor is recognised by its class, so that torch need not be installed."""

from __future__ import annotations

from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from dspkd.deploy.bundle.preprocess import AnyImage
from dspkd.errors import DataError

ImageLike = AnyImage | IO[bytes] | Any
"""An `AnyImage`, a file opened for reading bytes, or a torch tensor: ``[3, H, W]``, uint8 or floats in [0, 1], RGB."""


def as_image(image: ImageLike) -> AnyImage:
    """Return what `dspkd.deploy.bundle.preprocess.decode` takes: bytes of a file, an array of a tensor.

    Raises
    ------
    DataError
        A file was not opened for bytes; a tensor is no image, or one that was normalised already.
    """
    if type(image).__module__.partition(".")[0] == "torch" and hasattr(image, "detach"):
        tensor = image.detach().cpu()
        return _of_tensor((tensor.float() if tensor.is_floating_point() else tensor).numpy())  # numpy has no bfloat16
    if hasattr(image, "read") and not hasattr(image, "__fspath__"):
        content = image.read()
        if not isinstance(content, bytes):
            raise DataError(f"an open file: it gives {type(content).__name__}, not bytes; open it with mode 'rb'")
        return content
    known: AnyImage = image
    return known


def _of_tensor(values: NDArray[Any]) -> NDArray[np.uint8]:
    if values.ndim != 3 or values.shape[0] != 3 or not values.size:
        raise DataError(f"a tensor: {list(values.shape)}; want [3, H, W], one image in RGB")
    if values.dtype == np.uint8:
        return np.ascontiguousarray(values.transpose(1, 2, 0))
    if not np.issubdtype(values.dtype, np.floating) or not (values.min() >= 0 and values.max() <= 1):
        raise DataError(
            f"a tensor: {values.dtype} from {values.min():.3g} to {values.max():.3g}; want uint8, or floats in [0, 1] "
            "before they are normalised"
        )
    return np.rint(values.transpose(1, 2, 0) * 255.0).astype(np.uint8)
