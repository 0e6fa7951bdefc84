"""The recipes and grids that come with the package, one TOML file each, described in its header."""

from __future__ import annotations

import os
from pathlib import Path

from dspkd.errors import RecipeError, suggest

_FOLDER = Path(__file__).parent / "library"
_GRIDS = "grids/"


def names() -> list[str]:
    """Return the names of all embedded recipes, such as ``demo/dsp_kd``, sorted."""
    return [name for name in _embedded() if not name.startswith(_GRIDS)]


def grids() -> list[str]:
    """Return the names of all embedded grids, such as ``grids/demo``, sorted."""
    return [name for name in _embedded() if name.startswith(_GRIDS)]


def find(name: str | Path) -> Path:
    """Return the file of the recipe `name`: a path to a TOML file, or the name of an embedded recipe.

    Raises
    ------
    RecipeError
        There is neither; suggests the nearest name.
    """
    return _find(name, names(), "recipe")


def find_grid(name: str | Path) -> Path:
    """Return the file of the grid `name`: a path to a TOML file, or the name of an embedded grid.

    Raises
    ------
    RecipeError
        There is neither; suggests the nearest name.
    """
    return _find(name, grids(), "grid")


def find_either(name: str | Path) -> Path:
    """Return the file of the recipe or grid `name`; RecipeError as `find` raises it."""
    return find_grid(name) if str(name) in grids() else find(name)


def headline(path: Path) -> str:
    """Return the first line of the recipe's header comment."""
    return path.read_text(encoding="utf-8").split("\n", 1)[0].lstrip("# ")


def _embedded() -> list[str]:
    return sorted(path.relative_to(_FOLDER).with_suffix("").as_posix() for path in _FOLDER.rglob("*.toml"))


def _find(name: str | Path, names: list[str], kind: str) -> Path:
    if os.path.isfile(name):  # noqa: PTH113 - unlike Path.is_file, False for a name that is too long
        return Path(name)
    if os.path.isdir(name):  # noqa: PTH112
        inside = ", ".join(sorted(map(str, Path(name).glob("*.toml")))) or "none in it"
        raise RecipeError(f"{name}: a folder, not a {kind}; name a TOML file: {inside}")
    embedded = Path(str(name).removesuffix(".toml")).as_posix()
    if embedded in names:
        return _FOLDER / f"{embedded}.toml"
    if embedded in _embedded():
        use = "dspkd compare" if kind == "recipe" else "dspkd train"
        raise RecipeError(f"{name} is not a {kind}: {use} {name} --out DIR uses it")
    remedy = suggest(embedded, names)
    if Path(name).suffix == ".toml" and remedy.startswith("known: "):
        raise RecipeError(f"{name}: there is no such file; dspkd recipes ls lists what comes with the package")
    raise RecipeError(f"no {kind} {str(name)!r}: neither a file nor an embedded {kind}; {remedy}")
