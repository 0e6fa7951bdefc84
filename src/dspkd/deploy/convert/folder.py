"""The folder of converted files: networks, certificate and `spec.json` of one bundle, put in together."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

from dspkd.deploy.bundle.reader import Bundle
from dspkd.deploy.convert import certificate
from dspkd.deploy.convert.formats import FORMATS, PhoneFormat
from dspkd.errors import BundleError
from dspkd.runtime.zip_files import DAMAGED

FAILED = "FAILED."
"""Before the name of a file that failed, and is kept to examine it."""


def precisions(phone_format: PhoneFormat, *, smaller: bool) -> tuple[str, ...]:
    """Return the precisions that are made of a format."""
    return ("fp32", phone_format.smaller) if smaller else ("fp32",)


def check(out: Path, bundle: Bundle, formats: Sequence[PhoneFormat], *, smaller: bool) -> None:
    """Check that no network would stay in a folder beside the certificate and `spec.json` of another one.

    Raises
    ------
    BundleError
        The folder has files of another bundle, or such that this conversion does not make again.
    """
    name_another = "name another folder, or delete this one"
    try:
        made_of = json.loads((out / certificate.JSON).read_bytes())["bundle"]["digest"]
    except FileNotFoundError:
        made_of = bundle.digest
    except (OSError, KeyError, TypeError, *DAMAGED):
        raise BundleError(f"{out / certificate.JSON}: not a certificate of converted files; {name_another}") from None
    if made_of != bundle.digest:
        raise BundleError(
            f"{out}: has files of the bundle {str(made_of)[:12]}, and {bundle.path} is {bundle.digest[:12]}; a network "
            f"beside the class names and thresholds of another is wrong. {name_another.capitalize()}"
        )
    ours = _names(FORMATS.values(), smaller=True)
    for name in sorted(ours - _names(formats, smaller=smaller)):
        if (out / name).exists():
            raise BundleError(
                f"{out}: has {name}, which this conversion does not make again, and which its certificate would "
                "not name; convert to all formats at once, or name another folder"
            )


def put(ready: Path, out: Path, formats: Sequence[PhoneFormat], *, smaller: bool) -> None:
    """Move all files of a finished conversion into its folder, in place of those of an earlier one.

    The networks come last: wherever it is stopped, each network lies beside the certificate and the specification of
    its bundle.
    """
    made = _names(formats, smaller=smaller)
    for name in made:
        remove(out / name)
    for path in sorted(ready.iterdir(), key=lambda path: (path.name in made, path.name != certificate.JSON)):
        if path.is_dir():
            remove(out / path.name)
        path.replace(out / path.name)


def remove(path: Path) -> None:
    """Delete a file, or a package, which is a folder, if it is there."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _names(formats: Iterable[PhoneFormat], *, smaller: bool) -> set[str]:
    """Return the names that files of these formats have, those that fail among them."""
    return {
        f"{mark}model.{precision}{suffix}"
        for mark in ("", FAILED)
        for each in formats
        for precision in precisions(each, smaller=smaller)
        for suffix in each.suffixes
    }
