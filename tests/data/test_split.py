import re
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from dspkd.data.split import (
    PARTS,
    Split,
    leak_share,
    load,
    report,
    require_no_empty_part,
    require_training_images,
    split,
    trained_groups,
)
from dspkd.data.table import Table, group_or_own
from dspkd.errors import DataError
from dspkd.runtime.seeds import seed_for


def table(labels, groups, classes=None):
    """Return a table of images 0, 1, 2, ..; an empty group is unknown."""
    ids = tuple(f"I{row}" for row in range(len(labels)))
    classes = classes or tuple(f"C{k}" for k in range(max(labels) + 1))
    paths = tuple(Path(name) for name in ids)
    return Table(classes, ids, paths, np.array(labels), group_or_own(groups, ids), {}, Path("somewhere"))


def lesions(sizes_of):
    """Return a table of pure groups: for each class, the sizes of its groups."""
    rows = [(k, f"L{k}.{g}") for k, sizes in enumerate(sizes_of) for g, size in enumerate(sizes) for _ in range(size)]
    return table(*map(list, zip(*rows, strict=True)))


@st.composite
def tables(draw):
    """Any table: groups of any size that may mix classes, unknown groups, one class or several."""
    classes = draw(st.integers(1, 5))
    groups = draw(st.integers(1, 40))
    # With pure groups, a group's class is a function of the group; else a patient may have several diagnoses.
    pure = draw(st.booleans())
    rows = draw(st.lists(st.tuples(st.integers(0, classes - 1), st.integers(-5, groups)), min_size=1, max_size=150))
    labels = [group % classes if pure and group >= 0 else label for label, group in rows]
    present = {label: k for k, label in enumerate(sorted(set(labels)))}
    return table([present[label] for label in labels], [f"G{group}" if group >= 0 else "" for _, group in rows])


SHARES = st.tuples(st.sampled_from([0.0, 0.1, 0.15, 0.3]), st.sampled_from([0.0, 0.1, 0.2, 0.4]))


def split_or_skip(*args, **options):
    """Return a split; skip a table that leaves a class without a training image."""
    try:
        return split(*args, **options)
    except DataError as e:
        assume("has no training image" not in str(e))
        raise


def tolerances(of, shares_of):
    """Return the largest deviation of a part from its share, for each class, as documented in `split`."""
    members = defaultdict(list)
    for label, group in zip(of.labels.tolist(), of.groups, strict=True):
        members[group].append(label)
    mixed = [labels for labels in members.values() if len(set(labels)) > 1]
    shares = [share for share in shares_of.values() if share > 0]
    fewer = 1 - 1 / len(shares)
    mixing = len({label for labels in mixed for label in labels})
    allowed = []
    for k in range(len(of.classes)):
        largest = max((len(labels) for labels in members.values() if set(labels) == {k}), default=0)
        squares = sum(labels.count(k) ** 2 for labels in mixed)
        random = (fewer * (1 - sum(share**2 for share in shares)) * mixing * squares) ** 0.5
        allowed.append(max(largest, random) if mixed else fewer * largest)
    return allowed


@given(of=tables(), seed=st.integers(0, 10**6), shares=SHARES, by=st.sampled_from(["group", "image"]))
def test_no_group_crosses_and_every_class_has_its_share(of, seed, shares, by):
    val, test = shares
    result = split_or_skip(of, val=val, test=test, seed=seed, by=by)
    units = of if by == "group" else replace(of, groups=of.ids)
    assert len(set(zip(units.groups, result.parts.tolist(), strict=True))) == len(set(units.groups))
    shares_of = {"train": 1 - val - test, "val": val, "test": test}
    allowed = tolerances(units, shares_of)
    for part, share in shares_of.items():
        got = np.bincount(of.labels[result.places(part)], minlength=len(of.classes))
        assert share > 0 or not got.any()
        for k, images in enumerate(np.bincount(of.labels)):
            assert abs(got[k] - share * images) <= allowed[k] + 1e-9


