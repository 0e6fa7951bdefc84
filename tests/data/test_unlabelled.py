"""Unlabelled images: found, screened against validation and test set, and drawn beside the labelled ones."""

import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from dspkd.data import unlabelled
from dspkd.data.audit import fingerprint
from dspkd.data.loader import TrainBatches
from dspkd.data.mixup import Mixing
from dspkd.data.readers import read
from dspkd.data.sampling import in_passes
from dspkd.data.split import split as split_of
from dspkd.data.synthetic.dataset import synthesize
from dspkd.data.transforms import Augmentation
from dspkd.errors import DataError, RunError
from dspkd.runtime.distributed import World


def silent(*_):
    pass


@pytest.fixture(scope="module")
def table(lesions):
    return read("isic2019", lesions)


@pytest.fixture(scope="module")
def split(table):
    return split_of(table, val=0.2, test=0.2)


@pytest.fixture
def pool(table, split, tmp_path):
    """Return a folder of images of other lesions, and of planted copies; and which of them is what."""
    folder = tmp_path / "pool"
    synthesize(tmp_path / "others", images=12, size=48, seed=77)
    (folder / "sub").mkdir(parents=True)
    for file in sorted((tmp_path / "others").rglob("*.jpg"))[:12]:
        shutil.copy(file, folder / "sub" / f"other_{file.name}")
    train, val, test = (split.places(part) for part in ("train", "val", "test"))
    shutil.copy(table.paths[train[0]], folder / "same_train.jpg")
    shutil.copy(table.paths[val[0]], folder / "same_val.jpg")
    Image.open(table.paths[test[1]]).rotate(90).save(folder / "rotated_test.png")
    Image.open(table.paths[val[1]]).resize((96, 96)).save(folder / "resized_val.jpg", quality=90)
    Image.open(table.paths[train[1]]).resize((96, 96)).save(folder / "resized_train.jpg", quality=90)
    noise = np.random.default_rng(0).integers(0, 255, (48, 80, 3), dtype=np.uint8)
    Image.fromarray(noise[:, :48]).save(folder / f"{table.ids[test[3]]}.png")
    noise[:, 16:64] = np.asarray(Image.open(table.paths[test[2]]).convert("RGB").resize((48, 48)))
    Image.fromarray(noise).save(folder / "wide_test.png")  # as if the data set were its centre crops
    (folder / "broken.jpg").write_bytes(b"no image")
    return folder


def test_what_would_leak_is_left_out_and_counted(pool, table, split):
    images = unlabelled.screened(unlabelled.find(pool), table, split, silent)
    expected = {
        "same_train.jpg": "same file",
        "same_val.jpg": "copy",
        "rotated_test.png": "copy",
        "resized_val.jpg": "copy",
        "wide_test.png": "copy",
        f"{table.ids[split.places('test')[3]]}.png": "same name",
        "broken.jpg": "damaged",
    }
    assert images.left_out == {f"unlabelled/{name}": reason for name, reason in expected.items()}
    assert "unlabelled/resized_train.jpg" in images.ids
    assert len(images) == 13
    text = str(images)
    assert "13 of 20 images" in text
    assert "4 copies of validation or test images, 1 with the name of a validation or test image, 1 files" in text
    assert "lesions and patients are unknown" in text


def test_lesions_of_the_held_out_sets_are_left_out(table, split, tmp_path):
    held_out, trained = (table.groups[split.places(part)[0]] for part in ("test", "train"))
    rows = ["path,label,group", f"a.png,x,{held_out}", f"b.png,x,{trained}", "c.png,x,"]
    (tmp_path / "data.csv").write_text("\n".join(rows) + "\n")
    for n, name in enumerate("abc"):
        noise = np.random.default_rng(n).integers(0, 255, (64, 64, 3), dtype=np.uint8)
        Image.fromarray(noise).save(tmp_path / f"{name}.png")
    images = unlabelled.screened(unlabelled.find(tmp_path), table, split, silent)
    assert images.left_out == {"unlabelled/a.png": "same lesion"}
    assert "lesions or patients are known of 1" in str(images)


def test_a_comparison_is_kept_for_other_runs_with_the_same_files(pool, table, split, tmp_path, monkeypatch):
    found = unlabelled.find(pool)
    first = unlabelled.screened(found, table, split, silent, cache=tmp_path / "cache")
    monkeypatch.setattr(fingerprint, "take", None)
    again = unlabelled.screened(found, table, split, silent, cache=tmp_path / "cache")
    assert (again.ids, again.left_out) == (first.ids, first.left_out)
    (pool / "sub" / "new.jpg").write_bytes((pool / "resized_val.jpg").read_bytes())
    with pytest.raises(TypeError):  # another comparison is needed
        unlabelled.screened(unlabelled.find(pool), table, split, silent, cache=tmp_path / "cache")


def test_copies_are_left_out_by_their_new_names_after_a_folder_was_renamed(pool, table, split, tmp_path):
    """The comparison that is kept is about the same files in the same order."""
    (pool / "one").mkdir()
    (pool / "resized_val.jpg").rename(pool / "one" / "resized_val.jpg")
    unlabelled.screened(unlabelled.find(pool), table, split, silent, cache=tmp_path / "cache")
    (pool / "one").rename(pool / "only")
    again = unlabelled.screened(unlabelled.find(pool), table, split, silent, cache=tmp_path / "cache")
    assert len(list((tmp_path / "cache").iterdir())) == 1
    assert again.left_out["unlabelled/only/resized_val.jpg"] == "copy"
    assert "unlabelled/only/resized_val.jpg" not in again.ids


