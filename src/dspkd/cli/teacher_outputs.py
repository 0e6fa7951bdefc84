"""The command `dspkd teacher-outputs`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from dspkd.cli.errors import one_line_errors
from dspkd.cli.recipes import RecipeArgument, SetOption


def teacher_outputs(
    recipe: RecipeArgument,
    out: Annotated[Path, typer.Option(help="The .csv or .parquet file to write.")],
    kind: Annotated[
        Literal["logits", "probabilities", "embeddings"],
        typer.Option(
            metavar="KIND",
            help="What to write: logits, probabilities or embeddings, the vectors that the teacher's classifier reads.",
        ),
    ] = "logits",
    override: SetOption = None,
) -> None:
    """Write a recipe's teacher outputs to a file, one row for each image.

    Another recipe learns from it with teacher.answers = "FILE". With images.views = 1, and a term that learns from the
    teacher, training images have the outputs for their one view, from the cache; otherwise, and for validation and test
    images, those for the image as in evaluation.
    """
    with one_line_errors(stopped="stopped; run the same command again, it keeps what is cached"):
        from dspkd.recipes import catalog, schema
        from dspkd.runs import teacher_outputs as outputs
        from dspkd.runtime.console import ConsoleProgress, terminal

        loaded = schema.load(catalog.find(recipe), override or [])
        with ConsoleProgress(terminal()) as screen:
            images = outputs.export(loaded, out, kind, screen)
        shown = "training images in their one view, the others" if outputs.are_of_training(loaded) else "all"
        typer.echo(
            f'{out}: {kind} of {images:,} images, {shown} as in evaluation; in a recipe: teacher.answers = "{out}"'
        )
