"""The documentation site: `make docs` builds it with Sphinx from these pages, the code and the command's own help.

The pages stay plain Markdown, to be read on any code host. The sidebar is the lists of index.md. Pages that exist only
on the site: the README, the changelog and how to contribute, the tutorial's notebook, the Python reference from
docstrings, and the commands from their help.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import dspkd

ROOT = Path(__file__).resolve().parents[1]
REPOSITORY = "https://github.com/dspkd/dspkd/blob/main"
FROM_THE_ROOT = ("README", "CHANGELOG", "CONTRIBUTING")
"""Pages at the repository's root that the site has too."""

project = "dspkd"
release = version = dspkd.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}
exclude_patterns = ["how-to/examples"]
myst_heading_anchors = 3
suppress_warnings = ["myst.header"]  # the log has entries of one level below its title
project_copyright = "the dspkd authors"
html_theme = "furo"
html_title = f"dspkd {release}"
autodoc_typehints = "none"
autodoc_member_order = "bysource"
napoleon_google_docstring = False


def generate(app) -> None:
    """Write the pages that exist only on the site."""
    source = Path(app.srcdir)
    for name in FROM_THE_ROOT:
        (source / f"{name}.md").write_text((ROOT / f"{name}.md").read_text("utf-8"), "utf-8")
    (source / "tutorial.md").write_text(_notebook(source / "tutorial.ipynb"), "utf-8")
    (source / "commands.md").write_text(_commands(), "utf-8")
    (source / "reference.rst").write_text(_reference(), "utf-8")


def adapt(_, docname: str, content: list[str]) -> None:
    """Point links at pages of the site, or at the repository, and give the sidebar the lists of the first page."""
    folder = ROOT / "docs" / docname
    if docname in FROM_THE_ROOT:
        folder = ROOT / docname
    content[0] = re.sub(r"\]\((?![a-z]+:|#)([^)#\s]+)(#[^)]*)?\)", lambda link: _link(folder.parent, link), content[0])
    if docname == "index":
        content[0] += _sidebar(content[0])


def setup(app) -> None:
    """Connect the two steps above."""
    app.connect("builder-inited", generate)
    app.connect("source-read", adapt)


def _link(folder: Path, link: re.Match[str]) -> str:
    """Return a link that works on the site: absolute from its root, or to the repository for a file beyond it."""
    target, anchor = (folder / link[1]).resolve(), link[2] or ""
    if target.suffix in {".md", ".ipynb"} and target.parent == ROOT and target.stem in FROM_THE_ROOT:
        return f"](/{target.name}{anchor})"
    if target.suffix in {".md", ".ipynb", ".jpg", ".png", ".svg"} and target.is_relative_to(ROOT / "docs"):
        return f"](/{target.relative_to(ROOT / 'docs').as_posix().replace('.ipynb', '.md')}{anchor})"
    return f"]({REPOSITORY}/{target.relative_to(ROOT).as_posix()})"


def _sidebar(index: str) -> str:
    """Return hidden tables of contents: a caption for each section of the first page, with the pages that it links."""
    sections = re.split(r"^## (.+)$", index, flags=re.M)[1:]
    trees = {
        caption: re.findall(r"\]\(/([^)#]+)\.md", text)
        for caption, text in zip(sections[::2], sections[1::2], strict=True)
    }
    trees["Reference and results"] += ["commands", "reference"]
    trees["Project"] = list(FROM_THE_ROOT)
    seen: set[str] = set()
    parts = []
    for caption, pages in trees.items():
        new = [page for page in dict.fromkeys(pages) if page not in seen | {*FROM_THE_ROOT} or caption == "Project"]
        seen.update(new)
        listed = "\n".join(f"/{page}" for page in new)
        parts.append(f"\n```{{toctree}}\n:hidden:\n:caption: {caption}\n\n{listed}\n```\n")
    return "\n".join(parts)


def _notebook(path: Path) -> str:
    """Return the notebook's cells as Markdown; a test runs its code."""
    cells = json.loads(path.read_text("utf-8"))["cells"]
    texts = ["".join(cell["source"]) for cell in cells]
    return "\n\n".join(
        text if cell["cell_type"] == "markdown" else f"```python\n{text}\n```"
        for cell, text in zip(cells, texts, strict=True)
    )


def _commands() -> str:
    """Return the help of every command as Markdown."""
    command = [sys.executable, "-m", "typer", "dspkd.cli", "utils", "docs", "--name", "dspkd", "--title", "Commands"]
    page = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return re.sub(r"\*\*Commands\*\*:\n\n(\* .*\n)+", "", page)  # their first words only; each has its own section


def _reference() -> str:
    """Return a page that has the docstring of each name that `import dspkd` offers."""
    lines = [
        "Python reference",
        "================",
        "",
        "The names of ``import dspkd``; :doc:`api` shows them in use.",
        "",
    ]
    for name in sorted(set(dspkd.__all__) - {"__version__"}, key=str.casefold):
        kind = "class" if isinstance(getattr(dspkd, name), type) else "function"
        lines += [
            name,
            "-" * len(name),
            "",
            f".. auto{kind}:: dspkd.{name}",
            "   :members:" if kind == "class" else "",
            "",
        ]
    return "\n".join(lines)
