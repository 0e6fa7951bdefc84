"""Initial weights: random, the library's ImageNet weights, or a file."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import load_file, save
from torch import Tensor

from dspkd.errors import PartialWeightsError, WeightsError
from dspkd.models import hub_folder
from dspkd.models.tapped import Loaded, Tapped

_PICKLES = (".pt", ".pth", ".ckpt", ".bin")
_OF_A_FOLDER = ("model.safetensors", "pytorch_model.bin")
_OF_A_CHECKPOINT = ("state_dict_ema", "model_ema", "ema", "state_dict", "model_state_dict", "model", "network")
"""Keys of a training's checkpoint under which it holds the weights, averaged ones first."""

_AVERAGES = {"ema", "swa", "average", "averaged"}
"""Words of a prefix under which a file has averaged weights, such as ``model_ema.``."""

COUNTER = "num_batches_tracked"
"""A batch normalisation's counter, unused while its momentum is a number, so not counted here."""


def load(tapped: Tapped, source: str | Path, *, partial: bool = False) -> Loaded:
    """Load a network's initial weights.

    The classifier stays random where the source lacks it or its class count differs. Every other tensor of the source
    must exist in the network with the same shape and finite values, and every tensor of the network but the
    classifier's in the source. Half precision is cast.

    Parameters
    ----------
    tapped
        The network, changed in place.
    source
        ``none``; ``imagenet``, the library's own download; or a file or folder that `read` accepts. Names in it are the
        library's own, perhaps behind a prefix, such as ``module.``; where an averaged copy (``ema.``) stands beside the
        network, it is taken.
    partial
        Accept a source that lacks other tensors than the classifier's; they stay random and are reported.

    Raises
    ------
    PartialWeightsError
        Tensors are lacking.
    WeightsError
        The file is missing, cannot be read or does not fit, or the download fails; or the file is in a Hugging Face
        folder of another network, or of images that are normalised in another way.
    """
    if source == "none":
        return _fit(tapped, {}, "none", partial=partial)
    if source == "imagenet":
        return _fit(tapped, _downloaded(tapped), "imagenet", partial=partial)
    state, key = read(Path(source))
    state, prefix = _without_prefix(state, tapped.library_state(), str(source))
    hub_folder.require_network(tapped, Path(source))
    loaded = _fit(tapped, state, str(source), partial=partial)
    return replace(loaded, inside=", ".join(filter(None, (key, prefix.rstrip(".")))))


def _downloaded(tapped: Tapped) -> Mapping[str, Tensor]:
    if tapped.download is None:
        raise WeightsError(
            f"model {tapped.name!r} has no ImageNet weights to download; "
            "use weights = 'none', or a file of weights for this network"
        )
    try:
        return tapped.download()
    except (OSError, RuntimeError) as error:  # no network, no such weights, a broken download
        raise WeightsError(
            f"ImageNet weights of {tapped.name!r} could not be downloaded ({error}); "
            "connect to the internet once to fill the cache, or use weights = 'none' or a file of weights"
        ) from error


def read(path: Path) -> tuple[Mapping[str, Tensor], str]:
    """Return the tensors of a file by name, and the key of the checkpoint under which they are; empty if none.

    Parameters
    ----------
    path
        ``.safetensors``; or ``.pt``, ``.pth``, ``.ckpt`` or ``.bin``, unpickled with ``weights_only=True``: tensors by
        name, or a checkpoint of a training, whose averaged weights (EMA) are taken where it has them, as timm does. A
        folder is one of the Hugging Face hub: ``model.safetensors`` or ``pytorch_model.bin``.

    Raises
    ------
    WeightsError
        The file is missing, or holds something else.
    """
    if path.is_dir():
        files = [file for name in _OF_A_FOLDER if (file := path / name).is_file()]
        if not files:
            raise WeightsError(f"weights {path}: a folder without {' or '.join(_OF_A_FOLDER)}")
        path = files[0]
    if not path.is_file():
        raise WeightsError(f"weights {str(path)!r}: no such file, and neither 'none' nor 'imagenet'")
    try:
        if path.suffix == ".safetensors":
            return load_file(path), ""
        if path.suffix in _PICKLES:
            state = torch.load(path, map_location="cpu", weights_only=True)
        else:
            accepted = ", ".join([".safetensors", *_PICKLES])
            raise WeightsError(f"weights {path}: {path.suffix or 'no suffix'!r}; accepted are {accepted}")
    except WeightsError:
        raise
    except Exception as error:  # a damaged file fails in many ways
        reason = str(error).partition("\n")[0]
        raise WeightsError(f"weights {path}: cannot be read as tensors alone ({reason}); save a state dict") from error
    for key in ("", *_OF_A_CHECKPOINT):
        tensors = state.get(key) if key and isinstance(state, Mapping) else state
        if isinstance(tensors, Mapping) and tensors and all(isinstance(value, Tensor) for value in tensors.values()):
            return tensors, key
    content = f"a dict of {_few(state)}" if isinstance(state, Mapping) else f"a {type(state).__name__}"
    raise WeightsError(f"weights {path}: holds {content}, not tensors by name; save network.state_dict() alone")


