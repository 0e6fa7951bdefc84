"""The documentation site builds without a warning: every link resolves, and every page is in the sidebar."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import dspkd

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted(path.relative_to(ROOT / "docs") for path in (ROOT / "docs").rglob("*.md"))


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    pytest.importorskip("sphinx", reason="Sphinx is not installed")
    folder = tmp_path_factory.mktemp("site")
    shutil.copytree(ROOT / "docs", folder / "docs")
    command = [sys.executable, "-m", "sphinx", "--quiet", "--fail-on-warning", "-c", str(ROOT / "docs")]
    built = subprocess.run([*command, "docs", "html"], cwd=folder, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    return folder / "html"


@pytest.mark.clone
def test_the_site_has_every_page_every_command_and_every_public_name(site):
    first = (site / "index.html").read_text("utf-8")
    sidebar = re.findall(r'class="reference internal" href="([^"#]+)"', first)
    for page in PAGES:
        assert (site / page.with_suffix(".html")).is_file(), page
        assert page.as_posix() == "index.md" or page.with_suffix(".html").as_posix() in sidebar, page
    commands = (site / "commands.html").read_text("utf-8")
    assert all(f'id="dspkd-{name}"' in commands for name in ("train", "compare", "recipes-keys", "data-audit"))
    assert "…" not in re.sub(r"<title>.*</title>", "", commands)
    reference = (site / "reference.html").read_text("utf-8")
    assert all(f'id="dspkd.{name}"' in reference for name in set(dspkd.__all__) - {"__version__"})
    readme = (site / "README.html").read_text("utf-8")
    assert 'href="docs/' not in readme
    assert "how-to/track-runs.html" in readme