def test_lesions_of_the_held_out_sets_are_known_by_the_column_of_the_labelled_images(table, split, tmp_path):
    held_out = table.groups[split.places("test")[0]]
    (tmp_path / "data.csv").write_text(f"path,label,patient_id,clinic_code\na.png,x,p1,{held_out}\nb.png,x,p2,c2\n")
    for n, name in enumerate("ab"):
        noise = np.random.default_rng(n).integers(0, 255, (64, 64, 3), dtype=np.uint8)
        Image.fromarray(noise).save(tmp_path / f"{name}.png")
    images = unlabelled.screened(unlabelled.find(tmp_path, "clinic_code"), table, split, silent)
    assert images.left_out == {"unlabelled/a.png": "same lesion"}
    assert unlabelled.find(tmp_path, "no such column").groups == ("p1", "p2")


def test_a_changed_choice_is_refused(pool, table, split, tmp_path):
    images = unlabelled.screened(unlabelled.find(pool), table, split, silent)
    images.save(tmp_path / "unlabelled.csv")
    images.save(tmp_path / "unlabelled.csv")
    fewer = images.without({**images.left_out, images.ids[0]: "copy"})
    with pytest.raises(RunError, match=rf"have changed since this run began, such as '{images.ids[0]}'"):
        fewer.save(tmp_path / "unlabelled.csv")


def test_nothing_to_learn_from_is_refused(table, split, tmp_path):
    with pytest.raises(DataError, match=r"^data\.unlabelled: .*there is no such folder"):
        unlabelled.find(tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"^data\.unlabelled: .*no image in it"):
        unlabelled.find(tmp_path)
    shutil.copy(table.paths[split.places("test")[0]], tmp_path / "a.jpg")
    with pytest.raises(DataError, match=r"^data\.unlabelled: .*no image is left: 1 copies"):
        unlabelled.screened(unlabelled.find(tmp_path), table, split, silent)


def test_all_images_are_drawn_before_one_is_drawn_again():
    drawn, views = (np.concatenate(parts) for parts in zip(*(in_passes(10, 7, seed=3, epoch=e) for e in range(10)),
                                                           strict=True))  # fmt: skip
    for number in range(7):
        assert sorted(drawn[10 * number : 10 * number + 10]) == list(range(10))
        assert set(views[10 * number : 10 * number + 10]) == {number}
    assert len(set(zip(drawn, views, strict=True))) == 70
    assert set(in_passes(10, 70, seed=3, epoch=0, views=2)[1]) == {0, 1}
    assert drawn[:10].tolist() != drawn[10:20].tolist()
    assert in_passes(10, 7, seed=4, epoch=0)[0].tolist() != drawn[:7].tolist()


@pytest.fixture(scope="module")
def extended(table, tmp_path_factory):
    folder = tmp_path_factory.mktemp("more") / "pool"
    synthesize(folder, images=30, size=48, seed=78)
    return unlabelled.find(folder).after(table)


def batches_of(table, *, beside=True, world=None, **settings):
    common = {"batch_size": 8, "seed": 5, "balance": 0.5, **settings}
    rows = np.arange(len(table)) >= 220
    pool = np.flatnonzero(rows) if beside else None
    world = {} if world is None else {"world": world}
    return TrainBatches(table, np.arange(40), Augmentation(size=32), unlabelled=pool, **common, **world)


@pytest.mark.parametrize("mixing", [None, Mixing(mixup=0.5, cutmix=1.0)])
@pytest.mark.parametrize("ratio", [0.5, 1.0, 2.5])
def test_labelled_images_are_those_without_the_others_beside_them(extended, ratio, mixing):
    count = round(8 * ratio)
    plain = batches_of(extended, beside=False, mixing=mixing)
    both = batches_of(extended, ratio=ratio, mixing=mixing)
    assert len(both) == len(plain) == 5
    for epoch in (0, 3):
        for alone, batch in zip(plain.epoch(epoch), both.epoch(epoch), strict=True):
            assert (len(batch), batch.labelled) == (8 + count, 8)
            assert (batch.labels[8:] == -1).all()
            assert (batch.index[8:] >= 220).all()
            for name in ("images", "labels", "index", "views"):
                assert torch.equal(getattr(batch, name)[:8], getattr(alone, name))
            if mixing:
                assert (batch.other_index[8:] >= 220).all()
                assert (batch.other_index[:8] < 220).all()
                assert len(set(batch.own_share.tolist())) == 1
        keys = both.keys(epoch)
        assert keys[:8] == plain.keys(epoch)[:8]
        assert both.keys(epoch, unlabelled=False) == plain.keys(epoch)


@pytest.mark.parametrize("mixing", [None, Mixing(mixup=0.5, cutmix=1.0)])
@pytest.mark.parametrize("ranks", [2, 3, 5])
def test_ranks_share_each_batch(extended, ranks, mixing):
    whole = batches_of(extended, mixing=mixing, ratio=1.5)
    shares = [batches_of(extended, mixing=mixing, ratio=1.5, world=World(rank, ranks)) for rank in range(ranks)]
    for batch, *parts in zip(whole.epoch(1), *(share.epoch(1) for share in shares), strict=True):
        assert [part.first for part in parts] == np.cumsum([0, *map(len, parts[:-1])]).tolist()
        assert {(part.whole, part.labelled) for part in parts} == {(20, 8)}
        for name in (
            "images",
            "labels",
            "index",
            "views",
            *(("other_index", "other_views", "own_share") if mixing else ()),
        ):
            assert torch.equal(torch.cat([getattr(part, name) for part in parts]), getattr(batch, name)), name
