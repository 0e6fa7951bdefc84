"""Comparisons of untrained runs."""

import pytest

from dspkd.experiments.compare import compare, grid
from repeated_runs import untrained, write_grids


@pytest.fixture(scope="module")
def repeated_grids(grid_file, tmp_path_factory):
    """A grid of two repetitions in three folds, and the grids of each of them."""
    return write_grids(tmp_path_factory.mktemp("grids"), grid_file)


@pytest.fixture(scope="module")
def repeated(repeated_grids, tmp_path_factory):
    """The folder and the results of the grid of two repetitions."""
    out = tmp_path_factory.mktemp("repeated") / "out"
    (results,) = compare.compare(grid.load(repeated_grids / "both.toml"), out, untrained).results
    return out, results
