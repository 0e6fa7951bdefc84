"""The demo gives all of its networks the same labelled images, and its students the same epochs."""

from dspkd import reports
from dspkd.experiments import demo, single_run


def test_only_the_teacher_and_its_outputs_on_other_images_differ(tmp_path, monkeypatch):
    recipes = {}
    monkeypatch.setattr(demo, "synthesize", lambda *_, **__: None)
    monkeypatch.setattr(single_run, "train", lambda recipe, out, _: recipes.setdefault(out.name, recipe))
    monkeypatch.setattr(reports, "compare", lambda _, page: page)
    assert demo.demo(tmp_path) == tmp_path / "report.html"
    assert list(recipes) == ["teacher", "plain", "kd", "dsp_kd"]
    data = str(tmp_path / "data")
    for name, recipe in recipes.items():
        distilled = name in ("kd", "dsp_kd")
        assert (recipe.data.path, recipe.split.labelled) == (data, 0.25)
        assert recipe.data.unlabelled == (data if distilled else None)
        assert recipe.teachers == ((str(tmp_path / "teacher"),) if distilled else ())
        assert recipe.split == recipes["teacher"].split
        assert recipe.images == recipes["plain"].images
    assert len({recipes[name].epochs for name in ("plain", "kd", "dsp_kd")}) == 1
