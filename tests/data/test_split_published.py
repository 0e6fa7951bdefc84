"""Splits of the published tables of ISIC 2019, and of smartphone photographs with patients."""

import time

import pytest

from dspkd.data.readers import class_folders, isic2019
from dspkd.data.split import PARTS, leak_share, report, split


def test_all_of_isic_2019_splits_within_seconds_and_no_lesion_crosses(shared):
    of = isic2019.read(shared / "data/isic2019-tables", images="unchecked")
    started = time.perf_counter()
    result = split(of)
    assert time.perf_counter() - started < 10
    parts = {part: {of.groups[row] for row in result.places(part)} for part in PARTS}
    assert not parts["train"] & parts["val"]
    assert not parts["train"] & parts["test"]
    assert not parts["val"] & parts["test"]
    assert leak_share(result, of) == 0
    counts = report(of, result)
    for name, (images, groups) in of.counts().items():
        for part, share in (("train", 0.65), ("val", 0.15), ("test", 0.2)):
            got_images, got_groups = counts[part][name]
            assert got_images / images == pytest.approx(share, abs=0.01)
            # A lesion has 1 to 31 images, so lesions follow less closely: DF has 113.
            assert got_groups / groups == pytest.approx(share, abs=0.05)


@pytest.mark.parametrize(("test", "published"), [(0.1, 0.627), (0.2, 0.605)])
def test_splitting_isic_2019_by_image_leaks_the_published_share(shared, test, published):
    of = isic2019.read(shared / "data/isic2019-tables", images="unchecked")
    assert leak_share(split(of, val=0, test=test, by="image"), of) == pytest.approx(published, abs=0.02)


def test_patients_with_several_diagnoses_are_split_evenly(shared):
    of = class_folders.read(shared / "data/clinical-mini")
    for seed in range(5):
        counts = report(of, split(of, seed=seed))
        for name, (images, _) in of.counts().items():
            for part, share in (("train", 0.65), ("val", 0.15), ("test", 0.2)):
                assert abs(counts[part][name][0] - share * images) <= 3
