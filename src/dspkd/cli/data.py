"""The commands under `dspkd data`: fetch, unpack, make, audit data sets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from dspkd.cli.errors import one_line_errors

app = typer.Typer(no_args_is_help=True, help="Fetch, make and inspect data sets.")

DataArgument = Annotated[Path, typer.Argument(help="A data set: a folder or CSV file of a known layout.")]
GroupOption = Annotated[str | None, typer.Option(help="Column that names the lesion or patient.")]


@app.command("download")
def download(
    name: Annotated[str, typer.Argument(help="isic2019, isic2019-test, ham10000 or pad-ufes-20.")],
    to: Annotated[Path, typer.Option(help="Folder of the data set. A download that was stopped goes on.")],
    mirror: Annotated[
        str | None,
        typer.Option(
            metavar="URL", help="Fetch URL/FILE instead of the published addresses; the same checksums are compared."
        ),
    ] = None,
) -> None:
    """Fetch a published data set: resumed, checked, unpacked; prints licence and citation first.

    A recipe or any other command then reads the folder: data.path = "DIR". The disk must hold the data set and its
    largest zip file, which is deleted once it is unpacked: some 20 GB for isic2019, 4.5 GB for ham10000 and 5 GB for
    pad-ufes-20.
    """
    with one_line_errors(stopped="stopped; what has come is kept, and the same command goes on"):
        from dspkd.data.download.datasets import download as fetch
        from dspkd.runtime.console import DownloadProgress, terminal

        with DownloadProgress(terminal()) as transfer:
            source = fetch(name, to, mirror=mirror, progress=transfer.moved, say=transfer.note)
        typer.echo(f"{to}: complete; layout {source.layout}")


@app.command("unpack")
def unpack(
    file: Annotated[Path, typer.Argument(help="A .npz file of MedMNIST, such as a corrected DermaMNIST.")],
    to: Annotated[Path, typer.Option(help="Folder to make; must not be there yet.")],
) -> None:
    """Write the images of a MedMNIST .npz file as PNG files with a table, keeping the official split.

    The table, images.csv, has the columns path, label and split; in a recipe: data.path = "DIR" and
    split.column = "split".
    """
    with one_line_errors():
        from dspkd.data.download import medmnist
        from dspkd.runtime.console import ConsoleProgress, terminal

        with ConsoleProgress(terminal()) as screen:
            parts = medmnist.unpack(file, to, screen.prepare)
        typer.echo(f"{to}: " + ", ".join(f"{count} {part}" for part, count in parts.items()))
        if parts == medmnist.LEAKING:
            typer.secho(
                "warning: this is DermaMNIST as first published: its official split shows lesions of the test images "
                "in training too. DermaMNIST-C and -E mend that: doi:10.5281/zenodo.11101337",
                fg="yellow",
                err=True,
            )


@app.command("synthesize")
def synthesize(
    folder: Annotated[Path, typer.Argument(help="Where to write; must be empty or missing.")],
    images: Annotated[int, typer.Option(help="How many photographs.")] = 600,
    classes: Annotated[str, typer.Option(help="isic2019 (8 classes) or common (6 common skin diseases).")] = "isic2019",
    layout: Annotated[str, typer.Option(help="isic2019 or folder.")] = "isic2019",
    size: Annotated[int, typer.Option(help="Side in pixels.")] = 96,
    duplicates: Annotated[float, typer.Option(help="Share of images to plant again under another id.")] = 0.0,
    seed: Annotated[int, typer.Option(help="Another seed, other lesions.")] = 0,
) -> None:
    """Write synthetic lesions: drawn, not photographed; for demonstrations and tests."""
    with one_line_errors():
        from dspkd.data.synthetic.dataset import synthesize as make

        made = make(folder, images=images, classes=classes, layout=layout, size=size, duplicates=duplicates, seed=seed)
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

    Finds copies that were flipped, rotated, resized, re-encoded, tinted, slightly cropped or drawn upon. Exit code 1 if
    something was found that invalidates a result, 0 if not, 2 if the data cannot be read.
    """
    with one_line_errors():
        from dspkd import reports
        from dspkd.cli.tables import print_audit
        from dspkd.data import read
        from dspkd.data import split as splitting
        from dspkd.data.audit.audit import audit, write_merged
        from dspkd.runtime.console import progress_bar, terminal

        table = read("auto", data, group=group)
        parts = None if split is None else splitting.load(split, table, by="image")
        with progress_bar(terminal()) as progress:
            audited = audit(table, parts, progress)
        print_audit(terminal(), audited)
        if as_json is not None:
            as_json.write_text(json.dumps(audited.to_json(), indent=1) + "\n", encoding="utf-8")
        if out is not None:
            typer.echo(f"page: {reports.write_audit(audited, out)}")
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
    with one_line_errors():
        from dspkd.cli.tables import print_premium
        from dspkd.data import read
        from dspkd.data.audit.split_inflation import measure
        from dspkd.runtime.console import progress_bar, terminal

        table = read("auto", data, group=group)
        with progress_bar(terminal()) as progress:
            measured = measure(table, seeds=seeds, progress=progress)
        print_premium(terminal(), measured)
