import pytest
import torch

from dspkd.methods._ranking import mean_of, trusted

SCORES = torch.tensor(
    [
        [0.9, 0.1, 0.2],  # right: 0, first
        [0.9, 0.1, 0.2],  # right: 1, third
        [0.5, 0.5, 0.2],  # right: 1, ties for first
        [0.1, 0.3, 0.2],  # right: 2, second
        [0.9, 0.1, 0.2],  # right: 2, second, later
        [0.7, 0.8, 0.9],  # right: 0, third, later
    ]
)
RIGHT = torch.tensor([0, 1, 1, 2, 2, 0])


@pytest.mark.parametrize(
    ("share", "rows"),
    [
        (0.0, [0, 2]),
        (0.25, [0, 2, 3]),
        (0.5, [0, 2, 3, 4]),
        (0.75, [0, 1, 2, 3, 4]),
        (0.99, [0, 1, 2, 3, 4]),
        (1.0, [*range(6)]),
    ],
)
def test_right_rows_stay_and_of_the_others_the_best_ranked(share, rows):
    assert trusted(SCORES, RIGHT, share).nonzero().flatten().tolist() == rows


def test_the_mean_is_over_what_is_kept_and_zero_where_nothing_is():
    loss = torch.tensor([1.0, 5.0, torch.inf])
    assert mean_of(loss, torch.tensor([True, True, False])) == 3
    assert mean_of(loss, torch.zeros(3, dtype=torch.bool)) == 0
