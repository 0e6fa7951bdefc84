import numpy as np
import pytest

from command import call, refused
from dspkd import data
from dspkd.data import official_split
from dspkd.data.decode import decode
from dspkd.data.download import medmnist

COUNTS = {"train": 14, "val": 7, "test": 7}


def arrays(shape=(5, 6, 3), classes=7, **changes):
    draw = np.random.default_rng(0)
    content = {}
    for part, count in COUNTS.items():
        content[f"{part}_images"] = draw.integers(0, 256, (count, *shape), dtype=np.uint8)
        content[f"{part}_labels"] = (np.arange(count) % classes).astype(np.uint8)[:, None]
    return content | changes


def save(path, **content):
    np.savez(path, **content)
    return path


@pytest.mark.parametrize("shape", [(5, 6, 3), (5, 6)], ids=["RGB", "grey"])
def test_pixels_classes_and_the_official_split_are_kept(tmp_path, shape):
    content = arrays(shape)
    out, err = call("data", "unpack", save(tmp_path / "dermamnist_corrected_28.npz", **content), "--to", tmp_path / "d")
    assert out == f"{tmp_path / 'd'}: 14 train, 7 val, 7 test\n"
    assert err == ""
    table = data.read("auto", tmp_path / "d")
    assert table.classes == medmnist.DERMAMNIST
    split, _ = official_split.from_column(table, "split")
    for part in COUNTS:
        rows = split.places(part)
        assert table.labels[rows].tolist() == content[f"{part}_labels"][:, 0].tolist()
        for row, pixels in zip(rows, content[f"{part}_images"], strict=True):
            decoded = decode(table.paths[row])
            assert np.array_equal(decoded, pixels if pixels.ndim == 3 else np.repeat(pixels[:, :, None], 3, axis=2))


def test_classes_of_other_files_are_numbers_in_their_order(tmp_path):
    medmnist.unpack(save(tmp_path / "x.npz", **arrays(classes=11)), tmp_path / "d", lambda *_: None)
    assert data.read("auto", tmp_path / "d").classes == tuple(f"{k:02d}" for k in range(11))


def test_dermamnist_as_first_published_gives_a_warning(tmp_path, monkeypatch):
    monkeypatch.setattr(medmnist, "LEAKING", COUNTS)
    _, err = call("data", "unpack", save(tmp_path / "dermamnist.npz", **arrays()), "--to", tmp_path / "d")
    assert "DermaMNIST as first published" in err


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"val_labels": np.zeros((7, 14), np.uint8)}, "val_labels is uint8 of shape (7, 14); "),
        ({"train_labels": np.zeros(14)}, "train_labels is float64"),
        (
            {"test_images": np.zeros((7, 4, 4, 4), np.uint8)},
            "test_images is uint8 of shape (7, 4, 4, 4); expected uint8 [7",
        ),
        ({"test_images": np.zeros((7, 4, 4))}, "test_images is float64"),
        ({"test_images": np.zeros((6, 4, 4), np.uint8)}, "for its 7 labels"),
    ],
)
def test_other_arrays_are_refused_and_leave_no_folder(tmp_path, changes, message):
    file = save(tmp_path / "x.npz", **arrays(**changes))
    assert message in refused("data", "unpack", file, "--to", tmp_path / "d")
    assert not (tmp_path / "d").exists()


def test_other_files_are_refused(tmp_path):
    content = arrays()
    del content["val_labels"]
    file = save(tmp_path / "x.npz", **content)
    assert "'val_labels'; did you mean" in refused("data", "unpack", file, "--to", tmp_path / "d")
    file.write_bytes(file.read_bytes()[:100])
    assert "not an .npz file of MedMNIST" in refused("data", "unpack", file, "--to", tmp_path / "d")
    evil = save(tmp_path / "evil.npz", train_labels=np.array([{}], dtype=object))
    assert "not an .npz file of MedMNIST" in refused("data", "unpack", evil, "--to", tmp_path / "d")
    (tmp_path / "d").mkdir()
    assert "d: exists already" in refused("data", "unpack", file, "--to", tmp_path / "d")


def test_an_interrupted_run_leaves_no_folder_and_can_be_repeated(tmp_path):
    def killed(what, done, of):
        if done == 10:
            raise KeyboardInterrupt

    file = save(tmp_path / "x.npz", **arrays())
    with pytest.raises(KeyboardInterrupt):
        medmnist.unpack(file, tmp_path / "d", killed)
    assert not (tmp_path / "d").exists()
    medmnist.unpack(file, tmp_path / "d", lambda *_: None)
    assert len(data.read("auto", tmp_path / "d")) == 28
    assert sorted(path.name for path in tmp_path.iterdir()) == ["d", "x.npz"]
