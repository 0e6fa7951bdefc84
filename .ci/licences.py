"""List the licences of the pinned packages in LICENCES.md, and fail where one is not known to be acceptable.

Run by `make licences`; with --check, as in `make lint`, nothing is written and a list that is out of date fails too.
"""

from __future__ import annotations

import re
import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

ROOT = Path(__file__).parent.parent
LIST = ROOT / "LICENCES.md"
ACCEPTED = re.compile(
    r"MIT|BSD|Apache|ISC|0BSD|Zlib|BSL-1\.0|CC0|PSF|Python Software Foundation|MPL|Mozilla Public License|Public Domain"
    r"|HPND|Unlicense|LLVM-exception|DFSG approved|GNU General Public License \(GPL\)|NVIDIA"
)
"""Permissive licences, and MPL, whose terms hold for its own files. NVIDIA's are those of CUDA, which torch brings on
Linux; docutils, a tool for the documentation, has one file under the GPL."""
UNSTATED = {"cuda-toolkit": "NVIDIA Proprietary Software"}
"""Packages that state no licence: what their documentation says."""
HEAD = """# Licences of the packages that this project is developed and tested with

Written by `make licences` from the packages themselves; `make lint` checks it. dspkd contains none of them.

| package | licence |
|---|---|
"""


def licence(name: str) -> str:
    """Return a package's licence as it states it: the expression, else its classifiers, else the first line."""
    about = distribution(name).metadata
    kinds = [each.rpartition(" :: ")[2] for each in about.get_all("Classifier") or [] if each.startswith("License ::")]
    stated = about.get("License-Expression") or ", ".join(kinds) or (about.get("License") or "").partition("\n")[0]
    return stated or UNSTATED.get(name, "")


def main() -> str:
    """Return what is wrong, "" if nothing."""
    names = re.findall(r"^([A-Za-z0-9._-]+)==", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    listed = dict(re.findall(r"^\| ([^|]+) \| ([^|]+) \|$", LIST.read_text(), re.MULTILINE)) if LIST.exists() else {}
    stated = {}
    for name in names:
        try:
            stated[name] = licence(name)
        except PackageNotFoundError:  # for another system: what is listed stays
            stated[name] = listed.get(name, "")
    refused = [name for name, text in stated.items() if not all(map(ACCEPTED.search, re.split(r" AND |, ", text)))]
    if refused:
        return f"not known to be acceptable: {', '.join(f'{name} ({stated[name]})' for name in refused)}"
    page = HEAD + "".join(f"| {name} | {text} |\n" for name, text in stated.items())
    if "--check" in sys.argv:
        return "" if LIST.read_text() == page else f"{LIST.name} is out of date; run make licences"
    LIST.write_text(page)
    return ""


if __name__ == "__main__":
    sys.exit(main() or None)
