"""The command that converts a bundle to the formats of phones."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dspkd.cli.errors import one_line_errors
from dspkd.errors import DspkdError

app = typer.Typer()


@app.command()
def convert(
    bundle: Annotated[Path, typer.Argument(help="A bundle: model.dspkd.")],
    to: Annotated[
        str, typer.Option(metavar="FORMATS", help="One or several of litert, executorch, ncnn, coreml, with commas.")
    ],
    out: Annotated[Path, typer.Option(help="Folder for the files and their certificate.")] = Path("phone"),
    int8: Annotated[
        bool,
        typer.Option("--int8", help="Also the smaller form of each: int8, for NCNN 16-bit weights. Needs --images."),
    ] = False,
    images: Annotated[
        Path | None,
        typer.Option(help="What dspkd export --keep-images wrote for this bundle: measure recall on these images."),
    ] = None,
    python: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FORMAT=PATH",
            help="A Python that has the converter; by default one is installed, once. Can be repeated.",
        ),
    ] = None,
    keep_failed: Annotated[
        bool, typer.Option("--keep-failed", help="Also write files that fail, named FAILED, to examine them.")
    ] = False,
) -> None:
    """Convert a bundle for Android, iOS and small devices, run every file here, and write a certificate.

    From the bundle alone; each converter has a Python environment of its own. A file passes if its logits are those of
    the bundle (float32), or if it misses no more cancers on the kept validation images (int8). A file that fails is not
    written, and the exit code is 1. Core ML does not run on this machine unless it is a Mac: such a file is marked
    NEVER RUN.
    """
    with one_line_errors():
        from dspkd.deploy.bundle.reader import open_bundle
        from dspkd.deploy.convert.convert import convert as convert_bundle

        records = convert_bundle(
            open_bundle(bundle),
            [name.strip() for name in to.split(",") if name.strip()],
            out,
            smaller=int8,
            images=images,
            pythons=dict(map(_named, python or [])),
            keep_failed=keep_failed,
            log=typer.echo,
        )
        typer.echo(f"certificate: {out / 'conversion.md'}")
        if any(record.problems for record in records):
            raise typer.Exit(code=1)


def _named(setting: str) -> tuple[str, Path]:
    name, _, path = setting.partition("=")
    if not path:
        raise DspkdError(f"--python {setting}: want FORMAT=PATH, such as litert=/envs/litert/bin/python")
    return name, Path(path)
