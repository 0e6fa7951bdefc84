"""The classes of a bundle: plain names and explanations for people who do not know the abbreviations, malignancy."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from dspkd.deploy.bundle.spec import BundleClass
from dspkd.evaluation.classes import Malignancy, diagnosis


def classes(ids: Sequence[str], kinds: Sequence[Malignancy]) -> tuple[BundleClass, ...]:
    """Return the classes of these ids; name and explanation are the id where the table of class names has none.

    An explanation that contradicts `kinds`, which the recipe may state, is left out. Classes that the table gives one
    name, such as compound and junctional naevi, have their id behind it.
    """
    named = [_class(name, kind) for name, kind in zip(ids, kinds, strict=True)]
    count = Counter(each.name for each in named)
    return tuple(
        replace(each, name=f"{each.name} ({each.id})") if count[each.name] > 1 and each.name != each.id else each
        for each in named
    )


def _class(name: str, kind: Malignancy) -> BundleClass:
    row = diagnosis(name)
    if row is None or not row.name or row.malignancy != kind:
        return BundleClass(name, name, name, kind)
    return BundleClass(name, row.name, row.meaning, kind)