@given(of=tables(), seed=st.integers(0, 100), shuffle=st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter(of, seed, shuffle):
    order = list(range(len(of)))
    shuffle.shuffle(order)
    here = split_or_skip(of, seed=seed)
    there = split(of.take(order), seed=seed)
    assert here.parts[order].tolist() == there.parts.tolist()


@given(of=tables(), by=st.sampled_from(["group", "image"]))
def test_a_saved_split_is_loaded_in_any_order(tmp_path_factory, of, by):
    path = tmp_path_factory.mktemp("split") / "split.csv"
    result = split_or_skip(of, by=by)
    result.save(path, of)
    again = load(path, of, by=by)
    assert again.digest == result.digest
    backwards = list(range(len(of)))[::-1]
    assert load(path, of.take(backwards), by=by).parts.tolist() == result.parts.tolist()[::-1]


def test_parts_cover_the_table_once():
    of = lesions([[3, 1, 1, 2] * 5, [1] * 30])
    result = split(of)
    assert sorted(np.concatenate([result.places(part) for part in PARTS]).tolist()) == list(range(len(of)))


def test_another_seed_gives_another_split_and_the_same_seed_the_same():
    of = lesions([[1] * 100])
    assert split(of, seed=3).digest == split(of, seed=3).digest
    assert len({split(of, seed=seed).digest for seed in range(5)}) == 5


def test_large_groups_are_distributed_like_small_ones():
    """Half the images are in groups of 10, half alone: so it must be in the test part too, on average over seeds.

    The share of one split has a deviation of about 0.16 (20 groups of 10, a fifth of them drawn), so the mean of 40
    splits lies within 4 * 0.16 / sqrt(40) = 0.1 of one half.
    """
    of = lesions([[10] * 20 + [1] * 200])
    size = np.array([of.groups.count(group) for group in of.groups])
    alone = [(size[split(of, seed=seed).places("test")] == 1).mean() for seed in range(40)]
    assert np.mean(alone) == pytest.approx(0.5, abs=0.1)


def test_a_group_of_several_classes_stays_whole_and_counts_for_each():
    of = table([0, 1] * 20, [f"P{row // 2}" for row in range(40)])
    counts = report(of, split(of, val=0.25, test=0.25))
    assert counts["train"]["C0"] == counts["train"]["C1"]
    assert sum(counts[part]["C0"][0] for part in PARTS) == sum(counts[part]["C0"][1] for part in PARTS) == 20
    # A random assignment would miss by a binomial deviation, sqrt(20 * 0.25 * 0.75) = 1.9 images.
    assert abs(counts["val"]["C0"][0] - 5) <= 1


def test_the_report_counts_images_and_named_lesions_of_each_class_and_part():
    of = table([0, 0, 0, 1, 1], ["x", "x", "y", "z", ""])
    result = Split(np.array(["train", "train", "val", "train", "test"]))
    assert report(of, result) == {
        "train": {"C0": [2, 1], "C1": [1, 1]},
        "val": {"C0": [1, 1], "C1": [0, 0]},
        "test": {"C0": [0, 0], "C1": [1, 0]},
    }


def test_parts_of_share_0_are_empty():
    of = lesions([[1] * 9, [1] * 9])
    result = split(of, val=0, test=0)
    assert result.rows("train").tolist() == list(range(18))
    assert leak_share(result, of) == 0


def test_a_class_without_training_images_is_refused_with_its_name():
    of = table([0, 0, 1, 1], ["w", "x", "y", "y"])
    result = Split(np.array(["train", "val", "test", "test"]))
    with pytest.raises(DataError, match=r"class 'C1' has no training image: its 2 images are 1 group"):
        require_training_images(of, result)
    with pytest.raises(DataError, match=r"class 'DF' has no image; drop it with data\.classes"):
        split(replace(of, classes=("MEL", "NV", "DF")))
    with pytest.raises(DataError, match="class 'C0' has no training image"):
        split(lesions([[1]]), val=0.3, test=0.6)


def assigned_by_hand(of, order, shares):
    """Return the part of each mixed group in this order, by the formula of `split`, in plain sums."""
    groups = [[of.labels[row] for row in range(len(of)) if of.groups[row] == name] for name in order]
    K, parts = len(of.classes), []
    n = [[labels.count(c) for c in range(K)] for labels in groups]
    weight = [1 / sum(counts[c] ** 2 for counts in n) for c in range(K)]
    for g, counts in enumerate(n):
        scores = []
        for p, share in enumerate(shares):
            owed = [share * sum(n[i][c] for i in range(g + 1)) for c in range(K)]
            has = [sum(n[i][c] for i in range(g) if parts[i] == p) for c in range(K)]
            scores.append(sum(weight[c] * counts[c] * (owed[c] - has[c]) for c in range(K)))
        parts.append(scores.index(max(scores)))
    return [PARTS[p] for p in parts]


def test_patients_of_several_classes_go_where_the_formula_puts_them_rare_classes_weighted_up():
    """Patients of some 12 common and 1 or 2 rare images: unweighted, the rare class would hardly count."""
    draw = np.random.default_rng(0)
    sizes = [(int(draw.integers(4, 20)), int(draw.integers(1, 3))) for _ in range(30)]
    rows = [(c, f"P{g}") for g, pair in enumerate(sizes) for c, size in enumerate(pair) for _ in range(size)]
    of = table(*map(list, zip(*rows, strict=True)))
    order = sorted(set(of.groups), key=lambda name: (seed_for(0, "split", name), name))
    parts = dict(zip(of.groups, split(of).parts.tolist(), strict=True))
    assert [parts[name] for name in order] == assigned_by_hand(of, order, (0.65, 0.15, 0.2))


def test_a_split_that_leaves_a_part_empty_is_refused():
    of = lesions([[300, 12, 9]])
    with pytest.raises(
        DataError, match=r"leaves .*(val|test).* empty: its 3 lesions .* 300, 12, 9 images; .*split\.file"
    ):
        require_no_empty_part(of, split(of))
    require_no_empty_part(of, Split(np.array(["train"] * 300 + ["val"] * 12 + ["test"] * 9)))
    with pytest.raises(DataError, match="leaves test empty"):
        require_no_empty_part(of, Split(np.array(["train"] * 300 + ["val"] * 21)))


def test_leak_share_is_the_share_of_test_images_whose_group_trains():
    of = table([0] * 6, ["x", "x", "y", "y", "z", ""])
    result = Split(np.array(["train", "test", "val", "test", "test", "test"]))
    assert leak_share(result, of) == 1 / 4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"val": 0.5, "test": 0.5}, "below 1 together, got val = 0.5, test = 0.5"),
        ({"val": -0.1}, "at least 0 .* got val = -0.1"),
        ({"test": float("nan")}, "got val = 0.15, test = nan"),
        ({"by": "images"}, "by = 'images'; did you mean 'image'"),
    ],
)
def test_invalid_options_are_refused(options, message):
    with pytest.raises(DataError, match=message):
        split(lesions([[1] * 20]), **options)


