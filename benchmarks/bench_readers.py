"""Seconds and memory of reading tables of 400,000 images, and of recognising a layout beside tables of pixels.

    python benchmarks/bench_readers.py [ROWS]

Writes a table of ISIC 2024's columns and empty image files into a temporary folder, the same images with a table of six
columns as CSV, JSON lines and parquet, and reads each in a process of its own. The floor is a process that only imports
what reading needs.
"""

import csv
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

MEASURE = """
import resource, sys, time
from pathlib import Path
from dspkd import data
started = time.monotonic()
{body}
print(f"{{time.monotonic() - started:.1f}} s ({{time.process_time():.1f}} s of processor time), "
      f"{{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f}} MB at most")
"""
READ = 'data.read("auto", Path(sys.argv[1]))'


def measured(body, *arguments):
    code = MEASURE.format(body=body)
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def isic2024(folder, rows):
    """Lay 400,000 empty files and a table of 41 columns, 35 of them measurements."""
    (folder / "train-image/image").mkdir(parents=True)
    measurements = [f"tbp_lv_{number}" for number in range(35)]
    header = ["isic_id", "target", "patient_id", "age_approx", "sex", "copyright_license", *measurements]
    with (folder / "train-metadata.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        for row in range(rows):
            name = f"ISIC_{row:07d}"
            (folder / f"train-image/image/{name}.jpg").touch()
            floats = [f"{(row * 7919 + column) % 1000003 / 997:.6f}" for column in range(35)]
            writer.writerow([name, int(row % 1000 == 0), f"IP_{row // 400}", row % 18 * 5, "male", "CC-0", *floats])


def plain_tables(folder, images, rows):
    """Lay a folder for each format, with a table of six columns beside a link to the images; return the folders."""
    import pyarrow
    import pyarrow.parquet

    names = ("image", "label", "patient_id", "sex", "age", "localisation")
    every = [
        (f"ISIC_{row:07d}.jpg", ("nv", "mel")[row % 1000 == 0], f"IP_{row // 400}", "male", row % 18 * 5, "trunk")
        for row in range(rows)
    ]
    folders = {kind: folder / kind for kind in ("csv", "jsonl", "parquet")}
    for each in folders.values():
        each.mkdir()
        (each / "images").symlink_to(images, target_is_directory=True)
    with (folders["csv"] / "labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows([names, *every])
    with (folders["jsonl"] / "labels.jsonl").open("w") as file:
        file.writelines(json.dumps(dict(zip(names, cells, strict=True))) + "\n" for cells in every)
    columns = dict(zip(names, zip(*every, strict=True), strict=True))
    pyarrow.parquet.write_table(pyarrow.table(columns), folders["parquet"] / "labels.parquet")
    return folders


def pixel_tables(folder, rows=10015):
    """Lay the four tables of pixels that mirrors of HAM10000 have beside it."""
    (folder / "part_1").mkdir()
    with (folder / "HAM10000_metadata.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["lesion_id", "image_id", "dx", "age", "sex"])
        for row in range(30):
            (folder / f"part_1/ISIC_{row}.jpg").touch()
            writer.writerow([f"HAM_{row}", f"ISIC_{row}", ("mel", "nv")[row % 2], 50, "male"])
    for name, pixels in (("8_8_L", 64), ("8_8_RGB", 192), ("28_28_L", 784), ("28_28_RGB", 2352)):
        with (folder / f"hmnist_{name}.csv").open("w") as file:
            file.write(",".join([*(f"pixel{number:04d}" for number in range(pixels)), "label"]) + "\n")
            file.writelines(",".join(["128"] * pixels + ["2"]) + "\n" for _ in range(rows))


def main(rows):
    print(f"nothing but imports: {measured('pass')}")
    # First, as Linux counts the memory of this process to that of one it starts.
    with tempfile.TemporaryDirectory() as name:
        pixel_tables(Path(name))
        print(f"ham10000 beside four tables of pixels: {measured(READ, name)}")
    with tempfile.TemporaryDirectory() as name:
        started = time.monotonic()
        whole = Path(name) / "isic2024"
        isic2024(whole, rows)
        print(f"({rows:,} rows laid in {time.monotonic() - started:.0f} s)")
        print(f"isic2024, {rows:,} images: {measured(READ, whole)}")
        for kind, folder in plain_tables(Path(name), whole / "train-image/image", rows).items():
            print(f"{kind}, {rows:,} images: {measured(READ, folder)}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 400_000)
