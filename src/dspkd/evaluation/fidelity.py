r"""What a student made of its teacher's answers: kept, forgot, corrected or copied, image by image.

The answer to an image is its largest logit; of tied ones, the first. How far two answers lie apart is

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
"""What can become of a teacher's answer; each image has one of these."""


@dataclass(frozen=True, eq=False)
class Agreement:
    """A student's answers beside its teacher's.

    Attributes
    ----------
    student, teacher
        Predictions of the same N images, in the same order.
    fates
        ``[N]`` text, out of `FATES`.
    kl
        ``[N]`` KL(teacher || student) of the probabilities, in nats.
    """

    student: Predictions
    teacher: Predictions
    fates: NDArray[np.str_]
    kl: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.student)

    @property
    def agrees(self) -> NDArray[np.bool_]:
        """``[N]``, whether both give the same answer, right or wrong."""
        return np.asarray(self.student.predicted == self.teacher.predicted)

    def drop(self) -> NDArray[np.float64]:
        """Return ``[N]``, by how much the student gives the true class less probability than the teacher."""
        rows = np.arange(len(self))
        true = self.student.labels
        return np.asarray(self.teacher.probabilities[rows, true] - self.student.probabilities[rows, true])


@dataclass(frozen=True)
class Tally:
    """How many answers of a set of images had which fate.

    Attributes
    ----------
    name
        Of the set: a class, a subgroup, all.
    images
        At least 0; `forgotten`, `copied`, `otherwise`, `corrected` and `kept` add up to it.
    agreement, kl
        Share of images with the same answer, and mean KL(teacher || student) in nats; None without images.
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
    def known(self) -> int:
        """Images that the teacher has right."""
        return self.forgotten + self.kept

    @property
    def missed(self) -> int:
        """Images that the teacher has wrong."""
        return self.images - self.known

    @property
    def forgets(self) -> float | None:
        """Of what the teacher has right, the share that the student has wrong."""
        return self.forgotten / self.known if self.known else None

    @property
    def copies(self) -> float | None:
        """Of what the teacher has wrong, the share that the student answers with the same wrong class."""
        return self.copied / self.missed if self.missed else None

    @property
    def corrects(self) -> float | None:
        """Of what the teacher has wrong, the share that the student has right."""
        return self.corrected / self.missed if self.missed else None


def agreement(student: Predictions, teacher: Predictions) -> Agreement:
    """Return what became of each of the teacher's answers, in the student's order of images.

    Raises
    ------
    DataError
        The two do not speak of the same images with the same classes and labels.
    """
    teacher = _in_order_of(student, teacher)
    labels = student.labels
    mine, theirs = student.predicted == labels, teacher.predicted == labels
    same = student.predicted == teacher.predicted
    fates = np.select(
        [mine & theirs, mine, theirs, same], ["kept", "corrected", "forgotten", "copied"], "wrong otherwise"
    )
    log_p, log_q = (log_softmax(each.logits.astype(np.float64), axis=1) for each in (teacher, student))
    kl_N = np.sum(np.exp(log_p) * (log_p - log_q), axis=1)
    return Agreement(student, teacher, fates, np.maximum(kl_N, 0.0))  # rounding may fall short of 0


def tally(found: Agreement, name: str = "all", among: NDArray[np.bool_] | None = None) -> Tally:
    """Return how many images had which fate, of all or of those ``[N]`` that are `among`."""
    chosen = np.ones(len(found), dtype=bool) if among is None else among
    fates = found.fates[chosen]
    there = len(fates) > 0
    return Tally(
        name=name,
        images=len(fates),
        forgotten=int(np.sum(fates == "forgotten")),
        copied=int(np.sum(fates == "copied")),
        otherwise=int(np.sum(fates == "wrong otherwise")),
        corrected=int(np.sum(fates == "corrected")),
        kept=int(np.sum(fates == "kept")),
        agreement=float(found.agrees[chosen].mean()) if there else None,
        kl=float(found.kl[chosen].mean()) if there else None,
    )


def by_class(found: Agreement) -> list[Tally]:
    """Return a tally for each class of the labels, melanoma first, then in class order; classes without images too."""
    classes = found.student.classes
    return [tally(found, classes[k], found.student.labels == k) for k in class_order(classes)]


def by_value(found: Agreement, values: Sequence[str]) -> list[Tally]:
    """Return a tally for each of the ``N`` values that an attribute, such as sex, has; in the values' own order."""
    if len(values) != len(found):
        raise DataError(f"{len(values)} values for {len(found)} images; there must be one for each")
    values_N = np.array(values)
    return [tally(found, str(value), values_N == value) for value in np.unique(values_N)]


def listed(found: Agreement, fate: str, subgroups: Sequence[str] | None = None) -> list[int]:
    """Return the rows with a fate: melanoma first, then by class, then by subgroup, then by `Agreement.drop`.

    Parameters
    ----------
    found
        The ledger.
    fate
        One of `FATES`.
    subgroups
        ``N`` texts, whom each image shows, such as "female, 40 to 59"; none sorts by class alone.
    """
    place = {k: n for n, k in enumerate(class_order(found.student.classes))}
    drop = found.drop()
    rows = np.flatnonzero(found.fates == fate).tolist()
    labels = found.student.labels

    def key(row: int) -> tuple[int, str, float, str]:
        subgroup = subgroups[row] if subgroups is not None else ""
        return place[int(labels[row])], subgroup, -float(drop[row]), found.student.ids[row]

    return sorted(rows, key=key)


def class_order(classes: Sequence[str]) -> list[int]:
    """Return the class numbers, melanoma's first where a class is called so.

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
            "answers compare where both tell the same classes apart"
        )
    row_of = {name: row for row, name in enumerate(teacher.ids)}
    lacking = [name for name in student.ids if name not in row_of]
    beyond = len(row_of) - (len(student) - len(lacking))
    if lacking or beyond:
        example = lacking[0] if lacking else next(name for name in teacher.ids if name not in set(student.ids))
        raise DataError(
            f"the teacher answered {len(lacking)} of the student's {len(student)} images not, and {beyond} others, "
            f"e.g. {example!r}; both must be judged on the same images"
        )
    rows = np.array([row_of[name] for name in student.ids])
    for row in np.flatnonzero(teacher.labels[rows] != student.labels)[:1]:
        raise DataError(
            f"id {student.ids[row]!r}: its label is {student.classes[student.labels[row]]} beside the student's answer "
            f"and {student.classes[teacher.labels[rows[row]]]} beside the teacher's"
        )
    groups = tuple(teacher.groups[row] for row in rows)
    return replace(teacher, ids=student.ids, groups=groups, labels=teacher.labels[rows], logits=teacher.logits[rows])
