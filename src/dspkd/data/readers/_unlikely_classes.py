"""Classes whose names say that they are none: folders of copies, of rejected images, or of images without a class."""

from __future__ import annotations

import re

from dspkd.data.part_names import is_unknown, squeezed
from dspkd.data.table import Table

_SAVED = (
    "backups?|bak|sicherung|sauvegarde|copiadeseguridad|archives?|archiv|old|alt|temp|tmp|thumbnails?|thumbs?|previews?"
)
_NEW = (
    "(?:new|untitled)(?:folder|directory)|(?:neuer|unbenannter)ordner|nouveaudossier|dossiersanstitre|nuevacarpeta|"
    "carpetasintitulo|novapasta|nuovacartella|cartellasenzatitolo|nieuwemap"
)
_COPIES = "copy|kopie|copie|copia|duplicates?|dupes?|dups?|duplikate?|doublons?|duplicados?|duplicati"
_REJECTED = (
    "exclude[ds]?|exclusions?|reject(?:ed|s)?|discard(?:ed|s)?|deleted?|trash|recyclebin|garbage|junk|rubbish|papierkorb|"
    "corbeille|papelera|lixeira|cestino|(?:bad|poor|low)quality|ungrad(?:e?able)|unusable|blurr(?:y|ed)|ausgeschlossen"
)
_OPEN = (
    "unsorted|unclassified|unlabell?ed|unreviewed|pending|inbox|queue|todo|to(?:be)?(?:sort|label|review|classif)[a-z]*|"
    "unsortiert|atrier|porclasificar"
)
_NO_CLASS = re.compile(rf"(?:{_SAVED}|{_NEW}|{_COPIES}|{_REJECTED}|{_OPEN})\d*")
_COPY_OF = re.compile(
    r".+(?:[ _-]+copy|[ _-]+(?:kopie|copie|copia))(?: ?\(?\d+\)?)?|(?:copy|kopie|copie|copia) (?:of|von|de|di) .+"
)


def unlikely_classes(table: Table) -> tuple[str, ...]:
    """Return a doubt for each class that is called as copies, rejected images, or images without a class are."""
    return tuple(
        f"{name!r} ({images:,} images) is taken as a class, but its name is that of copies, rejected images or images "
        "without a class: if it is no class, take these images out of the data set"
        for name, (images, _) in table.counts().items()
        if may_be_none(name)
    )


def may_be_none(name: str) -> bool:
    """Return whether a class is called as what is no class; ISIC's own class UNK is one.

    >>> [may_be_none(name) for name in ("backup", "New folder (2)", "mel - Copy", "Kopie von nv", "to do", "unknown")]
    [True, True, True, True, True, True]
    >>> [may_be_none(name) for name in ("mel", "other", "normal", "copper", "old scar", "Bakterien", "UNK", "temporal")]
    [False, False, False, False, False, False, False, False]
    """
    if name == "UNK":
        return False
    folder = _NO_CLASS.fullmatch(squeezed(name)) or _COPY_OF.fullmatch(name.casefold())
    return folder is not None or is_unknown(name)
