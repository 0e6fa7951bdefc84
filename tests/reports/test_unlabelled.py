from dspkd import reports
from dspkd.reports import unlabelled
from dspkd.reports.comparison_markdown import markdown
from dspkd.reports.comparison_results import tabulate
from dspkd.runs import run_folder

SMALL = {"classes": ("MEL", "NV", "BCC"), "images": (30, 60, 20), "short": True}


def learns_from_unlabelled(folder):
    recipe = folder / "recipe.toml"
    recipe.write_text(
        recipe.read_text().replace('path = "data/isic2019"', 'path = "data/isic2019"\nunlabelled = "more"')
    )
    rows = ["id,left_out", "unlabelled/a,", "unlabelled/b,", "unlabelled/c,", "unlabelled/d,copy", ""]
    (folder / "unlabelled.csv").write_text("\n".join(rows))


def test_reports_state_images_without_labels_that_a_run_learnt_from(fabricated, page, tmp_path):
    folder, other = fabricated("student", **SMALL), fabricated("other", name="other", seed=1, **SMALL)
    assert unlabelled.sentence(run_folder.read(folder)) == ""
    learns_from_unlabelled(folder)
    words = "dspkd-shufflenet also learnt from 3 images without labels in more; 1 more were left out"
    assert words in page(reports.write(folder)).words
    assert words in page(reports.compare([folder, other], tmp_path / "compared.html")).words
    results = tabulate("", [folder, other], [], controls=(), failed={}, unequal=())
    assert markdown([results]).count(words) == 1
