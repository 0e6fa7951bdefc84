"""Whether all processes that train together train the same."""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib.metadata import version

from dspkd.errors import RunError
from dspkd.recipes.schema import Recipe
from dspkd.runtime.distributed import World

_PACKAGES = ("dspkd", "torch", "torchvision", "timm")
"""Packages in another version of which a step may be another one."""

_DIGITS = 12
"""Of a digest, in messages."""


def require_same_recipe(recipe: Recipe, world: World) -> None:
    """Refuse ranks of other recipes or versions, before one of them waits for what another does not do.

    Each machine may have the images at a path of its own: their content is compared once they are read.

    Raises
    ------
    RunError
        See `require_same`.
    """
    anywhere = replace(recipe, data=replace(recipe.data, path="images"))
    require_same(world, lambda: {"recipe": anywhere.digest, **{name: version(name) for name in _PACKAGES}})


def require_same(world: World, facts: Callable[[], Mapping[str, str]]) -> None:
    """Compare facts of all ranks with those of rank 0; with one rank nothing is computed.

    Raises
    ------
    RunError
        Names the first fact that differs, rank and machine; a `RankError` on other ranks than the first.
    """
    if world.size == 1:
        return
    every = world.all_gather((platform.node(), world.on_all(facts)))

    def compare() -> None:
        _, expected = every[0]
        for rank, (machine, own) in enumerate(every):
            for name, value in expected.items():
                if own[name] != value:
                    raise RunError(
                        f"{name}: {own[name][:_DIGITS]} on rank {rank} ({machine}), but {value[:_DIGITS]} on rank 0; "
                        "start all ranks with the same recipe, files and versions"
                    )

    world.on_all(compare)
