"""Tables in JSON in another form than a list of objects: COCO, Label Studio, values by image, columns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from dspkd.data.csv_header import names_an_image
from dspkd.data.image_files import SUFFIXES
from dspkd.errors import DataError

_COCO = ("images", "annotations", "categories")
_OUTLINE = frozenset(
    {"id", "image_id", "category_id", "area", "bbox", "segmentation", "iscrowd", "keypoints", "num_keypoints"}
)
"""What an annotation of COCO says of its own number and outline."""


def of_object(document: Mapping[str, Any], where: str) -> Iterable[dict[str, Any]] | None:
    """Return the objects of a table that is a JSON object, None where it is none of these.

    ======================================================== =========================================================
    form                                                     an object of the table is
    ======================================================== =========================================================
    COCO: lists ``images``, ``annotations``, ``categories``  an image with its ``category``, and what else its first
                                                             annotation says that is no outline
    ``{"a.jpg": "mel"}`` or ``{"a.jpg": {...}}``             a name, called ``image``, and its ``label`` or its values
    ``{"image": {"0": "a.jpg"}, ...}``, as pandas writes it, a row of these columns, of which one is called as an image
    or ``{"image": ["a.jpg"], ...}``                         is
    a single list of objects beside other values             an object of the list, if a value is called as an image is
    ======================================================== =========================================================

    Raises
    ------
    DataError
        An annotation of COCO names no image or category of the file; `where` begins the message.
    """
    if all(_are_objects(document.get(name)) for name in _COCO):
        classified = all("category_id" in annotation for annotation in document["annotations"])
        return _of_coco(document, where) if classified else None
    if document and all(name.lower().endswith(tuple(SUFFIXES)) for name in document):
        return _of_names(document)
    lists = [value for value in document.values() if _are_objects(value)]
    entries = lists[0] if len(lists) == 1 else _of_columns(document)
    return entries if entries and names_an_image(entries[0]) else None


def is_task(entry: Mapping[str, Any]) -> bool:
    """Return whether an object is a task of Label Studio, as its full export has it."""
    return isinstance(entry.get("data"), dict) and isinstance(entry.get("annotations"), list)


def of_task(task: Mapping[str, Any]) -> dict[str, Any]:
    """Return the data of a task of Label Studio and the ``choice`` of its annotations, a list where they have several.

    >>> of_task({"data": {"image": "a.jpg"}, "annotations": [{"result": [{"value": {"choices": ["mel"]}}]}]})
    {'image': 'a.jpg', 'choice': 'mel'}
    """
    results = [
        result
        for annotation in task["annotations"]
        if isinstance(annotation, dict) and not annotation.get("was_cancelled")
        for result in annotation.get("result") or []
    ]
    values = [result.get("value") for result in results if isinstance(result, dict)]
    choices = [choice for value in values if isinstance(value, dict) for choice in value.get("choices") or []]
    different = list(dict.fromkeys(choices))
    return {**task["data"], "choice": different[0] if len(different) == 1 else different}


def _are_objects(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(each, dict) for each in value)


def _of_names(document: Mapping[str, Any]) -> list[dict[str, Any]] | None:
    if all(isinstance(value, dict) for value in document.values()):
        return [{**value, "image": name} for name, value in document.items()]
    if any(isinstance(value, dict) for value in document.values()):
        return None
    return [{"image": name, "label": value} for name, value in document.items()]


def _of_columns(document: Mapping[str, Any]) -> list[dict[str, Any]] | None:
    columns = list(document.values())
    if all(isinstance(column, dict) for column in columns):
        keys = [list(column) for column in columns]
        columns = [list(column.values()) for column in columns]
        if any(each != keys[0] for each in keys) or not all(map(str.isdecimal, keys[0] if keys else ())):
            return None
    if len(columns) < 2 or not all(isinstance(column, list) and column for column in columns):
        return None
    if len({len(column) for column in columns}) > 1 or any(isinstance(cell, dict) for each in columns for cell in each):
        return None
    return [dict(zip(document, row, strict=True)) for row in zip(*columns, strict=True)]


def _of_coco(document: Mapping[str, Any], where: str) -> Iterator[dict[str, Any]]:
    """Yield the images, and raise after the last: the header of a file with a fault is known all the same."""
    name_of = {category.get("id"): category.get("name") for category in document["categories"]}
    of_image: dict[Any, list[dict[str, Any]]] = {}
    for annotation in document["annotations"]:
        of_image.setdefault(annotation.get("image_id"), []).append(annotation)
    for image in document["images"]:
        own = of_image.get(image.get("id"), [])
        names = list(dict.fromkeys(name_of.get(annotation["category_id"], "") for annotation in own))
        said = {name: value for name, value in (own[0] if own else {}).items() if name not in _OUTLINE}
        more = said.pop("attributes", None)  # as CVAT has them
        said |= more if isinstance(more, dict) else {}
        fields = {name: value for name, value in image.items() if name != "id"}
        yield {**said, **fields, "category": names[0] if len(names) == 1 else names}
    known = {"image_id": {image.get("id") for image in document["images"]}, "category_id": set(name_of)}
    for number, annotation in enumerate(document["annotations"], start=1):
        for key, ids in known.items():
            if annotation.get(key) not in ids:
                kind = key.removesuffix("_id")
                raise DataError(
                    f"{where}, annotation {number}: {key} {annotation.get(key)!r} is no {kind} of this file, which has "
                    f"{len(ids):,}"
                )
