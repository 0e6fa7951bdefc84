import dataclasses

import numpy as np
import pytest

from dspkd import reports
from dspkd.errors import RunError
from dspkd.evaluation.predictions import Predictions
from dspkd.reports import embeddings
from dspkd.runs import run_folder
from figures import drawn


def test_nearest_neighbours_of_another_lesion_by_hand():
    """On a line: a at 0 and 1 (one lesion), b at 3, a at 4.5, b at 9."""
    vectors = np.array([[0.0], [1.0], [3.0], [4.5], [9.0]])
    labels = np.array([0, 0, 1, 0, 1])
    # 0 -> 3 (b): no; 1 -> 3 (b): no; 3 -> 4.5 (a): no; 4.5 -> 3 (b): no; 9 -> 4.5 (a): no
    assert embeddings.same_class(vectors, labels, ("x", "x", "y", "z", "w")) == 0
    # Were the first two of different lesions, each would be the other's neighbour, of the same class.
    assert embeddings.same_class(vectors, labels, tuple("vxyzw")) == pytest.approx(2 / 5)
    assert embeddings.same_class(vectors[:2], labels[:2], ("x", "x")) == 0


def test_neighbours_do_not_depend_on_rotation_or_translation_of_the_features():
    generator = np.random.default_rng(0)
    vectors, labels = generator.normal(size=(50, 6)), generator.integers(0, 3, 50)
    rotation, _ = np.linalg.qr(generator.normal(size=(6, 6)))
    groups = tuple(map(str, range(50)))
    assert embeddings.same_class(vectors @ rotation + 3, labels, groups) == embeddings.same_class(
        vectors, labels, groups
    )


def test_few_images_are_embedded_by_principal_components():
    line = np.outer(np.arange(10.0), [3.0, 4.0, 0.0])
    points = embeddings.embed(line)
    assert np.abs(np.diff(points[:, 0])) == pytest.approx(np.full(9, 5.0))
    assert points[:, 1] == pytest.approx(np.zeros(10), abs=1e-9)
    assert embeddings.embed(line[:, :1]).shape == (10, 2)


def test_tsne_keeps_clusters_together_and_is_repeatable():
    generator = np.random.default_rng(0)
    centres = np.repeat(10 * np.eye(3, 8), 15, axis=0)
    vectors = centres + generator.normal(scale=0.3, size=(45, 8))
    points = embeddings.embed(vectors)
    assert points.shape == (45, 2)
    assert np.array_equal(points, embeddings.embed(vectors))
    labels = np.repeat(np.arange(3), 15)
    assert embeddings.same_class(points, labels, tuple(map(str, range(45)))) == 1


def keep_features(folder, count=20):
    val = run_folder.read(folder).predictions("val")
    vectors = np.random.default_rng(0).normal(size=(count, 5)).astype(np.float16)
    (folder / "artifacts").mkdir(exist_ok=True)
    np.savez(
        folder / "artifacts/features.npz",
        ids=np.array(val.ids[:count]), labels=val.labels[:count], student=vectors, teacher=2 * vectors,
    )  # fmt: skip


def test_the_page_has_a_panel_and_a_share_for_each_network(fabricated, page):
    folder = fabricated("run", classes=("MEL", "<b>NV</b>"), images=(20, 30), short=True)
    keep_features(folder)
    with drawn():
        read = page(reports.write(folder))
    assert "Feature embedding (two principal components)" in read.words
    panels = [svg["aria-label"] for svg in read.all("svg") if "Pooled features" in svg["aria-label"]]
    assert [words.split()[4] for words in panels] == ["teacher", "student"]
    assert not read.all("b")
    assert "by two principal components" in read.words
    assert (folder / "figures/features.png").is_file()


def test_neighbours_are_other_images_where_there_are_no_ids_of_lesions(fabricated, page):
    folder = fabricated("run", classes=("MEL", "NV"), images=(20, 30), short=True)
    keep_features(folder)
    assert "nearest neighbour from another lesion or patient has" in page(reports.write(folder)).words
    for part in ("val", "test"):
        path = folder / f"predictions/{part}.csv"
        own = Predictions.load(path)
        dataclasses.replace(own, groups=tuple(f"image:{name}" for name in own.ids)).save(path)
    words = page(reports.write(folder)).words
    assert "nearest neighbour, another image, has" in words
    assert "another lesion" not in words


def test_a_broken_file_is_refused_by_name(fabricated, tmp_path):
    folder = fabricated("run", classes=("MEL", "NV"), images=(20, 30), short=True)
    (folder / "artifacts").mkdir()
    (folder / "artifacts/features.npz").write_bytes(b"no")
    with pytest.raises(RunError, match=r"features.npz: "):
        embeddings.read(folder)
    np.savez(folder / "artifacts/features.npz", ids=np.array(["a"]))
    with pytest.raises(RunError, match=r"features.npz: .*labels"):
        embeddings.read(folder)
    assert embeddings.read(tmp_path) is None
