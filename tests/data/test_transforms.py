import numpy as np
import pytest
import torch

from dspkd.data.transforms import Augmentation, CentreCrop, strengthened

PLAIN = {"num_ops": 0, "rotation": 0.0, "flips": False, "min_area": 1.0}


def gradient_image(rows=90, columns=120):
    """Red grows with the column, green with the row, blue is constant: the pixels of a crop identify its position."""
    image = np.zeros((rows, columns, 3), dtype=np.uint8)
    image[..., 0] = np.arange(columns)[None, :] * 2
    image[..., 1] = np.arange(rows)[:, None] * 2
    image[..., 2] = 200
    return image


def test_a_training_image_is_a_function_of_image_view_and_seed():
    augment = Augmentation(size=48)
    torch.manual_seed(0)
    first = augment(gradient_image(), name="a", view=3, seed=1)
    torch.manual_seed(99)
    torch.rand(17)
    assert torch.equal(first, augment(gradient_image(), name="a", view=3, seed=1))
    for other in ({"name": "b"}, {"view": 4}, {"seed": 2}):
        assert not torch.equal(first, augment(gradient_image(), **{"name": "a", "view": 3, "seed": 1, **other}))


def test_augmentation_does_not_change_the_global_generator():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    Augmentation(size=48)(gradient_image(), name="a", view=0, seed=0)
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("rows_columns", [(90, 120), (120, 90), (72, 72), (300, 80)])
def test_images_are_square_float_and_in_the_unit_range(rows_columns):
    for view in range(20):
        image = Augmentation(size=48)(gradient_image(*rows_columns), name="a", view=view, seed=0)
        assert image.shape == (3, 48, 48)
        assert image.dtype == torch.float32
        assert 0 <= image.min() <= image.max() <= 1


def test_without_rotation_and_flips_red_grows_to_the_right_and_green_downwards():
    image = Augmentation(size=48, **PLAIN)(gradient_image(), name="a", view=0, seed=0)
    assert (image[0].diff(dim=1) > 0).float().mean() > 0.9
    assert image[0].diff(dim=0).abs().max() < 0.01
    assert (image[1].diff(dim=0) > 0).float().mean() > 0.9


def test_flips_have_probability_one_half():
    augment = Augmentation(size=24, **{**PLAIN, "flips": True})
    images = [augment(gradient_image(), name="a", view=view, seed=0) for view in range(200)]
    right = np.mean([float(p[0, 12, -1] > p[0, 12, 0]) for p in images])
    down = np.mean([float(p[1, -1, 12] > p[1, 0, 12]) for p in images])
    assert 0.4 < right < 0.6
    assert 0.4 < down < 0.6


def test_rotation_stays_within_its_largest_angle():
    """The direction of the image's red gradient is the angle of rotation."""
    augment = Augmentation(size=48, **{**PLAIN, "rotation": 30.0})
    angles = []
    for view in range(150):
        image = augment(gradient_image(120, 120), name="a", view=view, seed=0)
        centre = image[:, 16:32, 16:32]
        across, down = centre[0].diff(dim=1).mean().item(), centre[0].diff(dim=0).mean().item()
        angles.append(np.degrees(np.arctan2(-down, across)))
    assert 25 < max(angles) < 33
    assert -33 < min(angles) < -25


def test_a_rotated_image_is_not_sheared():
    """A step right and a step down in the result are at right angles in the image too."""
    augment = Augmentation(size=48, **{**PLAIN, "rotation": 40.0, "flips": True})
    for view in range(40):
        centre = augment(gradient_image(120, 120), name="a", view=view, seed=0)[:2, 16:32, 16:32]
        right, down = centre.diff(dim=2).mean((1, 2)), centre.diff(dim=1).mean((1, 2))
        assert abs(right @ down) < 0.05 * right.norm() * down.norm()


def test_the_crop_covers_at_least_min_area():
    augment = Augmentation(size=48, **{**PLAIN, "min_area": 0.5})
    for view in range(100):
        image = augment(gradient_image(), name="a", view=view, seed=0)
        covered = (image[0].max() - image[0].min()) * 255 / 240 * (image[1].max() - image[1].min()) * 255 / 180
        assert covered > 0.45


def test_a_rotated_crop_has_no_black_corners():
    augment = Augmentation(size=48, num_ops=0, rotation=180.0, flips=True, min_area=0.1)
    dark = [(augment(gradient_image(), name="a", view=v, seed=0)[2] < 0.1).float().mean().item() for v in range(100)]
    assert np.mean(dark) < 0.1


def both_sizes(augment, view, rows_columns=(90, 120), times=2):
    """Return a view at its size, and at `times` the size from an image decoded at `times` the pixels."""
    image = gradient_image(*rows_columns)
    larger = image.repeat(times, axis=0).repeat(times, axis=1)
    key = {"name": "a", "view": view, "seed": 0}
    small = augment.pixels(image, **key)
    return small, augment.pixels_at(times * augment.size, larger, image.shape[:2], **key)


def test_at_its_own_size_a_view_is_bit_for_bit_the_same():
    for view in range(10):
        augment, key = Augmentation(size=48, erasing=0.5), {"name": "a", "view": view, "seed": 0}
        image = gradient_image()
        assert np.array_equal(augment.pixels(image, **key), augment.pixels_at(48, image, image.shape[:2], **key))


