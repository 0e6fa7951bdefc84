"""The commands under `dspkd data`: inspect, download, unpack, synthesize and audit data sets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from dspkd.cli.errors import one_line_errors

app = typer.Typer(no_args_is_help=True, help="Inspect, download, create and audit data sets.")

DataArgument = Annotated[Path, typer.Argument(help="A data set: a folder or CSV file of a known layout.")]
GroupOption = Annotated[str | None, typer.Option(help="Column that names the lesion or patient.")]


@app.command("inspect")
def inspect(
    data: DataArgument,
    group: GroupOption = None,
    label: Annotated[str | None, typer.Option(help="Column that names the class, if another one is chosen.")] = None,
    image: Annotated[str | None, typer.Option(help="Column of a table that names the image file.")] = None,
) -> None:
    """Print as what a folder or table is read, and why, without opening an image or training anything.

    Layout, classes with their images and lesions or patients, published parts, licences, files that are not read, and
    the lines of a recipe that follow.
    """
    with one_line_errors():
        from dspkd.cli.inspection import print_inspection
        from dspkd.data.inspection import inspect as look
        from dspkd.runtime.console import terminal

        print_inspection(terminal(), look(data, group=group, label=label, image=image))


@app.command("download")
def download(
    name: Annotated[str, typer.Argument(help="isic2019, isic2019-test, ham10000 or pad-ufes-20.")],
    to: Annotated[
        Path | None,
        typer.Option(
            help="Folder of the data set; by default its name, where the recipes for it look. A download that was "
            "stopped is resumed."
        ),
    ] = None,
    mirror: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Download URL/FILE instead of the published addresses; checksums are verified all the same.",
        ),
    ] = None,
) -> None:
    """Download a published data set, verify and unpack it. Prints licence and citation first.

    A recipe or any other command then reads the folder: data.path = "DIR". Disk space for the data set and its largest
    zip file, which is deleted once unpacked: some 20 GB for isic2019, 4.5 GB for ham10000 and 5 GB for pad-ufes-20.
    """
    with one_line_errors(stopped="stopped; run the same command again to resume the download"):
        from dspkd.data.download.datasets import download as fetch
        from dspkd.runtime.console import DownloadProgress, terminal

        with DownloadProgress(terminal()) as transfer:
            folder = to or Path(name)
            source = fetch(name, folder, mirror=mirror, progress=transfer.moved, say=transfer.note)
        typer.echo(f"{folder}: complete; layout {source.layout}")


@app.command("unpack")
def unpack(
    file: Annotated[Path, typer.Argument(help="A .npz file of MedMNIST, such as a corrected DermaMNIST.")],
    to: Annotated[Path, typer.Option(help="Folder to create; must not exist yet.")],
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
                "warning: this is DermaMNIST as first published: its official split has lesions of the test set in the "
                "training set, too. DermaMNIST-C and -E fix that: doi:10.5281/zenodo.11101337",
                fg="yellow",
                err=True,
            )


@app.command("synthesize")
def synthesize(
    folder: Annotated[Path, typer.Argument(help="Folder to write; must be empty or missing.")],
    images: Annotated[int, typer.Option(help="Number of images.")] = 600,
    classes: Annotated[str, typer.Option(help="isic2019 (8 classes) or common (6 common skin diseases).")] = "isic2019",
    layout: Annotated[str, typer.Option(help="isic2019 or folder.")] = "isic2019",
    size: Annotated[int, typer.Option(help="Side of an image in pixels.")] = 96,
    duplicates: Annotated[float, typer.Option(help="Share of images to copy under another id.")] = 0.0,
    seed: Annotated[int, typer.Option(help="Random seed: another seed, other lesions.")] = 0,
) -> None:
    """Write images of synthetic lesions: drawings, not photographs; for demonstrations and tests."""
    with one_line_errors():
        from dspkd.data.synthetic.dataset import synthesize as make

        written = make(
            folder, images=images, classes=classes, layout=layout, size=size, duplicates=duplicates, seed=seed
        )
        planted = f", and {written.planted} planted duplicates," if written.planted else ""
        typer.echo(f"{images} synthetic images of {written.lesions} lesions{planted} in {folder}")


@app.command("audit")
def data_audit(
    data: DataArgument,
    split: Annotated[Path | None, typer.Option(help="Also audit this split: the split.csv of a run folder.")] = None,
    group: GroupOption = None,
    as_json: Annotated[Path | None, typer.Option("--json", help="Write all findings to this JSON file.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="Write a page that shows the pairs of copies to this HTML file.")
    ] = None,
    merge: Annotated[
        Path | None,
        typer.Option(
            help="Write the data set as a CSV file that puts copies into one group, for data.path and data.group."
        ),
    ] = None,
) -> None:
    """Look for what invalidates results: a leaking split, copies, contradictory labels, unreadable images.

    Finds copies that were flipped, rotated, resized, re-encoded, tinted, slightly cropped or drawn upon. Exit code 1 if
    something invalidates results, 0 if not, 2 if the data cannot be read.
    """
    with one_line_errors():
        from dspkd import reports
        from dspkd.cli.tables import print_audit
        from dspkd.data import copies_by_name, read
        from dspkd.data import split as splitting
        from dspkd.data.audit.audit import GROUP, audit, write_merged
        from dspkd.runtime.console import progress_bar, terminal

        as_read = read("auto", data, group=group)
        table = copies_by_name.together(as_read)
        parts = None if split is None else splitting.load(split, table, by="image")
        with progress_bar(terminal()) as progress:
            audited = audit(table, parts, progress)
        print_audit(terminal(), audited)
        if as_json is not None:
            as_json.write_text(json.dumps(audited.to_json(), indent=1) + "\n", encoding="utf-8")
        if out is not None:
            typer.echo(f"page: {reports.write_audit(audited, out)}")
        if merge is not None:
            groups = len(set(table.groups)) - write_merged(merge, audited)
            typer.echo(f"merged: {merge}; {groups:,} groups, {len(set(as_read.groups)) - groups:,} fewer than before")
            typer.echo(f'a recipe reads it with data.path = "{merge}" and data.group = "{GROUP}"')
        if audited.invalid:
            raise typer.Exit(code=1)


@app.command("split-inflation")
def split_inflation(
    data: DataArgument,
    group: GroupOption = None,
    seeds: Annotated[int, typer.Option(min=2, help="Number of splits of each kind.")] = 5,
) -> None:
    """Measure by how much a split by image inflates balanced accuracy against one by lesion, with two cheap probes."""
    with one_line_errors():
        from dspkd.cli.tables import print_split_inflation
        from dspkd.data import read
        from dspkd.data.audit.split_inflation import measure
        from dspkd.runtime.console import progress_bar, terminal

        table = read("auto", data, group=group)
        with progress_bar(terminal()) as progress:
            measured = measure(table, seeds=seeds, progress=progress)
        print_split_inflation(terminal(), measured)
