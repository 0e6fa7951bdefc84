"""Networks compiled with torch.compile."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn

from dspkd.errors import RunError
from dspkd.types import Output


def compiled(network: nn.Module) -> Callable[[Tensor], Output]:
    """Return a function that computes the output of `network`, compiled, with its current weights and mode.

    The network itself is not changed: neither the names of its weights nor its own `forward` nor its copies. Outputs
    and gradients differ from its own by rounding; random numbers are the same. The first call and its backward pass
    compile, as does each call with images of another shape.

    Raises
    ------
    RunError
        When the function is called: there is no compiler, or it fails.
    """
    forward = cast("Callable[[Tensor], Output]", torch.compile(network, options={"fallback_random": True}))

    def answer(images: Tensor) -> Output:
        try:
            return forward(images)
        except torch._dynamo.exc.TorchDynamoException as error:
            raise RunError(
                f"machine.compile = true: torch.compile failed: {str(error).strip().splitlines()[0]}; set it to false. "
                "It needs a C++ compiler, and an earlier run that was killed while compiling may have left an "
                "incomplete file in $TORCHINDUCTOR_CACHE_DIR (by default torchinductor_<user> among temporary files): "
                "delete that folder"
            ) from error

    return answer
