"""A Python environment for each converter, since their requirements exclude each other."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock

from dspkd.deploy.convert.formats import PhoneFormat
from dspkd.errors import BundleError
from dspkd.runtime.files import user_cache, write_text

_INSTALLED, _LOG = "dspkd-installed.txt", "dspkd-install.log"


def python_for(phone_format: PhoneFormat, given: Path | None, log: Callable[[str], None]) -> Path:
    """Return the Python that has a format's converter; where none is given, install it once, under the user's cache.

    Several commands may call it at once: one installs, and the others wait.

    Raises
    ------
    BundleError
        There is no such Python, or the packages cannot be installed.
    """
    if given is not None:
        if not os.access(given, os.X_OK) or given.is_dir():
            raise BundleError(
                f"--python {phone_format.name}={given}: there is no such program; name a Python with "
                f"{phone_format.packages}"
            )
        return given
    folder = _folder(phone_format)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_name(folder.name + ".lock")):
        if not (folder / _INSTALLED).is_file():
            log(
                f"{phone_format.title}: installing {phone_format.packages} into {folder}, once; this can take several "
                "minutes and, with torch, 6 GB"
            )
            _install(folder, phone_format)
    return _python(folder)


def _folder(phone_format: PhoneFormat) -> Path:
    version = f"{sys.version_info[:3]} {sys.base_prefix} {phone_format.packages}"
    return user_cache() / "converters" / f"{phone_format.name}-{hashlib.sha256(version.encode()).hexdigest()[:12]}"


def _python(folder: Path) -> Path:
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def _install(folder: Path, phone_format: PhoneFormat) -> None:
    record = folder.with_name(f"{folder.name}.{_LOG}")
    pip = [str(_python(folder)), "-m", "pip", "install", "--no-input"]
    steps = [
        [sys.executable, "-m", "venv", "--clear", str(folder)],
        [*pip, *phone_format.requirements],
        *([[*pip, "--no-deps", *phone_format.alone]] if phone_format.alone else []),
    ]
    with record.open("w", encoding="utf-8") as output:
        for step in steps:
            done = subprocess.run(step, stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, check=False)
            if done.returncode:
                output.flush()
                lines = record.read_text(encoding="utf-8", errors="replace").strip().splitlines()
                why = next((line for line in reversed(lines) if "error" in line.lower()), "see there")
                raise BundleError(
                    f"{phone_format.title}: its converter cannot be installed: {why[:300]} (all of it: {record}); "
                    f"give a Python that has {phone_format.packages}: --python {phone_format.name}=PATH"
                )
    write_text(folder / _INSTALLED, f"{phone_format.packages}\n")
