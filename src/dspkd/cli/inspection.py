"""What `dspkd data inspect` prints."""

from __future__ import annotations

from rich.console import Console

from dspkd.data.inspection import Inspection
from dspkd.data.table import is_named
from dspkd.runtime.console import headed


def print_inspection(console: Console, inspection: Inspection) -> None:
    """Print as what a data set was read and why, its classes and parts, and the lines of a recipe."""
    table = inspection.table
    console.print(inspection.layout, soft_wrap=True, markup=False)
    for line in inspection.facts:
        console.print(line, soft_wrap=True, markup=False)
    parts = inspection.parts
    if parts:
        counts = ", ".join(f"{part or 'in no known part'} {images:,}" for part, images in parts.items())
        console.print(f"parts as published, by {table.origin.parts}: {counts}", soft_wrap=True, markup=False)
    else:
        console.print("parts: none published")
    if not inspection.licences:
        console.print("licences: not provided")
    for warning in inspection.warnings:
        console.print(f"warning: {warning}", soft_wrap=True, markup=False)
    grouped = any(map(is_named, table.groups))
    counted = headed("images (lesions or patients)" if grouped else "images", ["class"], ["all"])
    for name, (images, groups) in table.counts().items():
        counted.add_row(name, f"{images:,} ({groups:,})" if grouped else f"{images:,}")
    console.print(counted)
    console.print("in a recipe:")
    for line in inspection.recipe:
        console.print(f"    {line}" if line else "", soft_wrap=True, markup=False)
