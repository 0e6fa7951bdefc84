from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dspkd.data import leakage
from dspkd.data.readers import isic2019
from dspkd.data.split import PARTS, Split, crossing, leak_share, split
from dspkd.data.table import Table, group_or_own
from dspkd.errors import DataError


def table(groups):
    ids = tuple(f"I{row}" for row in range(len(groups)))
    return Table(("C",), ids, ids, np.zeros(len(ids), dtype=np.int64), group_or_own(groups, ids), {}, "somewhere")


LEAKING = table(["x", "x", "x", "y", "y", "z", "", "u", "u"])
SPLIT = Split(np.array(["train", "test", "test", "val", "test", "test", "test", "train", "train"]))


def test_a_waived_leak_is_counted_by_hand():
    """x is in training and test, y in validation and test; u and z stay whole."""
    leak = leakage.accept(LEAKING, SPLIT, waiver="as X did", where="here")
    assert leak == leakage.Leak("as X did", groups=2, images=5, tested=5, known=2)
    for words in (
        "overstated",
        "one part: 2, with 5 images",
        "training: 2 of 5 (40.0 %)",
        'Waived by the recipe: "as X',
    ):
        assert words in str(leak)


def test_a_leak_without_a_waiver_is_refused_with_numbers_and_remedy():
    with pytest.raises(DataError) as caught:
        leakage.accept(LEAKING, SPLIT, waiver=None, where="split.csv")
    message = str(caught.value)
    assert message.startswith("split.csv: 2 lesions or patients ")
    assert "(x, y), with 5 of 9 images; 2 of 5 test images" in message
    assert "overstated" in message
    assert 'split.waiver = "imitates' in message


@given(
    groups=st.lists(st.sampled_from(["a", "b", "c", ""]), min_size=1, max_size=20),
    draw=st.randoms(use_true_random=False),
    waiver=st.sampled_from([None, "why"]),
)
def test_a_split_is_accepted_without_a_waiver_if_and_only_if_no_group_crosses(groups, draw, waiver):
    of = table(groups)
    parts = [draw.choice(PARTS) for _ in groups]
    pairs = {(group, part) for group, part in zip(of.groups, parts, strict=True)}
    whole = len(pairs) == len(set(of.groups))
    result = Split(np.array(parts))
    assert (crossing(of, result) == []) is whole
    if whole:
        assert leakage.accept(of, result, waiver=waiver, where="here") is None
    elif waiver:
        leak = leakage.accept(of, result, waiver=waiver, where="here")
        assert leak.known / max(leak.tested, 1) == leak_share(result, of)
    else:
        with pytest.raises(DataError, match="more than one part"):
            leakage.accept(of, result, waiver=waiver, where="here")


def test_isic_2019_by_image_leaks_the_expected_share(shared):
    of = isic2019.read(shared / "data/isic2019-tables", images="unchecked")
    leak = leakage.accept(of, split(of, val=0.05, test=0.2, by="image"), waiver="to see", where="here")
    # 60.5 % of a test set of one fifth show a lesion that is in training, where all the rest is training.
    assert 0.55 < leak.known / leak.tested < 0.62
    # A lesion with n images is in one part alone with probability sum over parts of share^n.
    sizes = np.array(list(Counter(of.groups).values()))
    whole = sum(share**sizes for share in (0.75, 0.05, 0.2))
    assert leak.images == pytest.approx((sizes * (1 - whole)).sum(), rel=0.03)
