r"""Teacher-student agreement: predictions kept, forgotten, corrected or copied, image by image.

The prediction for an image is its largest logit; of tied ones, the first. The distance of two predictions is

.. math:: \mathrm{KL}(p^t \,\|\, p^s) = \sum_k p^t_k\,(\log p^t_k - \log p^s_k) \quad\text{in nats, at temperature 1.}
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax

from dspkd.errors import DataError
from dspkd.evaluation.classes import melanoma
from dspkd.evaluation.predictions import Predictions

FATES: dict[str, str] = {
    "forgotten": "the teacher is right, the student is wrong",
    "copied": "both are wrong, with the same class",
    "wrong otherwise": "both are wrong, with different classes",
    "corrected": "the teacher is wrong, the student is right",
    "kept": "both are right",
}
"""What can become of a teacher's prediction; each image has one of these."""


@dataclass(frozen=True, eq=False)
class Agreement:
    """Predictions of a student and its teacher, compared image by image.

    Attributes
    ----------
    student, teacher
        Predictions of the same N images, in the same order.
    outcomes
        ``[N]`` text, out of `FATES`.
    kl
        ``[N]`` KL(teacher || student) of the probabilities, in nats.
    """

    student: Predictions
    teacher: Predictions
    outcomes: NDArray[np.str_]
    kl: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.student)

    @property
    def agrees(self) -> NDArray[np.bool_]:
        """``[N]``, whether both predict the same class, right or wrong."""
        return np.asarray(self.student.predicted == self.teacher.predicted)

    def drop(self) -> NDArray[np.float64]:
        """Return ``[N]`` probabilities of the true class, the teacher's less the student's."""
        rows = np.arange(len(self))
        true = self.student.labels
        return np.asarray(self.teacher.probabilities[rows, true] - self.student.probabilities[rows, true])


@dataclass(frozen=True)
class Tally:
    """Counts of the outcomes in a set of images.

    Attributes
    ----------
    name
        Of the set: a class, a subgroup, all.
    images
        At least 0; `forgotten`, `copied`, `otherwise`, `corrected` and `kept` add up to it.
    agreement, kl
        Share of images with the same prediction, and mean KL(teacher || student) in nats; None without images.
    """

    name: str
    images: int
    forgotten: int
    copied: int
    otherwise: int
    corrected: int
    kept: int
    agreement: float | None
    kl: float | None

    @property
    def teacher_right(self) -> int:
        """Images that the teacher has right."""
        return self.forgotten + self.kept

    @property
    def teacher_wrong(self) -> int:
        """Images that the teacher has wrong."""
        return self.images - self.teacher_right

    @property
    def forgets(self) -> float | None:
        """Of what the teacher has right, the share that the student has wrong."""
        return self.forgotten / self.teacher_right if self.teacher_right else None

    @property
    def copies(self) -> float | None:
        """Of what the teacher has wrong, the share for which the student predicts the same wrong class."""
        return self.copied / self.teacher_wrong if self.teacher_wrong else None

    @property
    def corrects(self) -> float | None:
        """Of what the teacher has wrong, the share that the student has right."""
        return self.corrected / self.teacher_wrong if self.teacher_wrong else None


def agreement(student: Predictions, teacher: Predictions) -> Agreement:
    """Compare a student's predictions with its teacher's, in the student's order of images.

    Raises
    ------
    DataError
        The two are not predictions of the same images with the same classes and labels.
    """
    teacher = _in_order_of(student, teacher)
    labels = student.labels
    mine, theirs = student.predicted == labels, teacher.predicted == labels
    same = student.predicted == teacher.predicted
    outcomes = np.select(
        [mine & theirs, mine, theirs, same], ["kept", "corrected", "forgotten", "copied"], "wrong otherwise"
    )
    log_p, log_q = (log_softmax(of.logits.astype(np.float64), axis=1) for of in (teacher, student))
    kl_N = np.sum(np.exp(log_p) * (log_p - log_q), axis=1)
    return Agreement(student, teacher, outcomes, np.maximum(kl_N, 0.0))  # rounding may fall short of 0


