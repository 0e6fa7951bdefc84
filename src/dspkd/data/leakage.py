"""Splits in which a lesion or patient is in several parts: refused, unless the recipe waives it with a reason."""

from __future__ import annotations

from dataclasses import dataclass

from dspkd.data.official_split import NOT_OFFICIAL
from dspkd.data.split import Split, crossing
from dspkd.data.table import Table, count_of, is_named
from dspkd.errors import DataError, first_few


@dataclass(frozen=True)
class Leak:
    """How much a split leaks that a recipe waives, as ``data.json`` of its run keeps it.

    Attributes
    ----------
    waiver
        The recipe's reason.
    groups, images
        Number of lesions or patients in more than one part, and of their images.
    tested, known
        Number of test images, and of those whose lesion or patient is also in training.
    """

    waiver: str
    groups: int
    images: int
    tested: int
    known: int

    def __str__(self) -> str:
        """Return the warning that belongs beside every result of the run."""
        share = 100 * self.known / max(self.tested, 1)
        return (
            "The split leaks, so these results are overstated. "
            f"Lesions or patients in more than one part: {self.groups:,}, with {self.images:,} images. "
            f"Test images of a lesion or patient that is also in training: {self.known:,} of {self.tested:,} "
            f'({share:.1f} %). Waived by the recipe: "{self.waiver}"'
        )


def accept(table: Table, split: Split, *, waiver: str | None, where: str) -> Leak | None:
    """Return how much a split leaks, or None if no lesion or patient is in more than one part.

    Near copies of unknown lesion and patient are not refused: `dspkd.data.assumptions.warnings` names them.

    Parameters
    ----------
    waiver
        Why a leaking split is accepted; None refuses it.
    where
        The file or option that defines the split, for the message.

    Raises
    ------
    DataError
        The split leaks, and there is no waiver.
    """
    groups = [group for group in crossing(table, split) if is_named(group)]
    if not groups:
        return None
    leaking, training = set(groups), {table.groups[row] for row in split.rows("train")}
    test = [table.groups[row] for row in split.places("test")]
    leak = Leak(
        waiver=waiver or "",
        groups=len(groups),
        images=sum(group in leaking for group in table.groups),
        tested=len(test),
        known=sum(group in training for group in test),
    )
    if waiver is None:
        raise DataError(
            f"{where}: {count_of(groups)} in more than one part ({first_few(groups)}), with "
            f"{leak.images} of {len(table)} images; {leak.known} of {leak.tested} test images show one that is also in "
            "training, so results would be overstated. Split by group"
            f"{f' with {NOT_OFFICIAL}' if table.parts else ''}; or, to imitate work that did not, set "
            'split.waiver = "imitates the image-level split of ...", which every report of the run will print'
        )
    return leak
