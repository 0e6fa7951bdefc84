"""What the ``config.json`` of a Hugging Face folder says of its network: its name in timm, and its classes."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from dspkd.errors import WeightsError


def architecture(folder: Path) -> str:
    """Return the network's name in timm, "" where the folder does not say."""
    name = _config(folder).get("architecture")
    return name if isinstance(name, str) else ""


def class_names(folder: Path) -> tuple[str, ...]:
    """Return the classes in the order of the logits; empty where the folder does not say, or only numbers them.

    timm writes them as ``label_names``, transformers as ``id2label``.
    """
    config = _config(folder)
    named = config.get("label_names") or config.get("pretrained_cfg", {}).get("label_names")
    if not named and isinstance(numbered := config.get("id2label"), dict):
        named = [numbered[key] for key in sorted(numbered, key=lambda key: int(key) if key.isdecimal() else -1)]
    names = tuple(map(str, named or ()))
    return () if all(re.fullmatch(r"(label|class)?[ _-]?\d+", name, re.IGNORECASE) for name in names) else names


def _config(folder: Path) -> dict[str, Any]:
    """Return what the file holds, nothing where there is none; WeightsError where it is not JSON."""
    path = folder / "config.json"
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise WeightsError(f"{path}: not JSON ({error}); restore it, or name the file of weights itself") from None
    return content if isinstance(content, dict) else {}