def tally(compared: Agreement, name: str = "all", among: NDArray[np.bool_] | None = None) -> Tally:
    """Count the outcomes of all images, or of those where `among` ``[N]`` is true."""
    chosen = np.ones(len(compared), dtype=bool) if among is None else among
    outcomes = compared.outcomes[chosen]
    empty = len(outcomes) == 0
    return Tally(
        name=name,
        images=len(outcomes),
        forgotten=int(np.sum(outcomes == "forgotten")),
        copied=int(np.sum(outcomes == "copied")),
        otherwise=int(np.sum(outcomes == "wrong otherwise")),
        corrected=int(np.sum(outcomes == "corrected")),
        kept=int(np.sum(outcomes == "kept")),
        agreement=None if empty else float(compared.agrees[chosen].mean()),
        kl=None if empty else float(compared.kl[chosen].mean()),
    )


def by_class(compared: Agreement) -> list[Tally]:
    """Return a tally for each class of the labels, melanoma first, then in class order; classes without images too."""
    classes = compared.student.classes
    return [tally(compared, classes[k], compared.student.labels == k) for k in class_order(classes)]


def by_value(compared: Agreement, values: Sequence[str]) -> list[Tally]:
    """Return a tally for each of the ``N`` values that an attribute, such as sex, has; in the values' own order."""
    if len(values) != len(compared):
        raise DataError(f"{len(values)} values for {len(compared)} images; there must be one for each")
    values_N = np.array(values)
    return [tally(compared, str(value), values_N == value) for value in np.unique(values_N)]


def listed(compared: Agreement, outcome: str, subgroups: Sequence[str] | None = None) -> list[int]:
    """Return the rows with a outcome: melanoma first, then by class, then by subgroup, then by `Agreement.drop`.

    Parameters
    ----------
    compared
        Student and teacher.
    outcome
        One of `FATES`.
    subgroups
        ``N`` texts that describe the person in each image, such as "female, 40 to 59"; None sorts by class alone.
    """
    place = {k: n for n, k in enumerate(class_order(compared.student.classes))}
    drop = compared.drop()
    rows = np.flatnonzero(compared.outcomes == outcome).tolist()
    labels = compared.student.labels

    def key(row: int) -> tuple[int, str, float, str]:
        subgroup = subgroups[row] if subgroups is not None else ""
        return place[int(labels[row])], subgroup, -float(drop[row]), compared.student.ids[row]

    return sorted(rows, key=key)


def class_order(classes: Sequence[str]) -> list[int]:
    """Return the class numbers, melanoma first where there is one.

    >>> class_order(("NV", "BCC", "MEL")), class_order(("A", "B"))
    ([2, 0, 1], [0, 1])
    """
    first = melanoma(classes)
    return sorted(range(len(classes)), key=lambda k: (k != first, k))


def _in_order_of(student: Predictions, teacher: Predictions) -> Predictions:
    """Return the teacher's predictions in the order of the student's images."""
    if student.classes != teacher.classes:
        raise DataError(
            f"the student's classes are {', '.join(student.classes)}, the teacher's {', '.join(teacher.classes)}; "
            "agreement needs the same classes in the same order"
        )
    row_of = {name: row for row, name in enumerate(teacher.ids)}
    lacking = [name for name in student.ids if name not in row_of]
    beyond = len(row_of) - (len(student) - len(lacking))
    if lacking or beyond:
        example = lacking[0] if lacking else next(name for name in teacher.ids if name not in set(student.ids))
        raise DataError(
            f"the teacher has no prediction for {len(lacking)} of the student's {len(student)} images, and {beyond} "
            f"for other images, e.g. {example!r}; evaluate both on the same images"
        )
    rows = np.array([row_of[name] for name in student.ids])
    for row in np.flatnonzero(teacher.labels[rows] != student.labels)[:1]:
        raise DataError(
            f"id {student.ids[row]!r}: its label is {student.classes[student.labels[row]]} in the student's "
            f"predictions and {student.classes[teacher.labels[rows[row]]]} in the teacher's"
        )
    groups = tuple(teacher.groups[row] for row in rows)
    return replace(teacher, ids=student.ids, groups=groups, labels=teacher.labels[rows], logits=teacher.logits[rows])
