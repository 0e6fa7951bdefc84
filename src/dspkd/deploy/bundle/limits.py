"""The limits of a bundle in two lines: its recall of each class that is not benign, and what its advice refers."""

from __future__ import annotations

from typing import Any

from dspkd.deploy.bundle.advice import rule_of
from dspkd.deploy.bundle.json_values import at, number, short
from dspkd.deploy.bundle.reader import Bundle
from dspkd.errors import BundleError

CERTIFICATE = "certificate.json"

NOT_MEASURED = (
    "Limits: not in this bundle; what it misses is not known.",
    "Advice: how many cancers it refers is not known.",
)
"""The lines of a bundle without these measurements."""


def lines(bundle: Bundle) -> tuple[str, str]:
    """Return the two lines, from the certificate's measurements on the test set.

    Raises
    ------
    BundleError
        The certificate is broken.
    """
    test: Any = None
    if CERTIFICATE in bundle.files:
        parts = at(bundle.read_json(CERTIFICATE), "parts", dict, CERTIFICATE)
        test = at(parts, "test", dict, f"{CERTIFICATE}: parts").get("advice")
        known = {each.id for each in bundle.spec.classes}
        if test and (unknown := at(test, "recall", dict, CERTIFICATE).keys() - known):
            raise BundleError(f"{bundle.path}: {CERTIFICATE}: recall: {short(min(unknown))} is none of its classes")
    return of_test(test), _always(bundle) or (advised(test) if test else NOT_MEASURED[1])


def of_test(test: Any) -> str:
    """Return the recall of each class that is not benign, from the key `advice` of the certificate's test part."""
    if not test:
        return NOT_MEASURED[0]
    recall = at(test, "recall", dict, CERTIFICATE)
    if not recall:
        return "Limits: none of its classes is malignant, so it cannot recognise a cancer."
    shares = "; ".join(f"{name} {_in_words(each)}" for name, each in recall.items())
    return f"Limits: on the test set it recognised {shares}."


def advised(test: Any) -> str:
    """Return what the advice refers of cancers and of benign images, from the same key."""
    cancers, benign = (at(test, key, dict, CERTIFICATE) for key in ("cancers referred", "benign referred"))
    return f"Advice: it refers {_in_words(cancers)} of cancers, and {_in_words(benign)} of benign images."


def _always(bundle: Bundle) -> str:
    of = rule_of(bundle.spec, bundle.spec.default)
    return "" if of.refer_from is not None else f"Advice: always to refer. {of.why}"


def _in_words(share: Any) -> str:
    images, lesions = (at(share, key, int, CERTIFICATE) for key in ("images", "lesions"))
    if not images:
        return "an unknown share (no image)"
    value, low, high = (f"{100 * number(share, key, CERTIFICATE, (0.0, 1.0)):.0f}" for key in ("share", "low", "high"))
    return f"{value} % (95 % interval {low} to {high} %; {counted(images, lesions)})"


def counted(images: int, lesions: int) -> str:
    """Return numbers in words; 0 lesions where there are no ids, which older bundles count as one for each image."""
    if lesions in (0, images):
        return f"{images:,} image{'s' * (images != 1)}"
    return f"{images:,} images of {lesions:,} lesion{'s' * (lesions != 1)} or patient{'s' * (lesions != 1)}"
