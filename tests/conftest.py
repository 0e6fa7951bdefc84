import os
import shutil

os.environ.setdefault("OMP_NUM_THREADS", "1")
# More processes than cores run tests: threads that waited by computing, OpenMP's default, would hold up the others.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from hypothesis import settings

import figures

torch.set_num_threads(1)
settings.register_profile("dspkd", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("dspkd")

TESTS = Path(__file__).resolve().parent
SHARED = TESTS.parents[1] / "shared"

LONGEST = (
    "runs/test_teacher_cache", "runtime/test_distributed", "test_results", "deploy/serve/test_page",
    "experiments/paper/test_reproduce", "recipes/test_published", "experiments/test_compare_resumed",
    "deploy/test_usage_reports", "training/test_compile", "deploy/serve/test_page_order", "test_readme",
    "training/test_ddp", "deploy/serve/test_modes", "test_docs_site", "cli/test_main", "methods/test_docs",
    "training/test_average", "experiments/test_own_images", "cli/test_runs", "deploy/serve/test_hosting",
    "recipes/test_catalog", "experiments/test_folds_of_grids", "training/test_loggers",
)  # fmt: skip
"""Files that begin first, by the time that they take: one that began last would leave the other workers idle."""


def pytest_collection_modifyitems(items):
    """Mark what needs Chromium, so that `-m "not browser"` leaves it out, and let the longest files begin first."""
    for item in items:
        if "browser" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.browser)
    places = {TESTS / f"{name}.py": place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path, len(places)))


@pytest.fixture(scope="session", autouse=True)
def _no_figures():
    figures.leave_out()


@pytest.fixture(scope="session", autouse=True)
def _cache_of_their_own(tmp_path_factory):
    """Give the tests a cache folder of their own."""
    os.environ["XDG_CACHE_HOME"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def shared():
    """Return the read-only folder of real images and golden vectors beside the checkout; skip without it."""
    if not SHARED.is_dir():
        pytest.skip("needs ../shared beside the checkout: real images, golden vectors")
    return SHARED


@pytest.fixture(scope="session")
def lesions(tmp_path_factory):
    """Return a folder of 220 synthetic lesions in ISIC-2019 layout, 48 px."""
    from dspkd.data.synthetic.dataset import synthesize

    folder = tmp_path_factory.mktemp("synthetic") / "lesions"
    synthesize(folder, images=220, size=48, seed=3)
    return folder


@pytest.fixture(scope="session")
def grid_file(lesions, tmp_path_factory):
    """Return a grid file: plain and KD on synthetic lesions, two seeds, a teacher."""
    from comparing import GRID, KD, LABELS, RECIPE

    folder = tmp_path_factory.mktemp("grid")
    plain, kd = (RECIPE.replace("LESIONS", str(lesions)).replace("NAME", name) for name in ("plain", "kd"))
    (folder / "plain.toml").write_text(plain + LABELS)
    (folder / "kd.toml").write_text('teacher = "nowhere"\n' + kd + KD)
    (folder / "grid.toml").write_text(GRID.replace("FOLDER", str(folder)))
    return folder / "grid.toml"


@pytest.fixture
def no_pages(monkeypatch):
    """Write empty reports: pages would take most of the time of a comparison."""
    from dspkd.experiments import single_run

    monkeypatch.setattr(single_run.reports, "write", lambda out: (out / "report.html").write_text("") and out)


@pytest.fixture
def no_comparison_pages(monkeypatch):
    """Write an empty page for each comparison: its plots take seconds."""
    from dspkd.experiments.compare import compare

    def write(runs, page, decide_by):
        page.write_text("")
        return page

    monkeypatch.setattr(compare, "reports", SimpleNamespace(compare=write))


@pytest.fixture(scope="session")
def unbroken(grid_file, tmp_path_factory):
    """Train the grid without interruption in this process; return its folder and its results."""
    from dspkd.experiments import single_run
    from dspkd.experiments.compare import compare, executors, grid

    out = tmp_path_factory.mktemp("whole") / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(single_run.reports, "write", lambda out: (out / "report.html").write_text("") and out)
        return out, compare.compare(grid.load(grid_file), out, executors.run_inline)


@pytest.fixture(scope="module")
def browser():
    """Start Chromium; skip where it is not installed.

    For one module at a time: while Playwright runs, nothing else in this process can start an event loop.
    """
    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if path is None:
        pytest.skip("needs chromium: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    quiet = ["gpu", "quic", "background-networking", "component-update", "sync"]
    with sync_playwright() as playwright:
        flags = ["--no-sandbox", "--no-first-run", *(f"--disable-{name}" for name in quiet)]
        chromium = playwright.chromium.launch(executable_path=path, args=flags)
        yield chromium
        chromium.close()
