import json

import numpy as np
import pytest
from matplotlib import colormaps
from PIL import Image

from dspkd import reports
from dspkd.errors import RunError
from dspkd.reports import saliency

PIXELS = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)


def test_the_image_is_unchanged_where_the_map_is_zero():
    assert np.array_equal(saliency.overlay(PIXELS, np.zeros((2, 3))), PIXELS)


def test_opacity_where_the_map_is_one():
    hottest = 255 * np.array(colormaps["inferno"](1.0)[:3])
    want = 0.38 * PIXELS + 0.62 * hottest
    assert np.abs(saliency.overlay(PIXELS, np.ones((2, 3))) - want).max() <= 0.5


def test_the_map_is_enlarged_over_the_image_the_right_way_round():
    """A map that is 1 at the top right changes the top right, and not the bottom left."""
    changed = np.abs(saliency.overlay(PIXELS, np.array([[0, 0, 1], [0, 0, 0]])).astype(int) - PIXELS).sum(axis=2)
    assert changed[0, -1] > 0
    assert changed[5:15, 45:].mean() > 10 * max(changed[25:, :20].mean(), 0.1)


@pytest.fixture
def run(fabricated):
    """A run with three images: two with maps, one that is forgotten and has none."""
    folder = fabricated("run", classes=("MEL", "NV"), images=(20, 30), short=True)
    for part in ("val", "test"):
        text = (folder / f"predictions/{part}.csv").read_text()
        (folder / f"predictions/teacher-{part}.csv").write_text(text)
    images = []
    (folder / "artifacts").mkdir()
    for number, maps in enumerate(
        ({"student": [[0, 1]], "teacher": [[0, 0]]}, {"student": [[1]], "teacher": [[0.5]]}, {})
    ):
        Image.fromarray(PIXELS).save(folder / f"artifacts/{number:03d}.jpg")
        images.append({"part": "val", "id": f"val_{number:05d}", "file": f"{number:03d}.jpg", "looks": maps})
    (folder / "artifacts/images.json").write_text(json.dumps({"images": images}))
    return folder


def test_images_are_read_with_their_overlays(run, tmp_path):
    first, second, third = saliency.read(run)
    assert (first.part, first.id, first.nothing) == ("val", "val_00000", ("teacher",))
    assert first.cells == {"student": "1 x 2", "teacher": "1 x 2"}
    assert set(second.overlays) == {"student", "teacher"}
    assert third.overlays == {}
    assert all(uri.startswith("data:image/jpeg;base64,") for uri in (third.image, *second.overlays.values()))
    assert saliency.read(tmp_path) == []


def test_the_page_shows_them_side_by_side_with_text_alternatives(run, page):
    read = page(reports.write(run))
    images = read.all("img")
    assert len(images) == 6
    assert all(image["src"].startswith("data:image/jpeg;base64,") and image["alt"] for image in images)
    assert "map of MEL in the teacher, which is zero" in images[1]["alt"]
    assert "Saliency (Grad-CAM)" in read.words
    assert "1 x 2 in the teacher and 1 x 2 in the student" in read.words


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (lambda folder: (folder / "images.json").write_text("{}"), "images.json: Field required"),
        (lambda folder: (folder / "001.jpg").unlink(), "001.jpg: not a readable image"),
        (lambda folder: (folder / "001.jpg").write_text("no"), "001.jpg: not a readable image"),
    ],
)
def test_a_broken_file_is_refused_by_name(run, break_it, message):
    break_it(run / "artifacts")
    with pytest.raises(RunError, match=message):
        saliency.read(run)