def _without_prefix(
    state: Mapping[str, Tensor], own: Mapping[str, Tensor], source: str
) -> tuple[Mapping[str, Tensor], str]:
    """Return the tensors without what stands before the network's own names, such as ``module.``.

    Tensors outside the prefix, those of a loss for instance, are left out; then the prefix is returned too, else "". Of
    several networks in one file an averaged one is taken.

    Raises
    ------
    WeightsError
        The file has several networks, and none or more than one is an average.
    """
    state = {name: tensor for name, tensor in state.items() if name != "n_averaged"}  # torch's AveragedModel counts
    found = Counter(name[: -len(tail)] for name in state for tail in _tails(name) if tail in own)
    most = max(found.values(), default=0)
    whole = [prefix for prefix, count in found.items() if count == most]
    averaged = [prefix for prefix in whole if _AVERAGES & set(re.split(r"[._]", prefix.casefold()))]
    chosen = averaged if len(averaged) == 1 else whole
    if len(chosen) > 1:
        raise WeightsError(
            f"weights {source}: holds several networks of this kind, under {_few(sorted(chosen))}; save one of them "
            "alone: its state_dict()"
        )
    if chosen in ([], [""]):
        return state, ""
    (prefix,) = chosen
    inside = {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}
    return inside, prefix if len(inside) < len(state) else ""


def _tails(name: str) -> list[str]:
    """Return a name, and what is left of it behind each dot."""
    parts = name.split(".")
    return [".".join(parts[place:]) for place in range(len(parts))]


def _fit(tapped: Tapped, state: Mapping[str, Tensor], source: str, *, partial: bool) -> Loaded:
    place = f"weights {source!r} for model {tapped.name!r}"
    own = tapped.library_state()
    names = [name for name in own if not name.endswith(COUNTER)]
    if (state or source not in ("none", "imagenet")) and not state.keys() & set(names):
        raise WeightsError(f"{place}: nothing fits; its tensors are {_few(state)}, the network's are {_few(names)}")
    if unknown := [name for name in state if name not in own]:
        raise WeightsError(f"{place}: {len(unknown)} tensors have no place in this network: {_few(unknown)}")
    other_head = [name for name, t in state.items() if _is_other_head(tapped, name, t.shape, own[name].shape)]
    taken = {name: tensor for name, tensor in state.items() if name not in other_head}
    for name, tensor in taken.items():
        if tensor.shape != own[name].shape:
            raise WeightsError(f"{place}: {name} is {list(tensor.shape)}, the network's is {list(own[name].shape)}")
        if own[name].is_floating_point() and not tensor.is_floating_point():
            raise WeightsError(
                f"{place}: {name} is {str(tensor.dtype).removeprefix('torch.')}, of a quantised network; use its "
                "weights from before it was quantised"
            )
        if tensor.is_floating_point() and not tensor.float().isfinite().all():
            raise WeightsError(
                f"{place}: {name} has values that are NaN or infinite; the file is damaged or its training failed, so "
                "use another"
            )
    fresh = tuple(name for name in names if name not in taken)
    lacking = [name for name in fresh if name.rpartition(".")[0] != tapped.head]
    if lacking and source != "none" and not partial:
        raise PartialWeightsError(
            f"{place}: has {len(names) - len(fresh)} of {len(names)} tensors, and lacks {_few(lacking)}, which would "
            "stay random; use a whole file, or accept that with model.partial_weights = true"
        )
    tapped.network.load_state_dict(taken, strict=False)
    return Loaded(source, len(names) - len(fresh), fresh, len(state[other_head[0]]) if other_head else None)


def _is_other_head(tapped: Tapped, name: str, loaded: torch.Size, own: torch.Size) -> bool:
    """Return whether a tensor belongs to a classifier of another class count, and of the same width."""
    return name.rpartition(".")[0] == tapped.head and loaded[1:] == own[1:] and loaded != own


def _few(names: Mapping[str, object] | list[str]) -> str:
    listed = [str(name) for name in names]
    return ", ".join(listed[:4]) + (f" and {len(listed) - 4} more" if len(listed) > 4 else "")


def digest(tensors: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 of tensors, their names and types, in any order."""
    hashed = hashlib.sha256()
    for name, value in sorted(tensors.items()):
        hashed.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        hashed.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return hashed.hexdigest()


def as_safetensors(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> bytes:
    """Return a safetensors file with its metadata sorted: the library writes them in an order that differs each time.

    The file begins with the length of its header in 8 bytes, then the header as JSON, padded with spaces.
    """
    file = save(dict(tensors), metadata=dict(metadata))
    length = int.from_bytes(file[:8], "little")
    header = json.loads(file[8 : 8 + length])
    header["__metadata__"] = dict(sorted(metadata.items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + file[8 + length :]
