import itertools
from collections import Counter, defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dspkd.data.synthetic.photo import scene
from dspkd.data.synthetic.plan import CLASSES, apportion, plan


@given(images=st.integers(30, 5000), weights=st.lists(st.integers(1, 10_000), min_size=2, max_size=9))
def test_images_are_apportioned_fairly(images, weights):
    named = {str(n): float(w) for n, w in enumerate(weights)}
    counts = apportion(images, named, 3)
    assert sum(counts.values()) == images
    assert min(counts.values()) >= 3
    free = [label for label in named if counts[label] > 4]
    for a, b in itertools.pairwise(free):
        # both are within one of the same multiple of their weights
        assert (counts[a] - 1) * named[b] < (counts[b] + 1) * named[a] + 1e-6
        assert (counts[b] - 1) * named[a] < (counts[a] + 1) * named[b] + 1e-6


def test_apportioning_uses_largest_remainders_above_the_minimum():
    assert apportion(10, {"a": 3.4, "b": 3.3, "c": 3.3}, 1) == {"a": 4, "b": 3, "c": 3}
    assert apportion(10, {"a": 1.8, "b": 2.1, "c": 6.1}, 1) == {"a": 2, "b": 2, "c": 6}
    assert apportion(100, {"a": 1, "b": 60, "c": 39}, 10) == {"a": 10, "b": 55, "c": 35}  # 54.5 and 35.5: first wins


def planned(**options):
    return plan(**{"images": 2500, "classes": "isic2019", "seed": 0} | options)


def test_the_imbalance_is_that_of_isic_2019_and_can_be_tempered():
    counts = Counter(p.label for p in planned())
    weights = CLASSES["isic2019"]
    assert sum(weights.values()) == 25331
    for label, weight in weights.items():
        assert counts[label] == pytest.approx(2500 * weight / 25331, abs=1)
    assert set(Counter(p.label for p in planned(images=800, temper=0.0)).values()) == {100}
    half = Counter(p.label for p in planned(temper=0.5))
    assert half["NV"] / half["MEL"] == pytest.approx((12875 / 4522) ** 0.5, rel=0.01)


@pytest.mark.parametrize("classes", CLASSES)
@pytest.mark.parametrize("images", [150, 600])
def test_every_class_has_six_lesions_and_some_are_photographed_often(images, classes):
    photos = Counter((p.label, p.true_lesion_id) for p in planned(images=images, classes=classes))
    lesions = Counter(label for label, _ in photos)
    assert set(lesions) == set(CLASSES[classes])
    assert min(lesions.values()) >= 6
    assert 1.5 < images / len(photos) < 2.3
    assert max(photos.values()) >= 4
    assert min(photos.values()) == 1


def test_the_smallest_data_set_has_one_image_per_class():
    assert Counter(p.label for p in planned(images=8)) == dict.fromkeys(CLASSES["isic2019"], 1)


def test_ids_are_unique_and_do_not_reveal_the_class():
    items = planned(duplicates=0.1)
    assert [p.image for p in items] == [f"SYN_{n:07d}" for n in range(2750)]
    assert len({(p.label, p.lesion, p.photo) for p in items if not p.copy_of}) == 2500
    owners = defaultdict(set)
    for p in items:
        owners[p.true_lesion_id].add((p.label, p.lesion))
    assert all(len(owner) == 1 for owner in owners.values())
    halves = [Counter(p.label for p in half)["NV"] for half in (items[:1375], items[1375:])]
    assert abs(halves[0] - halves[1]) < 120


@pytest.mark.parametrize("share", [0.0, 0.08, 0.6])
def test_the_requested_share_of_ids_is_withheld_by_lesion(share):
    items = planned(missing_ids=share)
    without = [p for p in items if not p.lesion_id]
    assert len(without) == pytest.approx(share * 2500, abs=30)
    assert all(not p.patient_id for p in without)
    assert not {p.true_lesion_id for p in without} & {p.lesion_id for p in items}
    if share == 0.08:  # lesions with one photograph suffice, so every lesion is withheld as a whole
        assert max(Counter(p.true_lesion_id for p in without).values()) == 1


def test_a_patient_has_one_or_two_lesions_one_site_and_one_skin():
    lesions, looks = defaultdict(set), defaultdict(set)
    for p in planned():
        setting = scene(p.label, lesion=p.lesion, photo=p.photo)
        lesions[p.patient_id].add(p.lesion_id)
        looks[p.patient_id].add((setting.site.name, setting.skin_tone))
    assert Counter(map(len, lesions.values())).keys() == {1, 2}
    assert {len(look) for look in looks.values()} == {1}
