"""The heat map against formulas by hand: networks whose output depends on known pixels."""

import numpy as np
import pytest

from dspkd.deploy.serve.occlusion import CELLS, COVER, heat_map

SIDE = 40
EDGES = [SIDE * k // CELLS for k in range(CELLS + 1)]


def cell(row, column):
    return np.s_[..., EDGES[row] : EDGES[row + 1], EDGES[column] : EDGES[column + 1]]


@pytest.fixture
def image():
    return np.random.default_rng(0).random((3, SIDE, SIDE), dtype=np.float32)


@pytest.mark.parametrize("where", [(0, 0), (3, 4), (7, 7), (0, 5)])
def test_the_heat_of_a_network_of_one_cell_is_in_that_cell(image, where):
    """Every window over the cell lowers p equally, so that the cell has all the heat and a far one none."""
    image[cell(*where)] = 1

    def network(batch):
        p = batch[cell(*where)].mean(axis=(1, 2, 3), dtype=np.float64)
        return np.stack([1 - p, p], axis=1)

    cells = heat_map(network, image, 1)
    colour = image.mean(axis=(1, 2)).mean()
    assert cells.shape == (CELLS, CELLS)
    assert np.unravel_index(cells.argmax(), cells.shape) == where
    assert cells[where] == pytest.approx(1 - colour, abs=1e-6)
    rows, columns = np.indices(cells.shape)
    far = (abs(rows - where[0]) >= COVER) | (abs(columns - where[1]) >= COVER)
    assert abs(cells[far]).max() < 1e-6
    assert heat_map(network, image, 0)[where] == pytest.approx(colour - 1, abs=1e-6)


def test_equals_the_definition_one_window_and_one_cell_at_a_time(image):
    weight = np.random.default_rng(1).normal(size=image.shape)

    def p(pixels):
        return 1 / (1 + np.exp(-(weight * pixels).sum() / 10))

    expected = np.zeros((CELLS, CELLS))
    for row in range(CELLS):
        for column in range(CELLS):
            falls = []
            for top in {row - 1, row} & set(range(CELLS - 1)):
                for left in {column - 1, column} & set(range(CELLS - 1)):
                    covered = image.copy()
                    for channel in range(3):
                        covered[channel, top * 5 : top * 5 + 10, left * 5 : left * 5 + 10] = image[channel].mean()
                    falls.append(p(image) - p(covered))
            expected[row, column] = sum(falls) / len(falls)
    got = heat_map(lambda batch: np.array([[p(pixels)] for pixels in batch]), image, 0)
    np.testing.assert_allclose(got, expected, atol=1e-6)  # the mean colour is rounded to float32


def test_the_image_is_not_changed_and_its_side_need_not_divide(image):
    uneven = image[:, :37, :37].copy()
    before = uneven.copy()
    assert heat_map(lambda batch: batch.mean(axis=(2, 3)), uneven, 2).shape == (CELLS, CELLS)
    assert np.array_equal(uneven, before)


def test_covering_with_the_mean_colour_keeps_the_mean(image):
    flat = np.broadcast_to(image.mean(axis=(1, 2), keepdims=True), image.shape).copy()
    assert abs(heat_map(lambda batch: batch.mean(axis=(2, 3)), flat, 0)).max() < 1e-6


def test_the_cells_reach_the_last_pixel_if_the_side_does_not_divide(image):
    uneven = image[:, :37, :37].copy()
    uneven[:, -1, -1] = 1
    cells = heat_map(lambda batch: batch[:, :, -1, -1].mean(axis=1, keepdims=True, dtype=np.float64), uneven, 0)
    assert cells[-1, -1] == pytest.approx(1 - uneven.mean(axis=(1, 2)).mean(), abs=1e-6)
