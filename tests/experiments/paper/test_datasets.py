import pytest

from dspkd.data.synthetic.dataset import synthesize
from dspkd.experiments.paper import datasets


@pytest.mark.parametrize("named", [True, False])
def test_lesions_are_counted_only_where_they_have_ids(tmp_path, named):
    synthesize(tmp_path / "images", images=40, classes="common", layout="folder", size=32, seed=1)
    if not named:
        for table in (tmp_path / "images").glob("*.?sv"):
            table.unlink()
    images = datasets.prepare(5, tmp_path / "images", tmp_path, None, print)
    assert (" lesion" in images.called) == named
    assert images.grouped == named
    assert images.split.startswith("by lesion or patient" if named else "by image")
