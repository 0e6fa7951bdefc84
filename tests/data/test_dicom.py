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
    made = pydicom.Dataset()
    made.file_meta = pydicom.dataset.FileMetaDataset()
    made.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    made.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.77.1.4"  # VL photographic image
    made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID = "1.2.3"
    made.SOPClassUID = made.file_meta.MediaStorageSOPClassUID
    made.PatientName = "Nobody^At^All"
    made.Rows, made.Columns = pixels.shape[:2]
    made.SamplesPerPixel = 3 if pixels.ndim == 3 else 1
    made.PhotometricInterpretation = photometric
    if pixels.ndim == 3:
        made.PlanarConfiguration = 0
    made.BitsAllocated = made.BitsStored = bits
    made.HighBit = bits - 1
    made.PixelRepresentation = 0
    made.PixelData = pixels.tobytes()
    made.save_as(path, enforce_file_format=True)
    return path


@pytest.fixture
def pixels():
    return np.random.default_rng(0).integers(0, 256, (8, 10, 3), dtype=np.uint8)


def test_a_photograph_shows_the_pixels_that_were_written(tmp_path, pixels):
    assert np.array_equal(decode(write(tmp_path / "a.dcm", pixels)), pixels)


def test_other_colour_spaces_become_rgb(tmp_path, pixels):
    ycc = np.array(Image.fromarray(pixels).convert("YCbCr"))
    shown = decode(write(tmp_path / "a.dcm", ycc, photometric="YBR_FULL"))
    assert (
        np.abs(shown.astype(int) - pixels).max() <= 3
    )  # both ways round, and back from colour differences by a factor up to 1.8


def test_a_photograph_is_resized_as_any_other_image(tmp_path, pixels):
    Image.fromarray(pixels).save(tmp_path / "a.png")
    write(tmp_path / "a.dcm", pixels)
    assert np.array_equal(decode(tmp_path / "a.dcm", short_side=4), decode(tmp_path / "a.png", short_side=4))


def test_folders_may_hold_photographs_in_dicom(tmp_path, pixels):
    (tmp_path / "NV").mkdir()
    write(tmp_path / "NV" / "a.DCM", pixels)
    table = data.read("auto", tmp_path)
    assert table.ids == ("NV/a.DCM",)
    assert decode(table.paths[0]).shape == (8, 10, 3)


def test_what_is_no_photograph_is_refused(tmp_path, pixels):
    with pytest.raises(DataError, match=r"a\.dcm: .*1 samples of 16 bits a pixel; only photographs in colour"):
        decode(write(tmp_path / "a.dcm", pixels[:, :, 0].astype(np.uint16), bits=16, photometric="MONOCHROME2"))
    (tmp_path / "b.dcm").write_bytes(b"x" * 200)
    with pytest.raises(DataError, match=r"b\.dcm: not a readable image"):
        decode(tmp_path / "b.dcm")
    cut = write(tmp_path / "c.dcm", pixels)
    cut.write_bytes(cut.read_bytes()[:-100])
    with pytest.raises(DataError, match=r"c\.dcm: not a readable image"):
        decode(cut)


def test_without_pydicom_it_is_said_what_to_install(tmp_path, pixels, monkeypatch):
    file = write(tmp_path / "a.dcm", pixels)
    monkeypatch.setitem(sys.modules, "pydicom", None)
    with pytest.raises(DataError, match=r"pip install 'dspkd\[dicom\]'"):
        decode(file)
