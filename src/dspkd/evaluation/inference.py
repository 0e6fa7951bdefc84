"""Run a network over images and keep what it said."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dspkd.data.table import Table
from dspkd.evaluation.predictions import Predictions
from dspkd.types import Batch, Output


def predict(
    network: nn.Module, table: Table, batches: Iterable[Batch], *, device: torch.device, bf16: bool = False
) -> Predictions:
    """Return the network's logits for the images of `batches`, in their order.

    Parameters
    ----------
    network
        Called as ``network(images)`` in evaluation mode, answers with an `Output`; its mode is restored after.
    table
        That the batches' ``index`` points into.
    batches
        From `dspkd.data.loader.in_order`.
    device, half
        Where to compute, and whether in bfloat16.
    """
    training = network.training
    network.eval()
    predictions, _ = ask(lambda batch: network(batch.images), table, batches, device=device, bf16=bf16)
    network.train(training)
    return predictions


def ask(
    answer: Callable[[Batch], Output],
    table: Table,
    batches: Iterable[Batch],
    *,
    device: torch.device,
    bf16: bool = False,
) -> tuple[Predictions, NDArray[np.float32]]:
    """Return what `answer` says of the images, and the pooled vectors ``[N, D]``; arguments as of `predict`.

    `answer` is given each batch on `device`. A teacher's ``answer`` will do, and so will a network in evaluation mode.
    """
    logits, pooled, rows = [], [], []
    with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=bf16):
        for batch in batches:
            said = answer(batch.to(device))
            logits.append(_fetched(said.logits))
            pooled.append(_fetched(said.pooled))
            rows.append(batch.index)
    if device.type == "cuda":
        torch.cuda.synchronize(device)  # once, for all that is on its way
    shown = torch.cat(rows).numpy()
    predictions = Predictions(
        classes=table.classes,
        ids=tuple(table.ids[row] for row in shown),
        groups=tuple(table.groups[row] for row in shown),
        labels=table.labels[shown].astype(np.int64),
        logits=torch.cat(logits).numpy(),
    )
    return predictions, torch.cat(pooled).numpy()


def _fetched(values: Tensor) -> Tensor:
    """Return values in main memory, where those of a CUDA device may not have arrived yet."""
    return values.float().to("cpu", non_blocking=values.device.type == "cuda")
