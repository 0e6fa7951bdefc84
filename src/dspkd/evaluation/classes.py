"""Which class is melanoma: the one rule for reports, subgroups and the referral threshold of a bundle."""

from __future__ import annotations

from collections.abc import Sequence

_MELANOMA = {"mel", "melanoma"}


def melanoma(classes: Sequence[str]) -> int | None:
    """Return the number of the class called MEL or melanoma, in any case, blanks around it ignored.

    None where no class is called so. None, too, where several are: melanomas are then spread over these classes, and
    a sensitivity or a referral threshold for one of them would miss the others. A class map merges them.

    >>> melanoma(("NV", " Melanoma ")), melanoma(("NV", "BCC")), melanoma(("MEL", "melanoma"))
    (1, None, None)
    """
    matches = [number for number, name in enumerate(classes) if name.strip().lower() in _MELANOMA]
    return matches[0] if len(matches) == 1 else None
