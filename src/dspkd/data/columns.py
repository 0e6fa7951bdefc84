"""Which columns of a table hold what, where a user names them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from dspkd.errors import DataError


@dataclass(frozen=True, kw_only=True)
class Columns:
    """Names of columns, in any case and spacing; None where the column is to be recognised by its name.

    Attributes
    ----------
    image
        Names the image file: a path, a name, or a name without suffix.
    label
        Names the class; several columns, one for each class, hold 1 in that of the image's class and 0 elsewhere, or
        weights of the classes, which sum to 1: see `Table.soft_labels`.
    names
        ``{cell of the label column: name of the class}``, for labels that are numbers or codes; the classes are in
        this order.
    group
        Names the lesion or patient.
    part
        Names the training, validation or test set, in any spelling of `dspkd.data.part_names`.
    sex, age, site, source, skin_type
        Hold what subgroups are made of: see `dspkd.data.metadata.COLUMNS`.
    """

    image: str | None = None
    label: str | tuple[str, ...] | None = None
    names: Mapping[str, str] = field(default_factory=dict)
    group: str | None = None
    part: str | None = None
    sex: str | None = None
    age: str | None = None
    site: str | None = None
    source: str | None = None
    skin_type: str | None = None

    @property
    def of_a_table(self) -> bool:
        """Return whether something is named that only a table of layout "csv" leaves open."""
        return self.image is not None or isinstance(self.label, tuple) or bool(self.names)

    @property
    def attributes(self) -> dict[str, str]:
        """Return ``{attribute of dspkd.data.metadata.COLUMNS: column}`` of those that are named."""
        named = {
            "sex": self.sex,
            "age": self.age,
            "body site": self.site,
            "source": self.source,
            "skin type": self.skin_type,
        }
        return {attribute: column for attribute, column in named.items() if column is not None}

    def updated(self, *, group: str | None, label: str | None) -> Columns:
        """Return the columns with a group and a label that are named apart from them.

        Raises
        ------
        DataError
            Both name a column, and another one.
        """
        for key, other, mine in (("group", group, self.group), ("label", label, self.label)):
            if other is not None and mine is not None and other != mine:
                raise DataError(f"data.{key} = {other!r} and data.columns.{key} = {mine!r}: keep one of the two")
        return replace(self, group=group or self.group, label=label or self.label)
