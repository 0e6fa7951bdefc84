"""Networks that torch.compile makes quicker."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn

from dspkd.errors import RunError
from dspkd.types import Output


def compiled(network: nn.Module) -> Callable[[Tensor], Output]:
    """Return what answers as `network` does, with the weights and in the mode that it has when it is called.

    The network itself stays as it was: the names of its weights, what it answers when called by its own name, its
    copies. Answers and gradients differ from its own by rounding; random numbers are drawn as it draws them. The first
    call compiles, the backward pass to it once more; so does each call with images of another shape.

    Raises
    ------
    RunError
        When it is called: there is no compiler, or it fails.
    """
    quick = cast("Callable[[Tensor], Output]", torch.compile(network, options={"fallback_random": True}))

    def answer(images: Tensor) -> Output:
        try:
            return quick(images)
        except torch._dynamo.exc.TorchDynamoException as error:
            raise RunError(
                f"machine.compile = true: torch.compile failed: {str(error).strip().splitlines()[0]}; set it to false. "
                "It needs a C++ compiler, and where an earlier run was killed while compiling, it may have left "
                "half a file in $TORCHINDUCTOR_CACHE_DIR (by default torchinductor_<user> among temporary files): "
                "delete that folder"
            ) from error

    return answer
