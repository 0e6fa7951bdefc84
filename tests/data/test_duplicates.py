import io

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageOps
from scipy.ndimage import gaussian_filter

from dspkd.data.audit import duplicates, fingerprint
from dspkd.data.audit.duplicates import SIMILARITY, clusters, find
from dspkd.errors import DataError

COUNT = 40


def photograph(seed, size=(150, 200)):
    """A smooth scene of its own with fine structure of its own."""
    draw = np.random.default_rng(seed)
    coarse = gaussian_filter(draw.normal(size=(*size, 3)), (25, 25, 0))
    fine = gaussian_filter(draw.normal(size=size), 1.5)[..., None]
    pixels = 130 + 35 * coarse / coarse.std() + 12 * fine / fine.std()
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def jpeg(image, quality):
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return Image.open(file).convert("RGB")


def tinted(image):
    return Image.fromarray((np.asarray(image) * [1.1, 0.95, 0.9]).clip(0, 255).astype(np.uint8))


def ruled(image):
    image = image.copy()
    pen = ImageDraw.Draw(image)
    pen.line([(0, 135), (200, 135)], fill=(20, 20, 20))
    for x in range(0, 200, 8):
        pen.line([(x, 135), (x, 142)], fill=(20, 20, 20))
    pen.line([(10, 10), (180, 90)], fill=(40, 25, 20), width=1)
    return image


COPIES = {
    "smaller": lambda image: image.resize((100, 75)),
    "JPEG 50": lambda image: jpeg(image, 50),
    "mirrored left to right": ImageOps.mirror,
    "mirrored top to bottom": ImageOps.flip,
    "rotated by 90 degrees": lambda image: image.transpose(Image.Transpose.ROTATE_270),  # Pillow's go the other way
    "rotated by 180 degrees": lambda image: image.transpose(Image.Transpose.ROTATE_180),
    "rotated by 270 degrees": lambda image: image.transpose(Image.Transpose.ROTATE_90),
    "darker": lambda image: ImageEnhance.Brightness(image).enhance(0.75),
    "tinted": tinted,
    "cropped": lambda image: image.crop((7, 1, 197, 143)),
    "blurred": lambda image: image.filter(ImageFilter.GaussianBlur(1)),
    "drawn upon": ruled,
}


def prints_of(images, folder):
    paths = []
    for number, image in enumerate(images):
        paths.append(folder / f"{number}.png")
        image.save(paths[-1])
    return fingerprint.take(tuple(paths))


@pytest.fixture(scope="module")
def originals():
    return [photograph(seed) for seed in range(COUNT)]


@pytest.fixture(scope="module")
def found(originals, tmp_path_factory):
    """The pairs among 40 photographs and a copy of each kind, of the photograph of that number."""
    copies = [change(originals[number]) for number, change in enumerate(COPIES.values())]
    return find(prints_of([*originals, *copies], tmp_path_factory.mktemp("copies")))


def test_every_copy_is_found_and_nothing_else(found):
    pairs = set(zip(found.first.tolist(), found.second.tolist(), strict=True))
    assert pairs == {(number, COUNT + number) for number in range(len(COPIES))}


def test_the_turn_of_a_copy_is_named(found):
    from dspkd.data.audit.audit import TURNS

    named = dict(zip(found.second.tolist(), found.turn.tolist(), strict=True))
    for number, name in enumerate(COPIES):
        assert TURNS[named[COUNT + number]] == (name if name in TURNS else "upright")


def test_the_most_similar_come_first_and_none_is_below_the_threshold(found):
    assert (np.diff(found.similarity) <= 0).all()
    assert found.similarity.min() >= SIMILARITY


def test_the_order_of_the_files_does_not_matter(originals, tmp_path):
    images = [*originals[:10], *(change(originals[n]) for n, change in enumerate(list(COPIES.values())[:10]))]
    backwards = find(prints_of(images[::-1], tmp_path))
    pairs = zip(backwards.first.tolist(), backwards.second.tolist(), strict=True)
    assert {(19 - b, 19 - a) for a, b in pairs} == {(n, 10 + n) for n in range(10)}


def test_a_lower_threshold_only_adds_pairs(originals, tmp_path):
    prints = prints_of([*originals, ruled(originals[0])], tmp_path)
    few, many = (find(prints, least=least) for least in (0.9, 0.0))
    assert set(zip(few.first, few.second, strict=True)) < set(zip(many.first, many.second, strict=True))


def test_many_copies_of_one_image_are_one_cluster(originals, tmp_path):
    copies = [jpeg(originals[0], quality) for quality in range(50, 95, 2)]
    pairs = find(prints_of([*originals[:5], *copies], tmp_path))
    cluster = clusters(pairs.first, pairs.second, 5 + len(copies))
    assert set(cluster[5:]) == {cluster[0]}
    assert len(set(cluster[:5])) == 5


@pytest.mark.parametrize("square", [(25, 0, 175, 150), (27, 3, 172, 148)], ids=["whole height", "a little less"])
def test_centre_squares_are_found_among_whole_photographs(originals, tmp_path, square):
    """A set of 600 x 450 photographs and its copy cropped to squares, as many data sets are."""
    squares = [image.crop(square).resize((64, 64)) for image in originals[:6]]
    found = find(prints_of([*originals, *squares], tmp_path))
    assert set(zip(found.first.tolist(), found.second.tolist(), strict=True)) == {(n, COUNT + n) for n in range(6)}


