"""Speed of the loader compared with torchvision's, on 600x450 JPEGs; cost of its parts; memory over epochs.

    python benchmarks/bench_loader.py
    python benchmarks/bench_loader.py --data ../shared/data/dermoscopy-288-mini --sizes 96 224

torchvision: ImageFolder, RandomResizedCrop, both flips, RandAugment(2, 9), all on Pillow images, then float tensors,
in a DataLoader in this process. dspkd: images decoded once, then the same transforms and rotations, in its TrainBatches
in this process. One thread, batch by batch in turn; the time to decode once is printed separately. Images are synthetic
ones, or those of a folder, resized to 600x450.
"""

import argparse
import itertools
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from memory import memory_mib
from PIL import Image
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2
from turns import as_line, ratio, take_turns

from dspkd import data
from dspkd.data.decode_cache import DecodeCache
from dspkd.data.loader import TrainBatches
from dspkd.data.synthetic.dataset import synthesize
from dspkd.data.transforms import Augmentation


def jpegs(folder, source, count):
    """Write `count` JPEGs of 600x450 as a folder for each class."""
    if source is None:
        source = folder / "painted"
        synthesize(source, images=count, size=300, seed=0)
    table = data.read("auto", source)
    for row in np.random.default_rng(0).permutation(len(table))[:count]:
        path = folder / "jpegs" / table.classes[table.labels[row]] / f"{row}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        with Image.open(table.paths[row]) as image:
            image.convert("RGB").resize((600, 450), Image.Resampling.BICUBIC).save(path, quality=95)
    return folder / "jpegs"


def endless(epoch):
    """Return a function that loads the next batch, epoch after epoch; `epoch` returns the batches of one."""
    batches = itertools.chain.from_iterable(epoch(number) for number in itertools.count())

    def step():
        next(batches)

    return step


def torchvision_epoch(folder, size, batch, ops):
    transform = v2.Compose([
        v2.RandomResizedCrop(size), v2.RandomHorizontalFlip(), v2.RandomVerticalFlip(), v2.RandAugment(ops, 9),
        v2.PILToTensor(), v2.ToDtype(torch.float32, scale=True),
    ])  # fmt: skip
    loader = torch.utils.data.DataLoader(ImageFolder(folder, transform), batch, shuffle=True, drop_last=True)
    return lambda number: loader


def parts(decoded, augment, rows, batch):
    """Return processor milliseconds per image: reading, the affine transform, RandAugment."""
    plain = Augmentation(size=augment.size, num_ops=0)

    def spent(work):
        started = time.process_time()
        images = [work(int(row)) for row in rows]
        return 1e3 * (time.process_time() - started) / len(rows), images

    reading, _ = spent(decoded)
    mapped, views = spent(lambda row: plain.pixels(decoded(row), name=str(row), view=0, seed=0))
    alter = v2.RandAugment(2, 9)
    images = [Image.fromarray(view) for view in views]
    altering, _ = spent(lambda row: alter(images[row % len(images)]))
    return {"reading": reading, "crop, turn, flip": mapped - reading, "RandAugment": altering}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="a folder of images; synthetic ones without it")
    parser.add_argument("--images", type=int, default=160)
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 96, 150, 224])
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=30, help="batches of each")
    parser.add_argument("--epochs", type=int, default=10, help="epochs over which memory is measured")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as temporary:
        folder = jpegs(Path(temporary), options.data, options.images)
        table = data.read("folder", folder)
        rows = np.arange(len(table))
        print(f"{len(table)} JPEGs of {np.mean([path.stat().st_size for path in table.paths]) / 1e3:.0f} kB")
        for size in options.sizes:
            augment = Augmentation(size=size)
            started = time.process_time()
            decoded = DecodeCache(
                table,
                rows,
                augment.decode_side,
                Path(temporary) / "cache",
                progress=lambda *_: None,
                log=lambda _: None,
            )
            once = 1e3 * (time.process_time() - started) / len(rows)
            ours = TrainBatches(table, rows, augment, batch_size=options.batch, decoded=decoded)
            spent = take_turns(
                {
                    "torchvision": endless(torchvision_epoch(folder, size, options.batch, 2)),
                    "dspkd": endless(ours.epoch),
                },
                options.rounds,
            )
            print(
                as_line(f"{size} px: images a second, dspkd / torchvision", ratio(spent["torchvision"], spent["dspkd"]))
            )
            each = {name: 1e3 * np.median(pairs[:, 1]) / options.batch for name, pairs in spent.items()}
            each |= {"decoding once": once, **parts(decoded, augment, rows, options.batch)}
            print("    processor ms an image: " + ", ".join(f"{name} {ms:.2f}" for name, ms in each.items()))
        memory = []
        for epoch in range(options.epochs):
            for _ in ours.epoch(epoch):
                pass
            memory.append(memory_mib())
        print(f"MiB resident (in use by the allocator) after each epoch at {size} px: {', '.join(memory)}")


if __name__ == "__main__":
    main()
