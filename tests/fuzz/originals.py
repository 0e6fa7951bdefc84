"""Valid inputs, which are then changed: images in every form, and a small data set of each family of layouts."""

import json

import numpy as np
import pyarrow as pa
from PIL import Image
from pyarrow import parquet

from dspkd import data
from dspkd.data import answer_files
from serving import encoded, lesion


def images():
    """Return a small image in every form."""
    image = lesion(1, size=64)
    exif = Image.Exif()
    exif[274] = 6
    grey = image.convert("L")
    deep = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    forms = [
        *((image, "JPEG", options) for options in ({"exif": exif}, {"progressive": True}, {"quality": 100})),
        *((grey, "JPEG", {}), (image.convert("CMYK"), "JPEG", {})),
        *((image.convert(mode), "PNG", {}) for mode in ("1", "P", "LA", "RGBA", "RGB")),
        *(
            (deep, "PNG", {}),
            (image, "PNG", {"exif": exif}),
            (image, "PNG", {"save_all": True, "append_images": [grey]}),
        ),
        *((image, "WEBP", {"quality": 80}), (image, "WEBP", {"lossless": True, "exif": exif})),
        *((image.convert("P"), "GIF", {}), (image, "BMP", {}), (grey, "BMP", {})),
        *((image, "TIFF", {"compression": name}) for name in ("raw", "tiff_lzw", "tiff_adobe_deflate", "jpeg")),
        *((deep, "TIFF", {}), (image.convert("1"), "TIFF", {"compression": "group4"})),
        (image, "MPO", {"save_all": True, "append_images": [image]}),
        *([(image, "AVIF", {})] if "AVIF" in Image.SAVE else []),
    ]
    return [encoded(each, form, **options) for each, form, options in forms]


def write_sets(folder):
    """Write a small data set of each family of layouts, and files of answers, each in a folder of its own."""
    small = [encoded(lesion(n, size=32), "PNG") for n in range(4)]
    rows = [(f"i{n}", "ab"[n % 2], f"L{n // 2}", (n % 2 and "male") or "female", 30 + n) for n in range(24)]

    def of(name, *, images="images"):
        (folder / name / images).mkdir(parents=True)
        for n, row in enumerate(rows):
            (folder / name / images / f"{row[0]}.png").write_bytes(small[n % 4])
        return folder / name

    table = of("csv")
    lines = ["image,label,lesion_id,sex,age", *(f"images/{i}.png,{c},{g},{s},{a}" for i, c, g, s, a in rows)]
    (table / "data.csv").write_text("\n".join(lines) + "\n")
    published = of("isic", images="ISIC_2019_Training_Input")
    truth = [f"{row[0]},{','.join(f'{n % 8 == place:.1f}' for place in range(9))}" for n, row in enumerate(rows)]
    header = "image,MEL,NV,BCC,AK,BKL,DF,VASC,SCC,UNK"
    (published / "ISIC_2019_Training_GroundTruth.csv").write_text("\n".join([header, *truth]) + "\n")
    attributes = [f"{i},{a},anterior torso,{g},{s}" for i, _, g, s, a in rows]
    header = "image,age_approx,anatom_site_general,lesion_id,sex"
    (published / "ISIC_2019_Training_Metadata.csv").write_text("\n".join([header, *attributes]) + "\n")
    faces = of("imagefolder", images="train")
    said = [json.dumps({"file_name": f"{i}.png", "label": c, "lesion_id": g}) for i, c, g, *_ in rows]
    (faces / "train" / "metadata.jsonl").write_text("\n".join(said) + "\n")
    (folder / "medmnist").mkdir()
    draw = np.random.default_rng(0)
    pixels = {f"{part}_images": draw.integers(0, 256, (8, 28, 28, 3), np.uint8) for part in ("train", "val", "test")}
    labels = {f"{part}_labels": np.uint8([[n % 2] for n in range(8)]) for part in ("train", "val", "test")}
    np.savez(folder / "medmnist" / "dermamnist.npz", **pixels, **labels)
    (folder / "huggingface" / "data").mkdir(parents=True)
    cells = [{"bytes": small[n % 4], "path": f"{row[0]}.png"} for n, row in enumerate(rows)]
    columns = pa.table({"image": cells, "label": [row[1] for row in rows], "lesion_id": [row[2] for row in rows]})
    parquet.write_table(columns, folder / "huggingface" / "data" / "train-00000-of-00001.parquet")
    (folder / "answers").mkdir()
    ids, values = [row[0] for row in rows], draw.normal(size=(24, 2)).astype(np.float32)
    for suffix in ("csv", "parquet"):
        answer_files.write(folder / "answers" / f"answers.{suffix}", "logits", ids, ("a", "b"), values)
    for name in ("csv", "isic", "imagefolder", "medmnist", "huggingface"):
        read = data.load(folder / name, merge_copies=False)
        if name != "medmnist":
            read.split.save(folder / name / "split.csv", read.table)
