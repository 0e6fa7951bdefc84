"""Run a network over images and keep its logits."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dspkd.data.table import Table
from dspkd.evaluation.predictions import Predictions
from dspkd.models.modes import evaluating
from dspkd.types import Batch, Output


def predict(
    network: nn.Module, table: Table, batches: Iterable[Batch], *, device: torch.device, bf16: bool = False
) -> Predictions:
    """Return the network's logits for the images of `batches`, in their order.

    Parameters
    ----------
    network
        Called as ``network(images)`` in evaluation mode, returns an `Output`; its mode is restored after.
    table
        The table that the batches' ``index`` refers to.
    batches
        From `dspkd.data.loader.in_order`.
    device, bf16
        Where to compute, and whether in bfloat16.
    """
    with evaluating(network):
        predictions, _ = predict_with_features(
            lambda batch: network(batch.images), table, batches, device=device, bf16=bf16
        )
    return predictions


def predict_with_features(
    answer: Callable[[Batch], Output],
    table: Table,
    batches: Iterable[Batch],
    *,
    device: torch.device,
    bf16: bool = False,
) -> tuple[Predictions, NDArray[np.float32]]:
    """Return the predictions of `answer` and the pooled vectors ``[N, D]``; other arguments as of `predict`.

    `answer` gets each batch on `device`: a teacher's ``answer``, or a network in evaluation mode.
    """
    logits, pooled, rows = [], [], []
    with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=bf16):
        for batch in batches:
            output = answer(batch.to(device))
            logits.append(_to_cpu(output.logits))
            pooled.append(_to_cpu(output.pooled))
            rows.append(batch.index)
    if device.type == "cuda":
        torch.cuda.synchronize(device)  # once, for all copies under way
    indices = torch.cat(rows).numpy()
    predictions = Predictions(
        classes=table.classes,
        ids=tuple(table.ids[row] for row in indices),
        groups=tuple(table.groups[row] for row in indices),
        labels=table.labels[indices].astype(np.int64),
        logits=torch.cat(logits).numpy(),
    )
    return predictions, torch.cat(pooled).numpy()


def _to_cpu(values: Tensor) -> Tensor:
    """Copy values to main memory; a copy from CUDA may still be under way on return."""
    return values.float().to("cpu", non_blocking=values.device.type == "cuda")
