import sys

import numpy as np
import pytest
from PIL import Image

from dspkd import data
from dspkd.data.decode import decode
from dspkd.errors import DataError

pydicom = pytest.importorskip("pydicom")


def write(path, pixels, *, bits=8, photometric="RGB"):
    """Write pixels ``[H, W, 3]`` or ``[H, W]`` as a DICOM file."""
    dataset = pydicom.Dataset()
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.77.1.4"  # VL photographic image
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = "1.2.3"
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID
    dataset.PatientName = "Nobody^At^All"
    dataset.Rows, dataset.Columns = pixels.shape[:2]
    dataset.SamplesPerPixel = 3 if pixels.ndim == 3 else 1
    dataset.PhotometricInterpretation = photometric
    if pixels.ndim == 3:
        dataset.PlanarConfiguration = 0
    dataset.BitsAllocated = dataset.BitsStored = bits
    dataset.HighBit = bits - 1
    dataset.PixelRepresentation = 0
    dataset.PixelData = pixels.tobytes()
    dataset.save_as(path, enforce_file_format=True)
    return path


@pytest.fixture
def pixels():
    return np.random.default_rng(0).integers(0, 256, (8, 10, 3), dtype=np.uint8)


def test_a_photograph_has_the_pixels_that_were_written(tmp_path, pixels):
    assert np.array_equal(decode(write(tmp_path / "a.dcm", pixels)), pixels)


def test_other_colour_spaces_become_rgb(tmp_path, pixels):
    ycc = np.array(Image.fromarray(pixels).convert("YCbCr"))
    decoded = decode(write(tmp_path / "a.dcm", ycc, photometric="YBR_FULL"))
    assert (
        np.abs(decoded.astype(int) - pixels).max() <= 3
    )  # rounded in both directions, and amplified up to 1.8 times on the way back


def test_a_photograph_is_resized_as_any_other_image(tmp_path, pixels):
    Image.fromarray(pixels).save(tmp_path / "a.png")
    write(tmp_path / "a.dcm", pixels)
    assert np.array_equal(decode(tmp_path / "a.dcm", short_side=4), decode(tmp_path / "a.png", short_side=4))


def test_class_folders_may_hold_dicom_files(tmp_path, pixels):
    (tmp_path / "NV").mkdir()
    write(tmp_path / "NV" / "a.DCM", pixels)
    table = data.read("auto", tmp_path)
    assert table.ids == ("NV/a.DCM",)
    assert decode(table.paths[0]).shape == (8, 10, 3)


def test_other_dicom_files_are_refused(tmp_path, pixels):
    with pytest.raises(DataError, match=r"a\.dcm: .*1 samples of 16 bits"):
        decode(write(tmp_path / "a.dcm", pixels[:, :, 0].astype(np.uint16), bits=16, photometric="MONOCHROME2"))
    (tmp_path / "b.dcm").write_bytes(b"x" * 200)
    with pytest.raises(DataError, match=r"b\.dcm: not a readable image: no DICOM file"):
        decode(tmp_path / "b.dcm")
    cut = write(tmp_path / "c.dcm", pixels)
    cut.write_bytes(cut.read_bytes()[:-100])
    with pytest.raises(DataError, match=r"c\.dcm: not a readable image"):
        decode(cut)


@pytest.mark.parametrize(
    ("element", "value", "message"),
    [
        ("PhotometricInterpretation", "HSV", "its colours are HSV"),
        ("PhotometricInterpretation", "", "its colours are unknown; only RGB and YBR"),
        ("BitsStored", 7, "7 bits in 8"),
    ],
)
def test_colours_that_would_be_taken_for_others_are_refused(tmp_path, pixels, element, value, message):
    dataset = pydicom.dcmread(write(tmp_path / "a.dcm", pixels))
    setattr(dataset, element, value)
    dataset.save_as(tmp_path / "a.dcm")
    with pytest.raises(DataError, match=rf"a\.dcm: not a readable image: {message}"):
        decode(tmp_path / "a.dcm")


def test_a_deflated_file_is_read(tmp_path, pixels):
    dataset = pydicom.dcmread(write(tmp_path / "a.dcm", pixels))
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.DeflatedExplicitVRLittleEndian
    dataset.save_as(tmp_path / "deflated.dcm", enforce_file_format=True)
    assert np.array_equal(decode(tmp_path / "deflated.dcm"), pixels)


def test_without_pydicom_the_error_names_the_extra(tmp_path, pixels, monkeypatch):
    file = write(tmp_path / "a.dcm", pixels)
    monkeypatch.setitem(sys.modules, "pydicom", None)
    with pytest.raises(DataError, match=r"pip install 'dspkd\[dicom\]'"):
        decode(file)
