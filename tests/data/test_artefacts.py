import builtins
import inspect

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dspkd.data import artefacts
from dspkd.data.artefacts import REMOVERS, colour_constancy, dark_corner, hair, removed, shading
from dspkd.data.decode import decode
from dspkd.data.synthetic import photo as lesion_photo
from dspkd.errors import DataError

SIDE = 144


def plain_skin(rows=96, columns=128, seed=0):
    """Even skin with a little noise and a lesion in the middle; no artefacts."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[-1 : 1 : complex(rows), -1 : 1 : complex(columns)]
    lesion = 1 / (1 + np.exp(-12 * (0.45 - np.hypot(x, y))))[..., None]
    colour = np.array([200, 200, 200]) * (1 - lesion) + np.array([120, 80, 60]) * lesion
    return np.clip(colour + rng.normal(0, 2, (rows, columns, 3)), 0, 255).astype(np.uint8)


def off(one, other):
    """Return the largest difference of a channel of two images, per pixel."""
    return np.abs(one.astype(int) - other.astype(int)).max(axis=2)


def with_and_without_hair(lesion, size=SIDE):
    """A photograph of a synthetic lesion with dark hair, and its twin without."""
    hairy = lesion_photo.paint("NV", lesion=lesion, photo=0, size=size)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lesion_photo, "_lay_hair", lambda canvas, rng: None)
        return hairy, lesion_photo.paint("NV", lesion=lesion, photo=0, size=size)


@pytest.mark.parametrize("remove", REMOVERS.values(), ids=REMOVERS)
@pytest.mark.parametrize("rows_columns", [(96, 128), (128, 96), (33, 47), (1, 1), (2, 300)])
def test_removal_is_deterministic_keeps_shape_and_type_and_does_not_change_its_input(remove, rows_columns):
    image = np.random.default_rng(0).integers(0, 256, (*rows_columns, 3)).astype(np.uint8)
    image.flags.writeable = False
    cleaned = remove(image)
    assert (cleaned.shape, cleaned.dtype) == (image.shape, np.uint8)
    assert cleaned.flags.writeable
    np.testing.assert_array_equal(cleaned, remove(image))


@pytest.mark.parametrize("remove", REMOVERS.values(), ids=REMOVERS)
@pytest.mark.parametrize("value", [0, 1, 128, 255])
def test_a_uniform_image_is_unchanged(remove, value):
    image = np.full((40, 50, 3), value, np.uint8)
    np.testing.assert_array_equal(remove(image), image)


@pytest.mark.parametrize("name", REMOVERS)
@pytest.mark.parametrize("seed", range(3))
def test_a_clean_image_is_nearly_unchanged(name, seed):
    """White light, even, no hair: at most 3 of 255 on average, and what changes by more than 20 is under 0.1 %."""
    image = plain_skin(seed=seed)
    changed = off(REMOVERS[name](image), image)
    assert changed.mean() <= {"hair": 0.02, "dark_corner": 0.0, "shading": 3.0, "colour_constancy": 3.0}[name]
    assert (changed > 20).mean() < 0.001


def test_most_planted_hair_is_removed_and_the_rest_unchanged():
    """The second of these lesions is a dense net of dark lines."""
    before = after = 0
    for lesion in (3, 13, 36, 38):
        hairy, bare = with_and_without_hair(lesion)
        cleaned, planted = hair(hairy), off(hairy, bare) > 25
        before += planted.sum()
        after += (off(cleaned, bare)[planted] > 25).sum()
        assert (off(cleaned, hairy)[~planted] > 25).mean() < 0.02
    assert before > 2000
    assert after < 0.15 * before


@pytest.mark.parametrize("angle", range(0, 180, 20))
def test_a_dark_line_in_any_direction_is_filled(angle):
    image = plain_skin(120, 120)
    y, x = np.mgrid[-60:60, -60:60]
    line = np.abs(x * np.sin(np.radians(angle)) - y * np.cos(np.radians(angle)) + 40) < 1.2
    drawn = image.copy()
    drawn[line] = 30
    inside = line & (np.hypot(x, y) < 55)
    assert off(hair(drawn), image)[inside].mean() < 0.1 * off(drawn, image)[inside].mean()


def test_dots_and_a_small_lesion_are_not_hair():
    image = plain_skin(120, 120)
    y, x = np.mgrid[-60:60, -60:60]
    for row, column, radius in ((-40, -40, 2), (-40, 0, 3), (40, 40, 6)):
        image[np.hypot(y - row, x - column) < radius] = 40
    assert (off(hair(image), image) > 20).sum() <= 2


@pytest.mark.parametrize("size", [72, 216])
def test_hair_is_removed_at_any_size(size):
    hairy, bare = with_and_without_hair(36, size)
    planted = off(hairy, bare) > 25
    assert planted.sum() > 0.01 * planted.size
    assert (off(hair(hairy), bare)[planted] > 25).mean() < 0.2


@settings(max_examples=20)
@given(slope=st.floats(-0.25, 0.25), bowl=st.floats(-0.25, 0.0))
def test_shading_evens_the_light_and_the_lesion_stays_dark(slope, bowl):
    image = plain_skin()
    y, x = np.mgrid[-1:1:96j, -1:1:128j]
    light = np.exp(slope * x + bowl * (x**2 + y**2))[..., None]
    lit = (image * light).clip(0, 255).astype(np.uint8)
    cleaned = shading(lit).max(axis=2).astype(float)
    skin = np.hypot(x, y) > 0.75
    assert cleaned[skin].std() < 0.02 * cleaned[skin].mean()
    assert cleaned[48, 64] < 0.75 * cleaned[skin].mean()


def test_shading_keeps_hue_and_overall_brightness():
    x = np.linspace(-1, 1, 128)
    lit = (plain_skin() * np.exp(0.2 * x)[..., None]).clip(0, 255).astype(np.uint8)
    cleaned = shading(lit)
    assert cleaned.mean() == pytest.approx(lit.mean(), rel=0.05)
    shares = [image[48, 64] / image[48, 64].sum() for image in (lit, cleaned)]
    np.testing.assert_allclose(*shares, atol=0.01)


def test_shading_twice_changes_little():
    once = shading(lesion_photo.paint("MEL", lesion=1, photo=0, size=SIDE))
    assert off(shading(once), once).mean() < 2


def test_black_corners_do_not_affect_shading():
    image = plain_skin()
    y, x = np.mgrid[-1:1:96j, -1:1:128j]
    framed = np.where((np.hypot(x, y) > 1.15)[..., None], 0, image).astype(np.uint8)
    inside = np.hypot(x, y) < 1.1
    assert off(shading(framed), framed)[inside].mean() < 3


def vignetted(image, radius=1.1, shift=(0.0, 0.0)):
    rows, columns = image.shape[:2]
    y, x = np.mgrid[-1 : 1 : complex(rows), -1 : 1 : complex(columns)]
    return np.where((np.hypot(x - shift[0], y - shift[1]) > radius)[..., None], 5, image).astype(np.uint8)


@pytest.mark.parametrize("radius", [0.8, 0.95, 1.1, 1.3])
@pytest.mark.parametrize("shift", [(0.0, 0.0), (0.05, -0.05)])
def test_dark_corners_are_removed_and_a_second_time_changes_nothing(radius, shift):
    cut = dark_corner(vignetted(plain_skin(), radius, shift))
    assert (cut.max(axis=2) < 50).mean() < 0.006
    np.testing.assert_array_equal(dark_corner(cut), cut)


def test_a_dark_lesion_at_a_corner_is_not_a_dark_corner():
    image = plain_skin()
    image[:70, :90] = (60, 40, 30)
    np.testing.assert_array_equal(dark_corner(image), image)


def test_a_dark_lesion_in_the_middle_is_not_a_dark_corner():
    image = plain_skin()
    image[20:70, 30:90] = (30, 20, 20)
    np.testing.assert_array_equal(dark_corner(image), image)


@settings(max_examples=20)
@given(gains=st.tuples(*[st.floats(0.6, 1.0)] * 3))
def test_colour_constancy_removes_any_cast(gains):
    image = plain_skin()
    cast = np.rint(image * np.array(gains)).astype(np.uint8)
    mean_cast, mean = (colour_constancy(x).reshape(-1, 3).mean(axis=0) for x in (cast, image))
    np.testing.assert_allclose(mean_cast / mean_cast.sum(), mean / mean.sum(), atol=0.004)


def test_colour_constancy_is_the_formula_and_idempotent():
    image = lesion_photo.paint("BCC", lesion=2, photo=1, size=48) // 2
    light = [np.mean([float(v) ** 6 for v in image[..., c].ravel()]) ** (1 / 6) for c in range(3)]
    length = sum(e * e for e in light) ** 0.5
    expected = np.stack([image[..., c] * length / (3**0.5 * light[c]) for c in range(3)], axis=2)
    once = colour_constancy(image)
    np.testing.assert_allclose(once, expected, atol=0.5 + 1e-9)
    assert off(colour_constancy(once), once).max() <= 1


def test_artefacts_are_removed_in_the_given_order():
    image = vignetted(lesion_photo.paint("NV", lesion=3, photo=0, size=96))
    both = removed(image, ["dark_corner", "colour_constancy"])
    np.testing.assert_array_equal(both, colour_constancy(dark_corner(image)))
    assert not np.array_equal(both, removed(image, ["colour_constancy", "dark_corner"]))
    np.testing.assert_array_equal(removed(image, ()), image)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["hairs"], "'hairs'; did you mean 'hair'"),
        (["shading", "color_constancy"], "'color_constancy'; did you mean 'colour_constancy'"),
        (["xyz"], "'xyz'; known: hair, shading, dark_corner, colour_constancy"),
        (["hair", "shading", "hair"], "'hair' .*name it once"),
    ],
)
def test_unknown_and_repeated_names_are_refused(names, message):
    with pytest.raises(DataError, match=message):
        removed(plain_skin(), names)


def test_without_opencv_hair_names_the_extra_and_the_others_work(monkeypatch):
    real = builtins.__import__

    def missing(name, *rest, **more):
        if name == "cv2":
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", missing)
    for call in (artefacts.check, artefacts.about):
        with pytest.raises(DataError, match=r"OpenCV.*pip install 'dspkd\[artefacts\]'"):
            call(["shading", "hair"])
    removed(plain_skin(), ["shading", "dark_corner", "colour_constancy"])


def test_about_names_the_removed_artefacts_in_order():
    assert artefacts.about(()) == {}
    one, other = artefacts.about(["hair", "shading"]), artefacts.about(["shading", "hair"])
    assert one != other
    assert "opencv" in one["removed by"]
    assert "opencv" not in artefacts.about(["shading"])["removed by"]


def test_decoding_removes_artefacts_from_the_resized_image(lesions):
    path = next((lesions / "ISIC_2019_Training_Input").glob("*.jpg"))
    names = ("shading", "colour_constancy")
    np.testing.assert_array_equal(
        decode(path, short_side=32, artefacts=names), removed(decode(path, short_side=32), names)
    )


@pytest.mark.parametrize("remove", REMOVERS.values(), ids=REMOVERS)
def test_docstrings_name_the_source_and_what_is_inferred(remove):
    assert "Source:" in inspect.getdoc(remove)
    assert "inferred" in inspect.getdoc(remove) or remove is colour_constancy
