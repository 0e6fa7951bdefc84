"""Device, server and preview show the network the same pixels, whatever a file says beside its pixels: bit for bit."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms, PngImagePlugin

from browsing import open_page
from dspkd.deploy.bundle import preprocess
from serving import encoded, lesion

SHORT, BYTE, ASCII, LONG, RATIONAL, SIGNED = 3, 1, 2, 4, 5, 8
IMAGE = lesion(5, size=64).crop((0, 0, 64, 47))
OTHER = Image.new("RGB", IMAGE.size, (10, 200, 30))


def exif(value=6, kind=SHORT, count=1, *, order="<", before=(), offset=8, entries=None):
    """Return EXIF with these entries before its orientation."""
    fields = [(tag, SHORT, 1, number) for tag, number in before] + [(0x112, kind, count, value)]
    packed = b"".join(
        struct.pack(f"{order}HHI", *field[:3])
        + (
            struct.pack(f"{order}I", field[3])
            if field[1] in (LONG, RATIONAL, ASCII)
            else struct.pack(f"{order}HH", field[3], 0)
        )
        for field in fields
    )
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", offset)
    count_of = struct.pack(f"{order}H", len(fields) if entries is None else entries)
    return b"Exif\0\0" + head + bytes(offset - 8) + count_of + packed + bytes(4)


def xmp(value):
    return f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf tiff:Orientation="{value}"/></x:xmpmeta>'.encode()


def segment(data, *contents, marker=0xE1):
    """Put segments after the first two bytes of a JPEG."""
    return data[:2] + b"".join(struct.pack(">BBH", 0xFF, marker, len(each) + 2) + each for each in contents) + data[2:]


def chunk(name, content):
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def with_chunks(data, *chunks, late=False):
    """Put chunks after the header of a PNG, or before its end."""
    at = len(data) - 12 if late else 33
    return data[:at] + b"".join(chunk(name, content) for name, content in chunks) + data[at:]


def webp_without_flag(data):
    """Clear the flag of a WebP that it has EXIF."""
    assert data[12:16] == b"VP8X"
    return data[:20] + bytes([data[20] & ~0x08]) + data[21:]


def profile():
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def variants():
    """Return a file of each kind by its name."""
    jpeg, png, webp = encoded(IMAGE, quality=90), encoded(IMAGE, "PNG"), encoded(IMAGE, "WEBP", lossless=True)
    raw = {"png": (encoded, "PNG", {}), "webp": (encoded, "WEBP", {"lossless": True}), "jpeg": (encoded, "JPEG", {})}
    made = {}
    for name, (write, form, options) in raw.items():
        for value in range(1, 9):
            made[f"{name} exif {value}"] = write(IMAGE, form, exif=exif(value), **options)
        made[f"{name} big-endian"] = write(IMAGE, form, exif=exif(8, order=">"), **options)
        made[f"{name} byte"] = write(IMAGE, form, exif=exif(6, BYTE), **options)
        made[f"{name} long"] = write(IMAGE, form, exif=exif(6, LONG), **options)
        made[f"{name} signed"] = write(IMAGE, form, exif=exif(6, SIGNED), **options)
        made[f"{name} two"] = write(IMAGE, form, exif=exif(6, count=2), **options)
        made[f"{name} nine"] = write(IMAGE, form, exif=exif(9), **options)
        made[f"{name} zero"] = write(IMAGE, form, exif=exif(0), **options)
        made[f"{name} after others"] = write(IMAGE, form, exif=exif(5, before=((0x100, 3), (0x101, 9))), **options)
        made[f"{name} far"] = write(IMAGE, form, exif=exif(7, offset=300), **options)
        made[f"{name} too few entries"] = write(IMAGE, form, exif=exif(6, entries=0), **options)
        made[f"{name} too many entries"] = write(IMAGE, form, exif=exif(6, entries=60000), **options)
        made[f"{name} beyond the end"] = write(
            IMAGE, form, exif=exif(6)[:12] + b"\xff\xff\0\0" + exif(6)[14:], **options
        )
    text = PngImagePlugin.PngInfo()
    text.add_itxt("XML:com.adobe.xmp", xmp(6).decode())
    listed = exif(6)[6:].hex()
    profiled = PngImagePlugin.PngInfo()
    profiled.add_text("Raw profile type exif", f"\nexif\n{len(listed) // 2:8}\n{listed}\n", zip=True)
    apng = {"save_all": True, "append_images": [OTHER], "duration": 100}
    grey = IMAGE.convert("L")
    return made | {
        "jpeg xmp": segment(jpeg, b"http://ns.adobe.com/xap/1.0/\0" + xmp(6)),
        "jpeg xmp and exif": segment(jpeg, b"http://ns.adobe.com/xap/1.0/\0" + xmp(3), exif(6)),
        "jpeg two exif": segment(jpeg, exif(6), exif(3)),
        "jpeg exif in two segments": segment(jpeg, exif(8)[:20], b"Exif\0\0" + exif(8)[20:]),
        "jpeg empty exif first": segment(jpeg, b"Exif\0\0", exif(6)),
        "jpeg fill bytes": jpeg[:2] + b"\xff\xff" + segment(jpeg, exif(6))[2:],
        "jpeg mpo": encoded(IMAGE, "MPO", save_all=True, append_images=[OTHER], exif=exif(6)),
        "jpeg mpo second turned": encoded(IMAGE, "MPO", save_all=True, append_images=[OTHER]),
        "jpeg profile": encoded(IMAGE, icc_profile=profile()),
        "jpeg grey": encoded(grey, exif=exif(8)),
        "jpeg progressive": encoded(IMAGE, progressive=True, exif=exif(5)),
        "png xmp": encoded(IMAGE, "PNG", pnginfo=text),
        "png raw profile": encoded(IMAGE, "PNG", pnginfo=profiled),
        "png text exif": with_chunks(png, (b"tEXt", b"exif\0" + exif(6)[6:])),
        "png text after exif": with_chunks(png, (b"eXIf", exif(6)[6:]), (b"tEXt", b"exif\0nothing")),
        "png late exif": with_chunks(png, (b"eXIf", exif(6)[6:]), late=True),
        "png exif after the end": png + chunk(b"eXIf", exif(6)[6:]),
        "png two exif": with_chunks(png, (b"eXIf", exif(6)[6:]), (b"eXIf", exif(3)[6:])),
        "png prefixed exif": with_chunks(png, (b"eXIf", exif(6))),
        "png gamma": with_chunks(png, (b"gAMA", struct.pack(">I", 100000))),
        "png profile": encoded(IMAGE, "PNG", icc_profile=profile()),
        "png animated": encoded(IMAGE, "PNG", **apng),
        "png animated and turned": encoded(IMAGE, "PNG", exif=exif(6), **apng),
        "png animated, first frame apart": encoded(OTHER, "PNG", default_image=True, **apng),
        "png palette": encoded(IMAGE.quantize(32), "PNG", exif=exif(7)),
        "png grey transparent": encoded(grey, "PNG", transparency=int(np.asarray(grey)[20, 20]), exif=exif(6)),
        "png colour transparent": encoded(IMAGE, "PNG", transparency=IMAGE.getpixel((20, 20)), exif=exif(3)),
        "png 1 bit": encoded(IMAGE.convert("1"), "PNG", exif=exif(6)),
        "webp xmp": encoded(IMAGE, "WEBP", lossless=True, xmp=xmp(6)),
        "webp profile": encoded(IMAGE, "WEBP", lossless=True, icc_profile=profile()),
        "webp without flag": webp_without_flag(encoded(IMAGE, "WEBP", lossless=True, exif=exif(6))),
        "webp without prefix": encoded(IMAGE, "WEBP", lossless=True, exif=exif(6)[6:]),
        "webp animated": encoded(IMAGE, "WEBP", lossless=True, save_all=True, append_images=[OTHER]),
        "webp animated and turned": encoded(
            IMAGE, "WEBP", lossless=True, save_all=True, append_images=[OTHER], exif=exif(6)
        ),
        "webp lossy": encoded(IMAGE, "WEBP", quality=80, exif=exif(8)),
        "webp plain": webp,
    }  # fmt: skip


PIXELS = """async () => {
  const { decode } = await import("/static/image.js");
  const read = async (file) => {
    try {
      const image = await decode(file);
      const canvas = new OffscreenCanvas(image.width, image.height);
      const context = canvas.getContext("2d", { alpha: false });
      image.draw(context);
      const { data } = context.getImageData(0, 0, image.width, image.height);
      return { size: [image.width, image.height], data: Array.from(data).filter((_, n) => n % 4 < 3) };
    } catch (error) { return { error: error.message }; }
  };
  return Promise.all(Array.from(document.getElementById("probe").files, read));
}"""


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_every_variant_has_the_same_pixels_on_both_sides(page, server, tmp_path):
    files = variants()
    paths = []
    for number, data in enumerate(files.values()):
        paths.append(tmp_path / f"{number:03}.bin")
        paths[-1].write_bytes(data)
    open_page(page, server)
    page.evaluate("document.body.append(Object.assign(document.createElement('input'), "
                  "{ type: 'file', multiple: true, id: 'probe' }))")  # fmt: skip
    page.set_input_files("#probe", paths)
    differing = []
    for (name, data), shown in zip(files.items(), page.evaluate(PIXELS), strict=True):
        expected = np.asarray(preprocess.decode(data))
        if "error" in shown or shown["size"] != [expected.shape[1], expected.shape[0]]:
            differing.append((name, shown.get("error") or shown["size"]))
        elif (most := np.abs(np.array(shown["data"]) - expected.ravel()).max()) > 0:
            differing.append((name, int(most)))
    assert len(files) >= 57
    assert differing == []


TURNED = ["jpeg exif 6", "png exif 6", "webp exif 6", "png late exif", "jpeg xmp and exif"]
NOT_TURNED = ["jpeg xmp", "png xmp", "png raw profile", "png text exif", "jpeg long", "png byte", "webp without flag"]


@pytest.mark.parametrize("name", TURNED + NOT_TURNED)
def test_exif_of_the_first_frame_turns_an_image_and_nothing_else_does(name):
    size = preprocess.decode(variants()[name]).size
    assert size == ((IMAGE.height, IMAGE.width) if name in TURNED else IMAGE.size)
