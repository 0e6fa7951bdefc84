"""What a Hugging Face folder says of its network: its name in timm, its classes and its normalisation.

Each function takes the folder, or a file of weights in it. A run's weights say the same in their own metadata.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError, safe_open

from dspkd.errors import WeightsError
from dspkd.models.entries import ENTRIES

if TYPE_CHECKING:
    from dspkd.models.tapped import Tapped

_NEAR = 1e-3
"""Difference of means or deviations up to which two normalisations are one: files round them."""


def architecture(weights: Path) -> str:
    """Return the network's name in timm, in a run's weights that of `dspkd models`; "" where neither says."""
    name = _read(weights, "config.json").get("architecture") or _of_a_run(weights).get("network")
    return name if isinstance(name, str) else ""


def metadata(network: Tapped) -> dict[str, str]:
    """Return what a run's weights say of their network, as the metadata of a safetensors file."""
    mean, std = (
        json.dumps([round(value, 4) for value in each.flatten().tolist()]) for each in (network.mean, network.std)
    )
    return {"network": network.name, "mean": mean, "std": std}


def class_names(weights: Path) -> tuple[str, ...]:
    """Return the classes in the order of the logits; empty where the folder does not say, or only numbers them.

    timm writes them as ``label_names``, transformers as ``id2label``.
    """
    config = _read(weights, "config.json")
    named = config.get("label_names") or _of_timm(weights).get("label_names")
    if not named and isinstance(numbered := config.get("id2label"), dict):
        named = [numbered[key] for key in sorted(numbered, key=lambda key: int(key) if key.isdecimal() else -1)]
    names = tuple(map(str, named or ()))
    return () if all(re.fullmatch(r"(label|class)?[ _-]?\d+", name, re.IGNORECASE) for name in names) else names


def normalisation(weights: Path) -> tuple[list[float], list[float]] | None:
    """Return mean and standard deviation of R, G, B in [0, 1]; None where the folder does not say.

    timm writes them as ``mean`` and ``std``, transformers as ``image_mean`` and ``image_std`` of another file.
    """
    timm, transformers, run = _of_timm(weights), _read(weights, "preprocessor_config.json"), _of_a_run(weights)
    stated: list[tuple[Any, Any]] = [
        (timm.get("mean"), timm.get("std")),
        (transformers.get("image_mean"), transformers.get("image_std")),
        (run.get("mean"), run.get("std")),
    ]
    return next((both for both in stated if all(map(_is_colour, both))), None)


def require_network(network: Tapped, weights: Path) -> None:
    """Check that the folder is of this network, and that its images are normalised as this network does it.

    Tensors do not tell: those of ``tf_efficientnet_b0`` fit ``efficientnet_b0``, which has other outputs.

    Raises
    ------
    WeightsError
        The folder says otherwise.
    """
    ours: dict[str, Any] = getattr(network.network, "pretrained_cfg", None) or {}
    named = architecture(weights)
    if named and _names(named).isdisjoint({*_names(network.name), *_names(ours.get("architecture", ""))}):
        raise WeightsError(
            f"weights {weights}: the config.json beside them is of {named}, not of {network.name}; name the network "
            f"{named}, or move the weights to a folder of their own if that is wrong"
            if _read(weights, "config.json").get("architecture")
            else f"weights {weights}: of a run that trained {named}, not {network.name}; name the network {named}, or "
            "save the tensors alone in a new file if that is wrong"
        )
    theirs, own = normalisation(weights), [each.flatten().tolist() for each in (network.mean, network.std)]
    if theirs is None or _is_near(theirs, own):
        return
    from dspkd.models.from_timm import pretrained

    tags = pretrained(ours["architecture"]) if "architecture" in ours else {}
    fitting = next((tag for tag, each in tags.items() if _is_near(theirs, each)), "")
    raise WeightsError(
        f"weights {weights}: made for images normalised with mean {_colour(theirs[0])} and standard deviation "
        f"{_colour(theirs[1])}, but {network.name} normalises with mean {_colour(own[0])} and standard deviation "
        f"{_colour(own[1])}; "
        + (f"name the network {fitting}, which fits, or " if fitting else "")
        + "to train them further with its own, save the tensors alone in a new file, in a folder without configuration"
    )


def _of_a_run(weights: Path) -> dict[str, Any]:
    """Return the metadata of a file of weights, mean and standard deviation as lists."""
    file = weights / "model.safetensors" if weights.is_dir() else weights
    if file.suffix != ".safetensors" or not file.is_file():
        return {}
    try:
        with safe_open(file, "pt") as opened:
            said = opened.metadata() or {}
    except SafetensorError:  # reading the tensors says so
        return {}
    try:
        return {**said, **{name: json.loads(said[name]) for name in ("mean", "std") if name in said}}
    except ValueError:  # written by another program
        return said


def _of_timm(weights: Path) -> dict[str, Any]:
    """Return timm's part of the configuration, which old files have at their top."""
    config = _read(weights, "config.json")
    part = config.get("pretrained_cfg", config)
    return part if isinstance(part, dict) else {}


def _read(weights: Path, name: str) -> dict[str, Any]:
    """Return what a file of the folder holds, nothing where there is none; WeightsError where it is not JSON."""
    path = (weights if weights.is_dir() else weights.parent) / name
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise WeightsError(f"{path}: not JSON ({error}); restore it, or move the weights to another folder") from None
    return content if isinstance(content, dict) else {}


def _is_colour(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 3 and all(isinstance(each, int | float) for each in value)


def _is_near(one: Sequence[Sequence[float]], other: Sequence[Sequence[float]]) -> bool:
    """Return whether two normalisations are the same."""
    first, second = [*one[0], *one[1]], [*other[0], *other[1]]
    return len(first) == len(second) and all(abs(a - b) <= _NEAR for a, b in zip(first, second, strict=True))


def _colour(values: list[float]) -> str:
    return " ".join(f"{value:.3g}" for value in values)


def _names(name: str) -> set[str]:
    """Return the bare name of a network, and that of its library where `dspkd models` has a shorter one."""
    entry = ENTRIES.get(name)
    return {_bare(each) for each in (name, entry.key if entry else "") if each}


def _bare(name: str) -> str:
    """Return a network's name without library, tag and punctuation, by which names are compared."""
    return re.sub(r"[\W_]", "", name.rpartition(":")[2].partition(".")[0].casefold())
