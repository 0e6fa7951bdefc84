"""Run a network over images and keep what it said."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from torch import nn

from dspkd.data.table import Table
from dspkd.evaluate.predictions import Predictions
from dspkd.types import Batch


def predict(
    network: nn.Module, table: Table, batches: Iterable[Batch], *, device: torch.device, half: bool = False
) -> Predictions:
    """Return the network's logits for the pictures of `batches`, in their order.

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
    logits, rows = [], []
    with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=half):
        for batch in batches:
            logits.append(network(batch.images.to(device, non_blocking=True)).logits.float().cpu())
            rows.append(batch.index)
    network.train(training)
    shown = torch.cat(rows).numpy()
    return Predictions(
        classes=table.classes,
        ids=tuple(table.ids[row] for row in shown),
        groups=tuple(table.groups[row] for row in shown),
        labels=table.labels[shown].astype(np.int64),
        logits=torch.cat(logits).numpy(),
    )
