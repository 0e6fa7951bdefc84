"""Images that a bundle does not predict: they show nothing, or are one of several in a file."""

import io

import numpy as np
import pytest
from PIL import Image

from dspkd.deploy.bundle import preprocess
from dspkd.deploy.bundle.spec import Preprocessing
from dspkd.errors import DataError

STEPS = Preprocessing(37, 32, ())
RGB = np.kron(np.random.default_rng(5).integers(0, 256, (6, 9, 3)), np.ones((10, 10, 1))).astype(np.uint8)
DEEP = RGB[..., 0].astype(np.uint16)


def pixels(image):
    return preprocess.of_photograph(image, STEPS)[0]


def saved(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((1, 1, 3), np.uint8), "1 x 1 pixels; the shorter side of an image must have 32 or more"),
        (RGB[:31], "90 x 31 pixels; the shorter side"),
        (np.zeros((60, 60, 3), np.uint8), "an array: shows nothing: of one colour within 0 of 255"),
        (np.full((60, 60, 3), 255, np.uint8), "shows nothing"),
        (np.full((60, 60, 3), [255, 0, 0], np.uint8), "shows nothing"),
        (RGB // 40, "shows nothing: of one colour within 6 of 255"),
    ],
)
def test_an_image_that_shows_nothing_is_refused(image, message):
    with pytest.raises(DataError, match=message):
        pixels(image)
    preprocess.apply(preprocess.decode(image), STEPS)  # as training and evaluation may have it


def test_what_the_network_sees_decides_not_a_date_at_the_edge():
    black = np.zeros((600, 900, 3), np.uint8)
    black[590:, :80] = 255
    with pytest.raises(DataError, match="shows nothing"):
        pixels(black)


def test_small_and_dull_images_at_the_limits_are_predicted():
    pixels(RGB[:32])
    pixels(np.uint8(100 + RGB // 25))


@pytest.mark.parametrize("kind", ["TIFF", "PNG"])
def test_twelve_bits_in_sixteen_are_refused_and_scaled_ones_are_not(kind):
    for image in (Image.fromarray(DEEP * 16), saved(Image.fromarray(DEEP * 16), kind)):
        with pytest.raises(DataError, match="nearly black, perhaps 12 bits in 16; scale it"):
            pixels(image)
    pixels(saved(Image.fromarray(DEEP * 257), kind))


@pytest.mark.parametrize("kind", ["TIFF", "GIF"])
def test_a_file_of_several_images_is_refused_by_their_number(kind):
    first, *more = (Image.fromarray(np.roll(RGB, shift, axis=1)) for shift in (0, 10, 20))
    with pytest.raises(DataError, match="an image: 3 frames; save each as an image"):
        pixels(saved(first, kind, save_all=True, append_images=more))
    pixels(saved(first, kind))


def test_a_thumbnail_and_the_frames_of_web_formats_are_no_further_images():
    first, other = Image.fromarray(RGB), Image.fromarray(255 - RGB)
    expected = pixels(RGB)
    thumbnail = saved(first, "TIFF", save_all=True, append_images=[other.resize((30, 20))])
    film = saved(first, "PNG", save_all=True, append_images=[other])
    assert all(np.array_equal(pixels(content), expected) for content in (thumbnail, film))


def test_dicom_of_several_frames_is_refused(tmp_path):
    pydicom = pytest.importorskip("pydicom")
    for frames in (1, 3):
        path = tmp_path / f"{frames}.dcm"
        dicom(pydicom, path, frames)
        if frames == 1:
            assert np.array_equal(pixels(path), pixels(RGB))
            continue
        with pytest.raises(DataError, match=r"3\.dcm: 3 frames; save each as an image"):
            pixels(path)
        assert np.array_equal(np.asarray(preprocess.decode(path)), RGB)  # as in training


def dicom(pydicom, path, frames):
    """Write a photograph of so many frames."""
    from pydicom.dataset import FileDataset, FileMetaDataset

    meta = FileMetaDataset()
    meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = pydicom.uid.VLPhotographicImageStorage
    meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()
    data = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    data.Rows, data.Columns, data.NumberOfFrames = *RGB.shape[:2], frames
    data.SamplesPerPixel, data.PlanarConfiguration, data.PhotometricInterpretation = 3, 0, "RGB"
    data.BitsAllocated = data.BitsStored = 8
    data.HighBit, data.PixelRepresentation = 7, 0
    data.PixelData = RGB.tobytes() * frames
    data.save_as(path, enforce_file_format=True)


@pytest.mark.parametrize("mode", ["L", "I;16", "RGBA"])
def test_a_pillow_image_of_a_turned_tiff_is_not_scrambled_and_not_changed(tmp_path, mode):
    path = tmp_path / "turned.tif"
    image = Image.fromarray(DEEP * 257) if mode == "I;16" else Image.fromarray(RGB).convert(mode)
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(path, exif=exif)
    with Image.open(path) as opened:
        assert np.array_equal(np.asarray(preprocess.decode(opened)), np.asarray(preprocess.decode(path)))
        assert opened.filename == str(path)
