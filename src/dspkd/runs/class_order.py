"""Whether a network that was trained elsewhere has the data's classes in their order."""

from __future__ import annotations

import numpy as np

from dspkd.errors import WeightsError
from dspkd.evaluation.inference import predict
from dspkd.evaluation.predictions import Predictions
from dspkd.evaluation.teacher_quality import level
from dspkd.runs import build
from dspkd.runs.context import RunContext

IMAGES = 1_000
"""Images on which the order of the classes is checked, at most."""


def require_order(context: RunContext) -> None:
    """Check on images that are not for testing that the classifier has the data's classes, in their order.

    Warns where another order fits better, though this one is better than guessing. The other order is found on one half
    of the images and measured on the other.

    Raises
    ------
    WeightsError
        The network is not shown to be better than guessing.
    """
    rows = np.concatenate([context.split.rows(part) for part in ("train", "val")])
    rows = rows[:: -(-len(rows) // IMAGES)]
    loader = build.eval_loader(context.recipe, context.table, rows, context.device, listener=context.listener)
    predictions = predict(context.student, context.table, loader, device=context.device, bf16=context.bf16)
    classes, model = predictions.classes, context.recipe.model
    order = better_order(predictions)
    hint = (
        f'; its outputs fit better in the order {", ".join(order)}: data.classes = "FILE" orders the classes'
        if order
        else ""
    )
    reached, low, _ = level(predictions).balanced_accuracy
    guessing = 1 / len(set(predictions.labels.tolist()))
    found = (
        f"{model.name} with the weights {model.weights}, as it is, has a balanced accuracy of {reached:.3f} on "
        f"{len(rows):,} training and validation images, where guessing has {guessing:.3f}{hint}"
    )
    if low <= guessing:
        raise WeightsError(
            f"{found}; not shown to be better than guessing: check what it was trained on, and whether its classes are "
            f"{', '.join(classes)}, in this order, or add a stage that trains it"
        )
    if order:
        context.listener.note(f"warning: {found}")


def better_order(predictions: Predictions) -> tuple[str, ...]:
    """Return the classes in the order in which the outputs fit better by 0.05 of balanced accuracy; empty if none is.

    The order is the best assignment for every second image, and the gain that on the others. An output that fits no
    class better than another keeps its own.
    """
    from scipy.optimize import linear_sum_assignment

    classes = predictions.classes
    predicted_N = predictions.logits.argmax(axis=1)
    recall_HKK = np.zeros((2, len(classes), len(classes)))
    np.add.at(recall_HKK, (np.arange(len(predictions)) % 2, predictions.labels, predicted_N), 1)
    recall_HKK /= np.maximum(recall_HKK.sum(axis=2, keepdims=True), 1)
    found, measured = recall_HKK
    _, output_of_K = linear_sum_assignment(found + 1e-9 * np.eye(len(classes)), maximize=True)
    gain = measured[np.arange(len(classes)), output_of_K].mean() - measured.diagonal().mean()
    return tuple(classes[k] for k in np.argsort(output_of_K)) if gain > 0.05 else ()