def swapped(text, pattern, replacement):
    """Return the text with the first match replaced."""
    changed = re.sub(pattern, replacement, text, count=1)
    assert changed != text
    return changed


@pytest.mark.parametrize(
    ("pattern", "replacement", "message"),
    [
        (r"I0,.*\n", "", r"split\.csv: .*1 images .*\(I0\), 0 "),
        (r"I0,", "I99,", r"split\.csv: .*\(I0\), 1 .*\(I99\)"),
        (r"(I0,.*\n)", r"\1\1", r"line 3: id 'I0' .*line 2"),
        (r"(I1,\S+,)C0", r"\1C1", r"line 3: the label is 'C1', but 'C0' in somewhere"),
        (r"I1,L0.0,", "I1,L0.1,", r"line 3: the group is 'L0\.1', but 'L0\.0' in somewhere"),
        (r"train", "trian", r"line 2: .*'trian'; did you mean 'train'"),
        (r"train", "test", r"split\.csv: 1 lesion or patient .*: L0\.0; split by group"),
        (r"part", "prt", r"'part'; did you mean 'prt'"),
    ],
)
def test_a_saved_split_that_does_not_match_is_refused(tmp_path, pattern, replacement, message):
    of = lesions([[2] * 4, [2] * 4])
    path = tmp_path / "split.csv"
    Split(
        np.array(["train"] * 4 + ["val", "val", "test", "test"] + ["train"] * 4 + ["val", "val", "test", "test"])
    ).save(path, of)
    assert load(path, of).rows("train").tolist() == [0, 1, 2, 3, 8, 9, 10, 11]
    assert trained_groups(path) == {"L0.0", "L0.1", "L1.0", "L1.1"}
    path.write_text(swapped(path.read_text(), pattern, replacement))
    with pytest.raises(DataError, match=message):
        load(path, of)


def test_an_empty_part_is_refused_without_calling_images_lesions():
    of = table([0, 0, 1, 1], ["", "", "", ""])
    result = Split(np.array(["train", "val", "train", "val"]))
    with pytest.raises(DataError, match="its 4 images have 1, 1, 1, 1 images"):
        require_no_empty_part(of, result)
    with pytest.raises(DataError, match="its 4 lesions, patients or images without an id"):
        require_no_empty_part(table([0, 0, 1, 1], ["x", "", "", ""]), result)
