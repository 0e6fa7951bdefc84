"""Which networks are meant by ``--student`` and ``--teacher``, and which weights they start from."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from dspkd.errors import PartialWeightsError, RecipeError, WeightsError
from dspkd.models import hub_folder, zoo
from dspkd.models.tapped import Tapped
from dspkd.runs.files import RunFiles
from dspkd.runs.run_folder import WEIGHTS, Run

_TIMM = "timm:"


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
    as_it_is
        Whether the weights are all there, with a classifier for the data's classes: a teacher is then not trained.
    """

    name: str
    weights: str
    parameters: int
    taps: tuple[str, ...] = ()
    run: str = ""
    as_it_is: bool = False

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
        A network's name, ``timm:NAME``, ``torchvision:NAME``, a file or Hugging Face folder of weights,
        ``NAME=FILE`` for weights of a network that is not recognised, or (for a teacher) the folder of a finished run.
        A name is the network, also where a file or folder is called so; that is ``./NAME``.
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
    if zoo.has(text.removeprefix(_TIMM)):
        return _of_name(text, classes, option)
    path = Path(text)
    if run_of(text):
        return _of_run(path, option)
    network, equals, file = text.partition("=")
    if path.is_file() and path.suffix not in WEIGHTS:
        what = "a bundle, which is made to predict, not to train" if path.suffix == ".dspkd" else "no file of weights"
        raise RecipeError(
            f"{option} {text}: {what}; name a run, such as that of a bundle, or a file with {', '.join(WEIGHTS)}"
        )
    if path.exists() or (path.suffix in WEIGHTS and not equals):
        return _of_weights(text, classes, option)
    if equals:
        return _with_weights(network, file, classes, option)
    return _of_name(text, classes, option)


def run_of(text: str) -> Path | None:
    """Return the run folder that an option names; None where it names anything else."""
    path = Path(text)
    return path if RunFiles(path).recipe.is_file() and not zoo.has(text.removeprefix(_TIMM)) else None


def unused_path(text: str) -> str:
    """Return a note where a name, which is that of a network, is also a file's or folder's; "" elsewhere."""
    if not (Path(text).exists() and zoo.has(text.removeprefix(_TIMM))):
        return ""
    kind = "folder" if Path(text).is_dir() else "file"
    return f"{text} is the network of this name, not the {kind} here; the {kind} is ./{text}"


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


def _of_name(name: str, classes: int, option: str) -> Network:
    try:
        return _described(zoo.make(name.removeprefix(_TIMM), classes=classes), "none")
    except RecipeError as error:
        raise RecipeError(f"{option} {name}: {error}") from None


def _described(made: Tapped, weights: str) -> Network:
    parameters = sum(value.numel() for value in made.parameters())
    return Network(made.name, weights, parameters, tuple(made.spec.channels))


def _of_run(folder: Path, option: str) -> Network:
    if option == "--student":
        raise RecipeError(f"{option} {folder}: is a run; name a network (dspkd models) or a file of weights")
    return replace(_described(Run(folder).require_finished().model, "run"), run=str(folder))


def _of_weights(weights: str, classes: int, option: str) -> Network:
    """Return the network that a Hugging Face folder, or that of the file, names; else the one of ours that fits it."""
    if not Path(weights).exists():
        raise RecipeError(f"{option} {weights}: there is no such file")
    if named := hub_folder.architecture(Path(weights)):
        return _with_weights(named, weights, classes, option)
    reasons = []
    fitting: list[Tapped] = []
    for name in zoo.names():
        try:
            fitting.append(zoo.make(name, classes=classes, weights=weights))
        except PartialWeightsError as error:
            raise RecipeError(f"{option}: {error}") from None
        except WeightsError as error:
            reasons.append(str(error))
    if not fitting:
        raise RecipeError(
            f"{option} {weights}: fits none of our networks ({', '.join(zoo.names())}); for another of timm's or "
            f"torchvision's, name it: {option} NAME={weights}. For example: {reasons[0]}"
        )
    return _loaded(min(fitting, key=lambda made: len(made.loaded.fresh if made.loaded else ())), weights)


def _with_weights(name: str, weights: str, classes: int, option: str) -> Network:
    try:
        return _loaded(zoo.make(name.removeprefix(_TIMM), classes=classes, weights=weights), weights)
    except (RecipeError, WeightsError) as error:
        raise RecipeError(f"{option}: {error}") from None


def _loaded(made: Tapped, weights: str) -> Network:
    assert made.loaded, "made with weights"
    return replace(_described(made, weights), as_it_is=not made.loaded.fresh)
