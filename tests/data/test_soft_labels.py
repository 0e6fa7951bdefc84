"""Labels as weights of several classes: read, merged, mixed, and beside unlabelled images."""

import importlib.util
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dspkd import data
from dspkd.data import Columns
from dspkd.data.class_map import ClassMap
from dspkd.data.loader import TrainBatches
from dspkd.data.mixup import Mixing
from dspkd.data.transforms import Augmentation
from dspkd.data.unlabelled import UnlabelledImages
from dspkd.errors import DataError
from dspkd.runtime.distributed import World

spec = importlib.util.spec_from_file_location("published_sets", Path(__file__).with_name("published_sets.py"))
published_sets = importlib.util.module_from_spec(spec)
spec.loader.exec_module(published_sets)


@pytest.fixture
def scin(tmp_path):
    published_sets.scin(tmp_path)
    for file in tmp_path.rglob("*.png"):
        Image.new("RGB", (8, 8)).save(file)
    return data.read("auto", tmp_path)


def test_the_weights_of_conditions_are_kept_and_the_largest_is_the_class(scin):
    assert scin.classes == ("Eczema", "Grover's disease", "Tinea")
    np.testing.assert_allclose(scin.soft_labels[0], [0.4, 0, 0.6], rtol=1e-6)
    np.testing.assert_allclose(scin.soft_labels.sum(axis=1), 1, rtol=1e-6)
    assert (scin.soft_labels.argmax(axis=1) == scin.labels).all()
    assert any("largest weight" in note and "2 images have several" in note for note in scin.origin.notes)
    assert replace(scin, soft_labels=scin.soft_labels[::-1]).digest != scin.digest


@pytest.mark.parametrize("cell", ["{'Eczema': -1.0}", "{'Eczema': 'much'}", "{'Eczema': 1e999}", "['Eczema']"])
def test_weights_that_are_none_are_refused_with_their_line(cell, tmp_path):
    published_sets.scin(tmp_path)
    table = tmp_path / "scin_labels.csv"
    table.write_text(table.read_text().replace("{'Eczema': 1.0}", cell.replace('"', '""')))
    with pytest.raises(DataError, match=r"scin_labels\.csv, line 4: weighted_skin_condition_label is"):
        data.read("auto", tmp_path)


def test_a_class_map_adds_weights_and_the_class_is_that_of_the_largest_sum(scin):
    soft = np.array([[0.4, 0.35, 0.25], [0.5, 0.2, 0.3], [0, 0, 1], [0, 0, 1], [0.1, 0.9, 0], [0.1, 0.9, 0]])
    table = replace(scin, soft_labels=soft.astype(np.float32), labels=np.array([0, 0, 2, 2, 1, 1]))
    merged = ClassMap(Path("m"), {"other": ("Grover's disease", "Tinea"), "eczema": ("Eczema",)}).apply(table)
    np.testing.assert_allclose(merged.soft_labels[:3], [[0.6, 0.4], [0.5, 0.5], [1, 0]], rtol=1e-6)
    assert merged.labels.tolist() == [0, 1, 0, 0, 0, 0], "an equal weight leaves the class that it was"
    dropped = ClassMap(Path("m"), {"a": ("Eczema",), "b": ("Grover's disease",)}, drop=("Tinea",)).apply(table)
    np.testing.assert_allclose(dropped.soft_labels[0], [0.4 / 0.75, 0.35 / 0.75], rtol=1e-6)
    assert len(dropped) == len(dropped.soft_labels) == 4


@pytest.mark.parametrize("mixing", [None, Mixing(mixup=0.4)])
def test_batches_have_the_weights_of_their_images_and_mixtures_those_of_both(mixing, scin):
    unlabelled = UnlabelledImages(scin.root, ("unlabelled/a",), scin.paths[:1], ("",), {}).after(scin)
    images = Augmentation(size=4, num_ops=0, magnitude=0)
    made = TrainBatches(
        unlabelled, np.arange(len(scin)), images, batch_size=4, mixing=mixing, unlabelled=np.array([len(scin)])
    )
    for batch in made.epoch(0):
        own = torch.from_numpy(unlabelled.soft_labels)[batch.index]
        if mixing:
            other, share = torch.from_numpy(unlabelled.soft_labels)[batch.other_index], batch.own_share[:, None]
            own = share * own + (1 - share) * other
        torch.testing.assert_close(batch.soft_labels, own)
        assert not batch.soft_labels[4:].any()
        torch.testing.assert_close(batch.labelled_part().soft_labels.sum(dim=1), torch.ones(4))


def test_shares_of_a_batch_have_the_weights_of_the_whole(scin):
    def batches(world):
        images = Augmentation(size=4, num_ops=0, magnitude=0)
        mixing = Mixing(mixup=0.4)
        return list(TrainBatches(scin, np.arange(6), images, batch_size=6, mixing=mixing, world=world).epoch(0))

    (whole,), *shares = (batches(world) for world in (World(0, 1), World(0, 2), World(1, 2)))
    torch.testing.assert_close(torch.cat([share.soft_labels for (share,) in shares]), whole.soft_labels)


def table_of(folder, *lines):
    for line in lines[1:]:
        (folder / line.split(";")[0]).touch()
    (folder / "t.csv").write_text("\n".join(lines) + "\n")
    return data.read("csv", folder / "t.csv", columns=Columns(label=("mel", "nv")))


def test_columns_of_weights_are_soft_labels(tmp_path):
    table = table_of(tmp_path, "image;mel;nv", "a.jpg;0,25;0,75", "b.jpg;1;0", "c.jpg;0.667;0.334")
    np.testing.assert_allclose(table.soft_labels[:2], [[0.25, 0.75], [1, 0]])
    assert table.labels.tolist() == [1, 0, 0]
    assert any("soft_labels = true" in note for note in table.origin.notes)


def test_columns_of_a_single_1_are_no_weights(tmp_path):
    table = table_of(tmp_path, "image;mel;nv", "a.jpg;0;1", "b.jpg;1;0")
    assert table.soft_labels is None


@pytest.mark.parametrize("cells", ["0.5;0.6", "1;1", "0;0", "-0.5;1.5", "nan;1", "2;0"])
def test_columns_that_do_not_sum_to_1_are_refused(cells, tmp_path):
    with pytest.raises(DataError, match=r"t\.csv, line 3: "):
        table_of(tmp_path, "image;mel;nv", "a.jpg;0;1", f"b.jpg;{cells}")


def test_conditions_that_are_never_the_largest_weight_are_named(tmp_path):
    published_sets.scin(tmp_path)
    table = tmp_path / "scin_labels.csv"
    table.write_text(table.read_text().replace("{'Eczema': 1.0}", "\"{'Eczema': 0.9, 'Psoriasis': 0.1}\""))
    read = data.read("auto", tmp_path)
    assert "Psoriasis" not in read.classes
    assert any("never the largest weight" in note and "Psoriasis" in note for note in read.origin.notes)
