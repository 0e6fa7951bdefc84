import itertools
from collections import defaultdict
from dataclasses import replace

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from dspkd.data.synthetic import photo as lesion_photo
from dspkd.data.synthetic.photo import PAINTERS, SITES, paint, scene
from dspkd.data.synthetic.plan import CLASSES
from dspkd.errors import DataError

EVERY_LABEL = [*CLASSES["isic2019"], *CLASSES["common"]]


@pytest.mark.parametrize("label", EVERY_LABEL)
def test_an_image_is_a_function_of_its_arguments(label):
    image = paint(label, lesion=3, photo=1, size=40)
    assert image.shape == (40, 40, 3)
    assert image.dtype == np.uint8
    assert np.array_equal(image, paint(label, lesion=3, photo=1, size=40))
    others = [{"lesion": 4}, {"photo": 2}, {"seed": 1}]
    for other in others:
        assert not np.array_equal(image, paint(label, **{"lesion": 3, "photo": 1, "size": 40} | other))


def test_every_class_of_both_families_has_a_painter_and_no_other_has():
    assert sorted(PAINTERS) == sorted(EVERY_LABEL)


@pytest.mark.parametrize("label", EVERY_LABEL)
def test_a_larger_image_shows_the_same_scene(label):
    large = paint(label, lesion=0, photo=0, size=128).reshape(64, 2, 64, 2, 3).mean((1, 3))
    small = paint(label, lesion=0, photo=0, size=64)
    assert np.corrcoef(large.ravel(), small.ravel())[0, 1] > 0.97


def spread(image):
    """Return quantiles of each channel in the centre, divided by brightness: nearly invariant to camera and light."""
    middle = image[16:48, 16:48].reshape(-1, 3).astype(float)
    return np.quantile(middle / middle.mean(0), np.linspace(0.02, 0.98, 25), axis=0)


@pytest.mark.parametrize("label", EVERY_LABEL)
def test_photographs_of_a_lesion_are_more_similar_than_lesions_of_a_class(label):
    of_LP = [[spread(paint(label, lesion=n, photo=p, size=64)) for p in (0, 1)] for n in range(10)]
    gap_LL = np.array([[np.abs(a[0] - b[1]).mean() for b in of_LP] for a in of_LP])
    same, other = np.diag(gap_LL), gap_LL[~np.eye(10, dtype=bool)]
    assert 0 < np.median(same) < 0.75 * np.median(other)


def test_all_photographs_of_a_lesion_have_one_site_and_skin():
    for label, lesion in itertools.product(EVERY_LABEL, range(5)):
        kept = {(s.site, s.skin_tone) for s in (scene(label, lesion=lesion, photo=p) for p in range(4))}
        assert len(kept) == 1


def test_structure_separates_the_classes_and_mean_colour_does_not():
    labels = list(CLASSES["isic2019"])
    images = {n: [paint(label, lesion=n, photo=0, size=48) for label in labels] for n in range(36)}

    def accuracy(features):
        train, test = ([features(x) for n in part for x in images[n]] for part in (range(24), range(24, 36)))
        model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500)).fit(train, labels * 24)
        return balanced_accuracy_score(labels * 12, model.predict(test))

    def structure(x):
        x = x.astype(float)
        distance = np.hypot(*np.meshgrid(np.arange(48) - 23.5, np.arange(48) - 23.5))
        fine = np.abs(np.diff(x, axis=0)[:, :-1]) + np.abs(np.diff(x, axis=1)[:-1])
        rings = [(distance >= r) & (distance < r + 6) for r in (0, 6, 12, 18)]
        parts = [x[ring].mean(0) for ring in rings] + [np.log1p(fine[ring[:-1, :-1]].mean(0)) for ring in rings]
        return np.concatenate([*parts, *(x[ring].std(0) for ring in rings)])

    by_colour = accuracy(lambda x: x.mean((0, 1)))
    by_structure = accuracy(structure)
    assert by_colour < 0.4  # chance is 0.125
    assert by_structure > by_colour + 0.15
    assert by_structure < 0.9


def test_artefacts_have_the_rates_of_their_sites():
    scenes = [scene("NV", lesion=n, photo=0) for n in range(3000)]
    by_site = defaultdict(list)
    for setting in scenes:
        by_site[setting.site].append(setting)
    assert len(by_site[SITES[0]]) / 3000 == pytest.approx(0.5, abs=0.04)  # four standard errors
    assert np.mean([s.hair for s in scenes]) == pytest.approx(0.3, abs=0.034)
    for site in SITES:
        tolerance = 4 * 0.5 / len(by_site[site]) ** 0.5
        assert np.mean([s.ruler for s in by_site[site]]) == pytest.approx(site.ruler, abs=tolerance)
        assert np.mean([s.dark_corners for s in by_site[site]]) == pytest.approx(site.dark_corners, abs=tolerance)
    assert {s.skin_tone for s in scenes} == {1, 2, 3, 4, 5, 6}


@pytest.mark.parametrize(("artefact", "least", "most"), [("hair", 0.01, 0.35), ("ruler", 0.01, 0.15)])
def test_hair_and_ruler_change_a_small_part_of_the_image_strongly(monkeypatch, artefact, least, most):
    real = lesion_photo.scene

    def painted(lesion, there):
        plain = replace(real("NV", lesion=lesion, photo=0), hair=False, ruler=False, dark_corners=False, skin_tone=1)
        monkeypatch.setattr(lesion_photo, "scene", lambda *_, **__: replace(plain, **{artefact: there}))
        return paint("NV", lesion=lesion, photo=0, size=64).astype(float)

    changed = [np.abs(painted(n, True) - painted(n, False)).max(2) for n in range(6)]
    edges = [[np.abs(np.diff(painted(n, there), axis=0)).mean() for n in range(6)] for there in (False, True)]
    assert np.all(np.greater(edges[1], edges[0]))
    assert least < np.mean([c > 40 for c in changed]) < most
    assert np.median(changed) < 10  # camera noise, at most


def test_only_dark_corners_are_dark():
    corners = {True: [], False: []}
    for n in range(60):
        setting = scene("BCC", lesion=n, photo=0)
        if setting.skin_tone <= 3 and not setting.hair and not setting.ruler:
            corners[setting.dark_corners].append(
                paint("BCC", lesion=n, photo=0, size=32)[[0, 0, -1, -1], [0, -1, 0, -1]]
            )
    assert np.max(corners[True]) < 60 < np.min(np.max(corners[False], axis=2))


def test_skin_tones_go_from_pale_to_dark():
    by_tone = defaultdict(list)
    for n in range(150):
        setting = scene("ACNE", lesion=n, photo=0)
        if not setting.dark_corners:
            by_tone[setting.skin_tone].append(paint("ACNE", lesion=n, photo=0, size=32).mean())
    means = [np.mean(by_tone[tone]) for tone in sorted(by_tone)]
    assert len(means) == 6
    assert means == sorted(means, reverse=True)


@pytest.mark.parametrize(
    ("label", "size", "message"),
    [("nv", 96, "did you mean 'NV'"), ("zebra", 96, "known: MEL, NV"), ("NV", 8, "8 pixels; at least 32")],
)
def test_an_unknown_class_or_a_size_too_small_is_refused(label, size, message):
    with pytest.raises(DataError, match=message):
        paint(label, lesion=0, photo=0, size=size)
