"""Which networks are meant by ``--student`` and ``--teacher``, and which weights they start from."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from dspkd.errors import PartialWeightsError, RecipeError, WeightsError
from dspkd.models import zoo
from dspkd.models.tapped import Tapped
from dspkd.runs.files import RunFiles
from dspkd.runs.run_folder import Run

SUFFIXES = (".safetensors", ".pt", ".pth", ".ckpt", ".bin")
"""Suffixes of files of weights."""


@dataclass(frozen=True)
class Network:
    """A network: its name in the zoo, its parameters, and its initial weights.

    Attributes
    ----------
    name, weights
        As a recipe's ``[model]`` names them.
    parameters
        Number of parameters.
    taps
        Names of the feature maps that it offers.
    run
        Folder of the finished run that holds the network; "" where it is still to be trained.
    """

    name: str
    weights: str
    parameters: int
    taps: tuple[str, ...] = ()
    run: str = ""

    @property
    def pretrained(self) -> bool:
        """Return whether it starts from weights that were trained before."""
        return self.weights != "none"

    def __str__(self) -> str:
        """Return name and size, such as ``resnet18 (11.2 M parameters)``."""
        return f"{self.name} ({self.parameters / 1e6:.1f} M parameters)"


def named(text: str, classes: int, *, option: str) -> Network:
    """Return the network that an option names, without ImageNet weights; see `with_pretrained_weights`.

    Parameters
    ----------
    text
        A network's name, ``timm:NAME``, a file or Hugging Face folder of weights, or (for a teacher) the folder of a
        finished run.
    classes
        Number of classes of the data.
    option
        Begins each message, such as ``--teacher``.

    Raises
    ------
    RecipeError
        No network has this name, or none has the weights in the file.
    RunError
        The folder holds no finished run.
    """
    path = Path(text)
    if is_run(path):
        return _of_run(path, option)
    if path.is_dir() or path.suffix in SUFFIXES:
        return _of_weights(path, classes, option)
    try:
        return _described(zoo.make(text.removeprefix("timm:"), classes=classes), "none")
    except RecipeError as error:
        raise RecipeError(f"{option} {text}: {error}") from None


def is_run(path: Path) -> bool:
    """Return whether this is a run folder."""
    return RunFiles(path).recipe.is_file()


def with_pretrained_weights(network: Network, classes: int) -> tuple[Network, str]:
    """Return the network with ImageNet weights if they can be had, and why not, "" if so.

    They are downloaded once, by the network's own library.
    """
    if network.pretrained or network.run:
        return network, ""
    try:
        zoo.make(network.name, classes=classes, weights="imagenet")
    except WeightsError as error:
        return network, str(error).partition("; ")[0]
    return replace(network, weights="imagenet"), ""


def _described(made: Tapped, weights: str) -> Network:
    parameters = sum(value.numel() for value in made.parameters())
    return Network(made.name, weights, parameters, tuple(made.spec.channels))


def _of_run(folder: Path, option: str) -> Network:
    if option == "--student":
        raise RecipeError(f"{option} {folder}: is a run; name a network (dspkd models) or a file of weights")
    return replace(_described(Run(folder).require_finished().model, "run"), run=str(folder))


def _of_weights(path: Path, classes: int, option: str) -> Network:
    """Return the network of ours whose tensors are those of the file or folder."""
    if not path.exists():
        raise RecipeError(f"{option} {path}: there is no such file")
    reasons = []
    fitting: list[tuple[int, Network]] = []
    for name in zoo.names():
        try:
            made = zoo.make(name, classes=classes, weights=path)
        except PartialWeightsError as error:
            raise RecipeError(f"{option}: {error}") from None
        except WeightsError as error:
            reasons.append(str(error))
            continue
        assert made.loaded, "weights were loaded"
        fitting.append((len(made.loaded.fresh), _described(made, str(path))))
    if not fitting:
        raise RecipeError(
            f"{option} {path}: fits none of our networks ({', '.join(zoo.names())}); for another, write model.name and "
            f"model.weights into the recipe. For example: {reasons[0]}"
        )
    return min(fitting, key=lambda each: each[0])[1]