@pytest.mark.parametrize("rows_columns", [(90, 120), (120, 90)])
def test_at_a_larger_size_a_view_shows_the_same_crop_and_rotation(rows_columns):
    """The colours are coordinates: averaged over 2 x 2 pixels the larger view has those of the smaller one."""
    augment = Augmentation(size=48, num_ops=0, min_area=0.3)
    for view in range(10):
        small, large = both_sizes(augment, view, rows_columns)
        pooled = large.reshape(48, 2, 48, 2, 3).mean(axis=(1, 3))
        inside = (pooled[..., 2] == 200) & (small[..., 2] == 200)  # black lies outside the image
        inside[[0, -1]] = inside[:, [0, -1]] = False
        assert inside.mean() > 0.3
        assert np.abs(pooled - small)[inside].max() <= 3  # half a pixel of the image is worth 1


def test_at_a_larger_size_a_view_draws_the_same_operations():
    augment = Augmentation(size=48, num_ops=2, rotation=0.0)
    for view in range(20):
        small, large = both_sizes(augment, view)
        pooled = large.reshape(48, 2, 48, 2, 3).mean(axis=(1, 3))
        others = [both_sizes(augment, other)[0] for other in range(20) if other != view]
        own = np.abs(pooled - small).mean()
        assert own < min(np.abs(pooled - other).mean() for other in others)


def test_at_a_larger_size_the_erased_rectangle_is_the_same():
    augment = Augmentation(size=48, **PLAIN, erasing=1.0)
    for view in range(10):
        small, large = both_sizes(augment, view)
        erased = small[..., 2] == 0
        assert 0.01 < erased.mean() < 0.4
        assert np.array_equal(large[..., 2] == 0, erased.repeat(2, axis=0).repeat(2, axis=1))


def test_a_strongly_augmented_image_is_a_function_of_image_view_and_seed():
    torch.manual_seed(5)
    expected = torch.rand(3)
    image = Augmentation(size=48)(gradient_image(), name="a", view=3, seed=1)
    before = image.clone()
    torch.manual_seed(5)
    images = [strengthened(image, name="a", view=view, seed=1) for view in range(20)]
    assert torch.equal(torch.rand(3), expected)
    assert torch.equal(image, before)
    assert all(torch.equal(x, strengthened(image, name="a", view=view, seed=1)) for view, x in enumerate(images))
    for other in ({"name": "b"}, {"seed": 2}):
        settings = [{"name": "a", "view": view, "seed": 1, **other} for view in range(20)]
        assert any(not torch.equal(x, strengthened(image, **s)) for x, s in zip(images, settings, strict=True))
    assert all(x.shape == (3, 48, 48) and x.dtype == torch.float32 and 0 <= x.min() <= x.max() <= 1 for x in images)
    assert np.mean([not torch.equal(x, image) for x in images]) > 0.8  # some draw the identity twice


def test_centre_crop_is_the_middle_at_eight_sevenths_of_the_size():
    crop = CentreCrop(size=56)
    assert crop.decode_side == 64
    assert CentreCrop(size=224).decode_side == 256
    image = crop(gradient_image(64, 86))
    torch.testing.assert_close(image[0, 0], torch.arange(15, 71).float() * 2 / 255)
    torch.testing.assert_close(image[1, :, 0], torch.arange(4, 60).float() * 2 / 255)


@pytest.mark.parametrize("made_by", [Augmentation(size=48), Augmentation(size=48, erasing=1.0), CentreCrop(size=48)])
def test_pixels_are_the_same_image_in_uint8(made_by):
    where = {"name": "a", "view": 3, "seed": 1}
    pixels, image = made_by.pixels(gradient_image(), **where), made_by(gradient_image(), **where)
    assert (pixels.shape, pixels.dtype) == ((48, 48, 3), np.uint8)
    assert torch.equal(torch.from_numpy(np.array(pixels)).permute(2, 0, 1).float() / 255, image)


def test_erasing_blackens_one_rectangle():
    white = np.full((90, 120, 3), 255, np.uint8)
    whole, erased = Augmentation(size=48, **PLAIN), Augmentation(size=48, erasing=1.0, **PLAIN)
    for view in range(10):
        image = erased(white, name="a", view=view, seed=0)
        black_HW = (image == 0).all(dim=0)
        assert 0.01 < black_HW.float().mean() < 0.36
        assert torch.equal(black_HW, black_HW.any(dim=1)[:, None] & black_HW.any(dim=0))
        assert torch.equal(image[:, ~black_HW], whole(white, name="a", view=view, seed=0)[:, ~black_HW])


def test_erasing_has_its_probability_and_is_a_function_of_the_view():
    white = np.full((60, 60, 3), 255, np.uint8)
    augment = Augmentation(size=24, erasing=0.25, **PLAIN)
    images = [augment(white, name="a", view=view, seed=0) for view in range(200)]
    assert 0.17 < np.mean([float((image == 0).any()) for image in images]) < 0.33
    assert all(torch.equal(p, augment(white, name="a", view=view, seed=0)) for view, p in enumerate(images[:20]))


def test_about_names_the_settings_that_are_on():
    plain = Augmentation(size=24)
    assert set(plain.about) == {"transform"}
    assert plain.about["transform"] == {
        "name": "Augmentation", "size": 24, "min_area": 0.3, "rotation": 180.0, "flips": True, "num_ops": 2,
        "magnitude": 9,
    }  # fmt: skip
    others = [Augmentation(size=24, erasing=0.1), Augmentation(size=24, artefacts=("shading",))]
    assert len({str(augment.about) for augment in [plain, *others]}) == 3
