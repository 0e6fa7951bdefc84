"""The classes of a bundle: plain names and explanations for people who do not know the abbreviations, malignancy."""

from __future__ import annotations

from collections.abc import Sequence

from dspkd.deploy.bundle.spec import BundleClass
from dspkd.evaluation.classes import Malignancy, diagnosis


def classes(ids: Sequence[str], kinds: Sequence[Malignancy]) -> tuple[BundleClass, ...]:
    """Return the classes of these ids; name and explanation are the id where the table of class names has none.

    An explanation that contradicts `kinds`, which the recipe may state, is left out.
    """
    return tuple(_class(name, kind) for name, kind in zip(ids, kinds, strict=True))


def _class(name: str, kind: Malignancy) -> BundleClass:
    row = diagnosis(name)
    if row is None or not row.name or row.malignancy != kind:
        return BundleClass(name, name, name, kind)
    return BundleClass(name, row.name, row.meaning, kind)
