"""The limits of a bundle in two lines: its recall of each class that is not benign, and what its advice refers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dspkd.deploy.bundle.advice import rule_of
from dspkd.deploy.bundle.json_values import at, number, short
from dspkd.deploy.bundle.reader import Bundle
from dspkd.deploy.bundle.spec import BundleSpec
from dspkd.errors import BundleError

CERTIFICATE = "certificate.json"

NOT_MEASURED = (
    "Limits: not in this bundle; what it misses is not known.",
    "Advice: how many cancers it refers is not known.",
)
"""The lines of a bundle without these measurements."""

_NO_CANCER = "Limits: none of its classes is malignant, so it cannot recognise a cancer."
_UNKNOWN = "an unknown share (no image)"


def lines(bundle: Bundle, precision: str | None = None) -> tuple[str, str]:
    """Return the two lines, from the certificate's measurements on the test set.

    Parameters
    ----------
    bundle
        The bundle.
    precision
        Which of its models is meant, by default its own default. Of another one the recall was measured without an
        interval, and the advice is always to refer.

    Raises
    ------
    BundleError
        The certificate is broken.
    """
    precision = precision or bundle.spec.default
    part: Any = {}
    if CERTIFICATE in bundle.files:
        parts = at(bundle.read_json(CERTIFICATE), "parts", dict, CERTIFICATE)
        part = at(parts, "test", dict, f"{CERTIFICATE}: parts")
    test = part.get("advice")
    known = {each.id for each in bundle.spec.classes}
    if test and (unknown := at(test, "recall", dict, CERTIFICATE).keys() - known):
        raise BundleError(f"{bundle.path}: {CERTIFICATE}: recall: {short(min(unknown))} is none of its classes")
    recognised = of_test(test) if precision == bundle.spec.default else _of_model(part, bundle.spec, precision)
    return recognised, _always(bundle.spec, precision) or (advised(test) if test else NOT_MEASURED[1])


def of_test(test: Any) -> str:
    """Return the recall of each class that is not benign, from the key `advice` of the certificate's test part."""
    if not test:
        return NOT_MEASURED[0]
    recall = at(test, "recall", dict, CERTIFICATE)
    if not recall:
        return _NO_CANCER
    shares = "; ".join(f"{name} {_in_words(each)}" for name, each in recall.items())
    return f"Limits: on the test set it recognised {shares}."


def advised(test: Any) -> str:
    """Return what the advice refers of cancers and of benign images, from the same key."""
    cancers, benign = (at(test, key, dict, CERTIFICATE) for key in ("cancers referred", "benign referred"))
    return f"Advice: it refers {_in_words(cancers)} of cancers, and {_in_words(benign)} of benign images."


def _of_model(part: Mapping[str, Any], spec: BundleSpec, precision: str) -> str:
    """Return the recall of each class that is not benign by one of the models, from the certificate's test part."""
    place = f"{CERTIFICATE}: recall"
    rows = {each.id: at(part.get("recall"), each.id, dict, place) for each in spec.classes if not each.benign and part}
    measured = {name: row for name, row in rows.items() if precision in row}
    if not measured:
        return NOT_MEASURED[0] if any(not each.benign for each in spec.classes) else _NO_CANCER
    shares = []
    for name, row in measured.items():
        images = at(row, "images", int, place)
        value = images and percent(number(row, precision, place, (0.0, 1.0)))
        shares.append(f"{name} {f'{value} % ({counted(images, 0)})' if images else _UNKNOWN}")
    return f"Limits: on the test set its {precision} model recognised {'; '.join(shares)}."


def _always(spec: BundleSpec, precision: str) -> str:
    of = rule_of(spec, precision)
    return "" if of.refer_from is not None else f"Advice: always to refer. {of.why}"


def _in_words(share: Any) -> str:
    images, lesions = (at(share, key, int, CERTIFICATE) for key in ("images", "lesions"))
    if not images:
        return _UNKNOWN
    value, low, high = (percent(number(share, key, CERTIFICATE, (0.0, 1.0))) for key in ("share", "low", "high"))
    return f"{value} % (95 % interval {low} to {high} %; {counted(images, lesions)})"


def percent(share: float, decimals: int = 0) -> str:
    """Return a share in per cent, which reads 0 or 100 only where it is that.

    >>> [percent(share) for share in (1.0, 0.9996, 0.996, 0.95, 0.004, 0.0004, 0.0)]
    ['100', 'more than 99.9', '99.6', '95', '0.4', 'less than 0.1', '0']
    """
    for rounded in (f"{100 * share:.{decimals}f}", f"{100 * share:.1f}"):
        if share in (0, 1) or 0 < float(rounded) < 100:
            return rounded
    return "less than 0.1" if share < 0.5 else "more than 99.9"


def counted(images: int, lesions: int) -> str:
    """Return numbers in words; 0 lesions where there are no ids, which older bundles count as one for each image."""
    if lesions in (0, images):
        return f"{images:,} image{'s' * (images != 1)}"
    return f"{images:,} images of {lesions:,} lesion{'s' * (lesions != 1)} or patient{'s' * (lesions != 1)}"
