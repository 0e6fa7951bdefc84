"""The hardware settings of a run: device, precision, compilation, loader processes, cache folder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import torch
from torch import nn

from dspkd.errors import RecipeError
from dspkd.recipes.machine import MachineConfig
from dspkd.recipes.schema import Recipe, TrainConfig
from dspkd.runs import fastest
from dspkd.runtime.cores import available_cores, share_of_cores
from dspkd.runtime.distributed import SINGLE, World
from dspkd.runtime.files import user_cache
from dspkd.training.loop import StepConfig

M = TypeVar("M", bound=nn.Module)


def device(machine: MachineConfig, world: World = SINGLE) -> torch.device:
    """Return the recipe's device; ``auto`` is a GPU where there is one. Each of several processes gets its own GPU.

    Raises
    ------
    RecipeError
        There is no such device, or fewer GPUs than processes on this machine.
    """
    if world.size > 1 and machine.device in {"auto", "cuda"} and torch.cuda.is_available():
        if world.local_size > torch.cuda.device_count():
            raise RecipeError(
                f"{world.local_size} processes on a machine with {torch.cuda.device_count()} GPUs, and each needs one; "
                'start as many as there are GPUs, or set machine.device = "cpu"'
            )
        return torch.device("cuda", world.local_rank)
    if world.size > 1 and machine.device.startswith("cuda:"):
        raise RecipeError(f'machine.device = {machine.device!r}: each process needs a GPU of its own; set it to "cuda"')
    if machine.device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(machine.device)
        torch.empty(0, device=chosen).cpu()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise RecipeError(f"machine.device = {machine.device!r}: {str(error).splitlines()[0]}") from None
    return chosen


def placed(network: M, device: torch.device) -> M:
    """Return the network on `device` with its weights in channels-last memory format, where convolutions are faster."""
    return network.to(device).to(memory_format=torch.channels_last)


def bf16(train: TrainConfig, device: torch.device) -> bool:
    """Return whether to compute in bfloat16 autocast; ``auto`` does so on a GPU."""
    return train.precision == "bfloat16" or (train.precision == "auto" and device.type == "cuda")


def threads(recipe: Recipe, world: World = SINGLE) -> int:
    """Return the CPU threads of a run that has the machine to itself: the recipe's, or those measured to be fastest.

    0, which means torch's default, where the recipe sets none and `dspkd plan --fastest` has not measured its step, and
    where several processes share the machine.
    """
    measured = fastest.of(recipe) if world.size == 1 else None
    return recipe.machine.threads or (measured.threads if measured else 0)


def of_job(recipe: Recipe, jobs: int) -> Recipe:
    """Return the recipe with the hardware settings of one of `jobs` runs of a comparison at the same time.

    Threads are the recipe's, or the run's share of the cores. ``machine.compile = "auto"`` is no: what was measured is
    one run alone, and a method with a share cannot be compiled, so that the times of methods would not be comparable.
    """
    count = (threads(recipe) if jobs == 1 else recipe.machine.threads) or share_of_cores(jobs)
    return replace(recipe, machine=replace(recipe.machine, threads=count, compile=recipe.machine.compile is True))


def compiles(recipe: Recipe, images: int, world: World = SINGLE) -> bool:
    """Return whether to compile networks with torch.compile.

    ``auto`` compiles where `dspkd plan --fastest` has measured the recipe's step, and this run, of so many training
    `images` an epoch, is then expected to end earlier.

    Raises
    ------
    RecipeError
        Several processes would compile.
    """
    compile = recipe.machine.compile
    if compile is True and world.size > 1:
        raise RecipeError(
            f"machine.compile = true: batch normalisation over {world.size} processes cannot be compiled; "
            "start one process, or set it to false"
        )
    if compile != "auto":
        return compile
    measured = fastest.of(recipe)
    if measured is None or world.size > 1 or any(term.share for stage in recipe.stages for term in stage.terms):
        return False
    steps = recipe.epochs * -(-images // recipe.train.batch_size)
    return measured.saved_by_compiling(steps, len(recipe.stages)) > 0


def measured_settings(recipe: Recipe, world: World = SINGLE) -> str:
    """Return what this run takes from the measurements of `dspkd plan --fastest`, "" if nothing."""
    measured = fastest.of(recipe) if world.size == 1 else None
    open_settings = ["threads"] * (not recipe.machine.threads) + ["compile"] * (recipe.machine.compile == "auto")
    if measured is None or not open_settings:
        return ""
    names = " and ".join(f"machine.{name}" for name in open_settings)
    return f"{names}: as dspkd plan --fastest measured on {measured.measured} ({fastest.file()})"


def step_config(recipe: Recipe, device: torch.device, *, compiled: bool, world: World = SINGLE) -> StepConfig:
    """Return how the recipe's training steps are computed on `device`.

    Raises
    ------
    RecipeError
        A term has a share, and networks are compiled or several processes share each batch.
    """
    if compiled or world.size > 1:
        _refuse_shares(recipe, "machine.compile = true" if compiled else f"{world.size} processes")
    return StepConfig(
        device=device,
        bf16=bf16(recipe.train, device),
        compiled=compiled,
        clip=recipe.train.clip,
        ema=recipe.train.ema,
        world=world,
    )


def _refuse_shares(recipe: Recipe, setting: str) -> None:
    """Refuse shares where the gradient of one term cannot be measured: `setting` says where."""
    for s, stage in enumerate(recipe.stages):
        for t, term in enumerate(stage.terms):
            if term.share:
                raise RecipeError(
                    f"stages.{s}.terms.{t}.share = {term.share:g}: not with {setting}, where gradients of single terms "
                    "are not measured; train in one process without compiling, or give the term a weight"
                )


def workers(machine: MachineConfig, device: torch.device, world: World = SINGLE) -> int:
    """Return the number of loader processes of this process; ``auto`` means none on a CPU, which is busy anyway."""
    if machine.workers != "auto":
        return machine.workers
    return 0 if device.type == "cpu" else max(min(available_cores() // world.local_size - 1, 16), 0)


def cache_folder(machine: MachineConfig) -> Path | None:
    """Return the folder of cached images and teacher outputs, which runs share; None where nothing is cached."""
    if machine.cache == "none":
        return None
    if machine.cache == "auto":
        return user_cache()
    return Path(machine.cache)