def test_centre_squares_are_not_compared_where_all_images_have_one_shape(originals, tmp_path):
    upright = [image.transpose(Image.Transpose.ROTATE_90) for image in originals[:2]]
    assert prints_of([*originals[:2], *upright], tmp_path).centred is None


def test_images_that_are_broken_flat_or_alone_have_no_copies(tmp_path):
    Image.new("RGB", (80, 80), "white").save(tmp_path / "0.png")
    Image.new("RGB", (90, 80), "white").save(tmp_path / "1.png")
    (tmp_path / "2.png").write_bytes(b"")
    photograph(0).save(tmp_path / "3.png")
    assert len(find(fingerprint.take(tuple(tmp_path / f"{n}.png" for n in range(4))))) == 0
    assert len(find(fingerprint.take(()))) == 0


def test_equal_pixels_are_copies_even_without_structure(tmp_path):
    pairs = find(prints_of([Image.new("RGB", (80, 80), "white")] * 3, tmp_path))
    assert clusters(pairs.first, pairs.second, 3).tolist() == [0, 0, 0]
    assert set(pairs.similarity) == {1.0}


def hairy(image, hairs=14):
    """Return the image with dark curves drawn across it: a copy whose first similarity is uncertain."""
    image, draw = image.copy(), np.random.default_rng(3)
    pen = ImageDraw.Draw(image)
    for _ in range(hairs):
        pen.line([tuple(point) for point in draw.uniform(0, 1, (3, 2)) * image.size], fill=(40, 25, 20), width=2)
    return image


def test_uncertain_pairs_are_compared_at_high_resolution(originals, tmp_path, monkeypatch):
    images = [*originals[:12], *(hairy(image) for image in originals[:12])]
    prints = prints_of(images, tmp_path)
    pairs = find(prints)
    assert set(zip(pairs.first.tolist(), pairs.second.tolist(), strict=True)) == {(n, 12 + n) for n in range(12)}
    monkeypatch.setattr(duplicates, "_compare_closely", lambda prints, pairs: pairs)
    first = find(prints, least=0)
    assert len(find(prints)) < 12  # so the comparison at high resolution found the rest
    monkeypatch.undo()
    nothing = np.full((128, 128, 3), 90, np.uint8)
    monkeypatch.setattr(duplicates, "decode", lambda path, short_side: nothing)
    blind = find(prints, least=0)  # an image without structure keeps its first similarity
    np.testing.assert_array_equal(blind.similarity, first.similarity)


def test_progress_is_reported_to_the_end(originals, tmp_path):
    last = {}
    find(
        prints_of([originals[0], hairy(originals[0])], tmp_path), lambda what, done, of: last.update({what: (done, of)})
    )
    assert last == {"turns searched": (8, 8), "candidates compared": (1, 1), "uncertain pairs compared": (1, 1)}


def test_a_file_that_is_deleted_meanwhile_is_named(originals, tmp_path):
    prints = prints_of([originals[0], hairy(originals[0])], tmp_path)
    (tmp_path / "1.png").unlink()
    with pytest.raises(DataError, match=r"1\.png: not a readable image"):
        find(prints)


def test_a_copy_among_real_photographs_is_found(shared, tmp_path):
    folder = shared / "data" / "dermoscopy-150" / "ISIC_2019_Training_Input"
    images = [Image.open(path).convert("RGB") for path in sorted(folder.iterdir())[:80]]
    before = find(prints_of(images, tmp_path))
    copies = [ImageOps.mirror(images[0].crop((5, 4, 195, 146))), ruled(images[1].rotate(90, expand=True))]
    after = find(prints_of([*images, *copies], tmp_path))
    new = set(zip(after.first.tolist(), after.second.tolist(), strict=True)) - set(
        zip(before.first.tolist(), before.second.tolist(), strict=True)
    )
    assert {(0, 80), (1, 81)} <= new
    assert all(a in (0, 1) or b >= 80 for a, b in new)


@pytest.mark.parametrize("count", [3, 100, 2500])
def test_cells_find_the_same_neighbours_as_a_full_search(count):
    """Points in tight pairs, far fewer than `NEIGHBOURS`; up to 144 points, every cell is searched."""
    draw = np.random.default_rng(0)
    centres = draw.normal(size=(-(-count // 2), 6)).astype(np.float32)
    points = np.repeat(centres, 2, axis=0)[:count] + draw.normal(scale=0.05, size=(count, 6)).astype(np.float32)
    queries = points + draw.normal(scale=0.02, size=points.shape).astype(np.float32)
    apart = np.linalg.norm(queries[:, None] - points[None], axis=2)
    first, second = duplicates._Cells(points).near(queries)
    assert (apart[first, second] <= duplicates.RADIUS + 1e-5).all()
    pairs, own = set(zip(first.tolist(), second.tolist(), strict=True)), np.flatnonzero(np.diag(apart) <= 0.3)
    assert {(row, row) for row in own.tolist()} <= pairs
    twins = {(row, row ^ 1) for row in range(count) if row ^ 1 < count and apart[row, row ^ 1] <= 0.3}
    assert twins <= pairs
    if count <= 100:
        assert pairs == set(zip(*(axis.tolist() for axis in np.nonzero(apart <= duplicates.RADIUS)), strict=True))
