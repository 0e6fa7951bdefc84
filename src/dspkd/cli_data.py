"""The commands `dspkd data`. What is slow to import is imported inside the command that needs it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from dspkd.told import told_in_one_line

app = typer.Typer(no_args_is_help=True, help="Make and inspect data sets.")

DataArgument = Annotated[Path, typer.Argument(help="A data set: a folder or CSV file of a known layout.")]
GroupOption = Annotated[str | None, typer.Option(help="Column that names the lesion or patient.")]


@app.command("synthesize")
def data_synthesize(
    folder: Annotated[Path, typer.Argument(help="Where to write; must be empty or missing.")],
    images: Annotated[int, typer.Option(help="How many photographs.")] = 600,
    classes: Annotated[str, typer.Option(help="isic2019 (8 classes) or common (6 common skin diseases).")] = "isic2019",
    layout: Annotated[str, typer.Option(help="isic2019 or folder.")] = "isic2019",
    size: Annotated[int, typer.Option(help="Side in pixels.")] = 96,
    duplicates: Annotated[float, typer.Option(help="Share of images to plant again under another id.")] = 0.0,
    seed: Annotated[int, typer.Option(help="Another seed, other lesions.")] = 0,
) -> None:
    """Write synthetic lesions: drawn, not photographed; for demonstrations and tests."""
    with told_in_one_line():
        from dspkd.data.synthetic import synthesize

        made = synthesize(
            folder, images=images, classes=classes, layout=layout, size=size, duplicates=duplicates, seed=seed
        )
        planted = f", and {made.planted} planted duplicates," if made.planted else ""
        typer.echo(f"{images} synthetic images of {made.lesions} lesions{planted} in {folder}")


@app.command("audit")
def data_audit(
    data: DataArgument,
    split: Annotated[Path | None, typer.Option(help="Also audit this split, as a run folder holds it (CSV).")] = None,
    group: GroupOption = None,
    as_json: Annotated[Path | None, typer.Option("--json", help="Write everything to this JSON file.")] = None,
    out: Annotated[Path | None, typer.Option(help="Write a page with the pairs of copies to this HTML file.")] = None,
    merge: Annotated[
        Path | None,
        typer.Option(help="Write the data set as a CSV in which copies are of one group; train reads it as data.path."),
    ] = None,
) -> None:
    """Look for what makes scores untrue: leaks of a split, copies, contradicting labels, broken images.

    Finds copies that were flipped, turned, resized, re-encoded, tinted, slightly cropped or drawn upon. Exit code 1 if
    something was found that invalidates a result, 0 if not, 2 if the data cannot be read.
    """
    with told_in_one_line():
        from dspkd import report as pages
        from dspkd.data import read
        from dspkd.data import split as splitting
        from dspkd.data.audit import audit, write_merged
        from dspkd.screen import counting, print_audit, terminal

        table = read("auto", data, group=group)
        parts = None if split is None else splitting.load(split, table, by="image")
        with counting(terminal()) as progress:
            audited = audit(table, parts, progress)
        print_audit(terminal(), audited)
        if as_json is not None:
            as_json.write_text(json.dumps(audited.to_json(), indent=1) + "\n", encoding="utf-8")
        if out is not None:
            typer.echo(f"page: {pages.write_audit(audited, out)}")
        if merge is not None:
            gone = write_merged(merge, audited)
            typer.echo(f"merged: {merge}; {len(set(table.groups)) - gone:,} groups, {gone:,} fewer than before")
        if audited.invalid:
            raise typer.Exit(code=1)


@app.command("premium")
def data_premium(
    data: DataArgument,
    group: GroupOption = None,
    seeds: Annotated[int, typer.Option(min=2, help="Splits of each kind.")] = 5,
) -> None:
    """Measure by how much a split by image overstates balanced accuracy, on two cheap probes of thumbnails."""
    with told_in_one_line():
        from dspkd.data import read
        from dspkd.data.premium import measure
        from dspkd.screen import counting, print_premium, terminal

        table = read("auto", data, group=group)
        with counting(terminal()) as progress:
            measured = measure(table, seeds=seeds, progress=progress)
        print_premium(terminal(), measured)
