"""Published data sets: addresses, sizes, checksums, licences and citations.

We have downloaded none of these files: addresses, sizes and checksums are as others report them, with their origin
beside each data set. A wrong value does no harm: a file of another size or checksum is refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from dspkd.errors import DataError, suggest


@dataclass(frozen=True, kw_only=True)
class Remote:
    """A file to download.

    Attributes
    ----------
    name
        Its name on disk and on a mirror.
    url
        Its address.
    size
        In bytes; None if unknown.
    digest
        ``sha256:...`` or ``md5:...``. None if unknown: then only the length and, for a zip file, the checksums inside
        it are checked.
    folder
        For a zip file: the folder, relative to the data set's, to unpack it into. None for any other file.
    """

    name: str
    url: str
    size: int | None = None
    digest: str | None = None
    folder: str | None = None


@dataclass(frozen=True, kw_only=True)
class PublishedDataset:
    """A published data set.

    Attributes
    ----------
    title, page
        Its description, and the authors' web page.
    licence, citation
        Terms of use, and the publications to cite.
    layout
        Its layout, see `dspkd.data.read`.
    files
        Its files, in the order of download: tables first, since they are small.
    """

    title: str
    page: str
    licence: str
    citation: str
    layout: str
    files: tuple[Remote, ...]


_ISIC = "https://isic-challenge-data.s3.amazonaws.com/2019"
_DATAVERSE = "https://dataverse.harvard.edu/api/access/datafile"
_MENDELEY = "https://data.mendeley.com/public-files/datasets/zr7vgbcyr2/files"

_CITE_HAM = (
    "Tschandl P., Rosendahl C., Kittler H. The HAM10000 dataset, a large collection of multi-source dermatoscopic "
    "images of common pigmented skin lesions. Sci. Data 5, 180161 (2018). doi:10.1038/sdata.2018.161"
)
_CITE_ISIC = (
    f"[1] {_CITE_HAM}\n"
    "[2] Codella N. C. F. et al. Skin Lesion Analysis Toward Melanoma Detection: A Challenge at the 2017 International "
    "Symposium on Biomedical Imaging (ISBI), Hosted by the International Skin Imaging Collaboration (ISIC). "
    "arXiv:1710.05006 (2017)\n"
    "[3] Combalia M. et al. BCN20000: Dermoscopic Lesions in the Wild. arXiv:1908.02288 (2019)"
)
_CITE_PAD = (
    "Pacheco A. G. C. et al. PAD-UFES-20: A skin lesion dataset composed of patient data and clinical images collected "
    "from smartphones. Data in Brief 32, 106221 (2020). doi:10.1016/j.dib.2020.106221; data: doi:10.17632/zr7vgbcyr2.1"
)

SOURCES: dict[str, PublishedDataset] = {
    # The organisers publish no checksums. Two unrelated users of the files report these SHA-256 values; those of the
    # tables agree with copies that we have.
    "isic2019": PublishedDataset(
        title="ISIC 2019 challenge, training set: 25,331 dermoscopic images, 8 classes",
        page="https://challenge.isic-archive.com/data/#2019",
        licence="CC BY-NC 4.0, not for commercial use: https://creativecommons.org/licenses/by-nc/4.0/",
        citation=_CITE_ISIC,
        layout="isic2019",
        files=(
            Remote(
                name="ISIC_2019_Training_GroundTruth.csv",
                url=f"{_ISIC}/ISIC_2019_Training_GroundTruth.csv",
                size=1_291_479,
                digest="sha256:aa88e9638fe4df9ef330dc4ba22fa4bd475c44af692fffb870c73091ab25cdcd",
            ),
            Remote(
                name="ISIC_2019_Training_Metadata.csv",
                url=f"{_ISIC}/ISIC_2019_Training_Metadata.csv",
                size=1_214_351,
                digest="sha256:d93994a8ed201d474de9a7af7e17ec30929cbc4a5220659ecbde17cbe83e9316",
            ),
            Remote(
                name="ISIC_2019_Training_Input.zip",
                url=f"{_ISIC}/ISIC_2019_Training_Input.zip",
                size=9_771_618_190,
                digest="sha256:5075020b720c8f1b9b7f3ff85326c55ce0435e5906c41fbd338994feef886df1",
                folder="ISIC_2019_Training_Input",
            ),
        ),
    ),
    # Neither sizes nor checksums found; the zip file reportedly has about 3.8 GB.
    "isic2019-test": PublishedDataset(
        title="ISIC 2019 challenge, test set: 8,238 dermoscopic images, 8 classes and UNK, none of them",
        page="https://challenge.isic-archive.com/data/#2019",
        licence="CC BY-NC 4.0, not for commercial use: https://creativecommons.org/licenses/by-nc/4.0/",
        citation=_CITE_ISIC,
        layout="isic2019",
        files=(
            Remote(name="ISIC_2019_Test_GroundTruth.csv", url=f"{_ISIC}/ISIC_2019_Test_GroundTruth.csv"),
            Remote(name="ISIC_2019_Test_Metadata.csv", url=f"{_ISIC}/ISIC_2019_Test_Metadata.csv"),
            Remote(
                name="ISIC_2019_Test_Input.zip",
                url=f"{_ISIC}/ISIC_2019_Test_Input.zip",
                folder="ISIC_2019_Test_Input",
            ),
        ),
    ),
    # Dataverse publishes these MD5 values, according to several users of version 4.0. The table must be requested in
    # its original format: the default is a conversion, which has another checksum.
    "ham10000": PublishedDataset(
        title="HAM10000: 10,015 dermoscopic images of 7,470 lesions, 7 classes (most of them are in ISIC 2019 too)",
        page="https://doi.org/10.7910/DVN/DBW86T",
        licence="CC BY-NC 4.0, not for commercial use: https://creativecommons.org/licenses/by-nc/4.0/",
        citation=_CITE_HAM,
        layout="ham10000",
        files=(
            Remote(
                name="HAM10000_metadata.csv",
                url=f"{_DATAVERSE}/4338392?format=original",
                size=690_218,
                digest="md5:8f85fb1aa29d80a2797247e434deb79d",
            ),
            Remote(
                name="HAM10000_images_part_1.zip",
                url=f"{_DATAVERSE}/3172585",
                size=1_366_522_108,
                digest="md5:4639bfa73ab251610530a97c898e6e46",
                folder="HAM10000_images_part_1",
            ),
            Remote(
                name="HAM10000_images_part_2.zip",
                url=f"{_DATAVERSE}/3172584",
                size=1_403_566_547,
                digest="md5:da43d6cc50f6613013be07e8986b384b",
                folder="HAM10000_images_part_2",
            ),
        ),
    ),
    # Mendeley Data publishes these SHA-256 values, according to several users of version 1.
    "pad-ufes-20": PublishedDataset(
        title="PAD-UFES-20: 2,298 smartphone photographs of 1,641 lesions of 1,373 patients, 6 classes",
        page="https://data.mendeley.com/datasets/zr7vgbcyr2/1",
        licence="CC BY 4.0: https://creativecommons.org/licenses/by/4.0/",
        citation=_CITE_PAD,
        layout="pad-ufes-20",
        files=(
            Remote(
                name="metadata.csv",
                url=f"{_MENDELEY}/fa850265-57da-48f0-ba3e-998b3e44b1f6/file_downloaded",
                size=316_209,
                digest="sha256:14d145235cedb022548257acb0d84dcd949e2c916f65d2baa7c38ed5339e9527",
            ),
            Remote(
                name="imgs_part_1.zip",
                url=f"{_MENDELEY}/1cc2f71f-20a2-412d-b746-a9b9bc20c966/file_downloaded",
                size=1_245_184_680,
                digest="sha256:0ab44f60938bf57445e12f518a8878954cc734e6b0aec6d01194e2d26b4b2dca",
                folder="images/imgs_part_1",
            ),
            Remote(
                name="imgs_part_2.zip",
                url=f"{_MENDELEY}/559a60ed-5504-475d-996c-6a8bc253b5e7/file_downloaded",
                size=1_126_646_990,
                digest="sha256:e2d9a3cbd58e823f5ae33163c48643e7d1b54ae3f9e145f01f8e9f16a363a60b",
                folder="images/imgs_part_2",
            ),
            Remote(
                name="imgs_part_3.zip",
                url=f"{_MENDELEY}/34dcdf8e-e5f1-4b35-aa0b-5135051ff852/file_downloaded",
                size=1_220_565_093,
                digest="sha256:ecc4ef10143a43e1d01cb736773148607a78b530417eb76f2c38ad24bf5d0d2c",
                folder="images/imgs_part_3",
            ),
        ),
    ),
}
"""``{name in the command: data set}``."""


def find(name: str) -> PublishedDataset:
    """Return the data set `name`; DataError, with the nearest name, if there is none."""
    if name not in SOURCES:
        raise DataError(f"no data set to download is called {name!r}; {suggest(name, SOURCES)}")
    return SOURCES[name]


_SYNTHETIC = ("runs/demo/data", "runs/lesions")
"""Data sets of the recipes and grids `demo`."""


def hint(path: Path) -> str:
    """Return the command that downloads or makes what is missing at `path`, "" where none is known.

    >>> hint(Path("images/ham10000"))
    '; download it: dspkd data download ham10000 --to images/ham10000'
    """
    if path.as_posix() in _SYNTHETIC:
        return f"; make it: dspkd data synthesize {path.as_posix()}"
    if path.name not in SOURCES:
        return ""
    to = "" if path == Path(path.name) else f" --to {path}"
    return f"; download it: dspkd data download {path.name}{to}"
