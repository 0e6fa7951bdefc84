"""The commands about predictions as evidence: `dspkd referee`, `dspkd pack`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dspkd.cli.errors import one_line_errors
from dspkd.runtime.rounding import score

if TYPE_CHECKING:
    from dspkd.evaluation.metrics import Summary
    from dspkd.evaluation.predictions import Predictions

_ROUNDED = 0.0101
"""How far the probabilities of an image may be from 1 in sum before a warning is due (inferred)."""


def referee(
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="NAME=FILE...|FOLDER...",
            help="Prediction files (CSV): id, label, group, and logit_<class> or prob_<class> for each class. Files of "
            "one NAME are one method with several seeds, or with a column fold, other folds; by default a file is a "
            "method of its own. Or folders of packed runs, which are put together, as one method has other seeds or "
            "folds in each: their tables are printed as Markdown.",
        ),
    ],
    groups: Annotated[
        Path | None,
        typer.Option(
            help="CSV file with id and group (or patient_id, lesion_id), which is used in place of the files' groups."
        ),
    ] = None,
    decide_by: Annotated[
        str,
        typer.Option(
            metavar="METRIC",
            help="The metric that decides: auc_macro, balanced_accuracy, log_loss, f1_macro or accuracy.",
        ),
    ] = "auc_macro",
    into: Annotated[
        Path | None,
        typer.Option(
            metavar="PAGE",
            help="Write the tables of FOLDER into this Markdown page, between the lines <!-- FOLDER begin --> and "
            "<!-- FOLDER end -->; of several folders, FOLDER is their names with + between them.",
        ),
    ] = None,
) -> None:
    """Compare anyone's predictions of the same images: which method is significantly better, by the rules of compare.

    Each method is compared with each other, and p is corrected for all pairs. In a folder of packed runs, each method
    is compared with the controls, as in the grid.
    """
    with one_line_errors():
        from dspkd.errors import DataError, suggest
        from dspkd.evaluation.scoring import METRICS

        if decide_by not in METRICS:
            raise DataError(f"--decide-by: no metric is called {decide_by!r}; {suggest(decide_by, METRICS)}")
        folders = [name.rstrip("/") for name in files if Path(name).is_dir()]
        if folders and len(folders) < len(files):
            (first, *_) = [name for name in files if not Path(name).is_dir()]
            raise DataError(f"referee: {folders[0]} is a folder and {first} is not; give prediction files, or folders")
        if repeated := [
            name for name, times in Counter(str(Path(folder).resolve()) for folder in folders).items() if times > 1
        ]:
            raise DataError(f"referee: {repeated[0]} is given twice; give each folder once")
        if folders:
            if groups is not None:
                raise DataError(f"--groups is for prediction files; the packed runs in {files[0]} have their groups")
            _print_packed(folders, decide_by, into)
        elif into is not None:
            raise DataError("--into is for folders of packed runs; give one at least, or leave --into out")
        else:
            _compare_files(files, groups, decide_by)


def pack(
    runs: Annotated[Path, typer.Argument(help="The folder of a comparison: what dspkd compare has as --out.")],
    out: Annotated[Path, typer.Option(help="Folder of the packed runs, such as results/GRID. More runs can follow.")],
) -> None:
    """Pack the finished runs of a comparison: predictions of the test images, recipe and figures, some 60 kB a run.

    Commit them as evidence: dspkd referee FOLDER computes the tables from them alone.
    """
    with one_line_errors():
        from dspkd.runs import packed

        folders = packed.pack(runs, out)
        size = sum(path.stat().st_size for folder in folders for path in folder.iterdir())
        for folder in folders:
            typer.echo(folder)
        typer.echo(f"{len(folders)} runs packed into {out}, {size / 1e6:.1f} MB; tables: dspkd referee {out}")


def _print_packed(folders: list[str], decide_by: str, into: Path | None) -> None:
    from dspkd.experiments.compare import packed_comparison

    text = packed_comparison.tables([Path(folder) for folder in folders], decide_by)
    if into is None:
        typer.echo(text, nl=False)
    else:
        packed_comparison.embed(into, " + ".join(folders), text)
        typer.echo(f"tables of {' and '.join(folders)} written into {into}")


def _compare_files(files: list[str], groups: Path | None, decide_by: str) -> None:
    import numpy as np

    from dspkd.cli.comparison_tables import print_verdicts
    from dspkd.data.table import named as named_in
    from dspkd.errors import DataError
    from dspkd.evaluation.metrics import summarise
    from dspkd.evaluation.prediction_files import load_together
    from dspkd.evaluation.scoring import METRICS, TITLES
    from dspkd.evaluation.significance import verdicts
    from dspkd.reports import wording
    from dspkd.runtime.console import headed, terminal

    methods = _methods(files)
    if len(methods) < 2:
        raise DataError(f"referee: got one method, {', '.join(methods)}; give two at least, each file as NAME=FILE")
    paths = [path for several in methods.values() for path in several]
    lines: list[str] = []
    runs = dict(zip(paths, load_together(paths, groups, lines.append), strict=True))
    arms = {name: [runs[path] for path in several] for name, several in methods.items()}
    for files_of_one in methods.values():
        for first, second in combinations(files_of_one, 2):
            if np.array_equal(runs[first].logits, runs[second].logits):
                raise DataError(f"referee: {first} and {second} have the same scores; give each run of a method once")
    any_run = next(iter(runs.values()))
    summaries = {path: summarise(run) for path, run in runs.items()}
    cautions = _cautions(runs, summaries)
    results = verdicts(arms)
    for line in (*lines, *cautions):
        typer.echo(line)
    title = f"{len(any_run):,} images{wording.of_lesions(named_in(any_run.groups))}"
    table = headed(title, ["method"], [TITLES[metric].replace(" ", "\n", 1) for metric in METRICS])
    for name, several in methods.items():
        for number, path in enumerate(several, 1):
            figures = [getattr(summaries[path], metric) for metric in METRICS]
            table.add_row(
                f"{name} {number}" if len(several) > 1 else name,
                *(score(None if figure is None or np.isnan(figure) else figure) for figure in figures),
            )
    terminal().print(table)
    for metric in sorted(dict.fromkeys(row.metric for row in results), key=decide_by.__ne__):
        print_verdicts(terminal(), results, metric)
    decides = decide_by if any(row.metric == decide_by for row in results) else "balanced_accuracy"
    undefined = "" if decides == decide_by else f" ({TITLES[decide_by]} is not defined for these images)"
    typer.echo(f"{TITLES[decides]} decides{undefined}; a difference is significant where both p are below 0.05")


def _cautions(runs: Mapping[Path, Predictions], summaries: Mapping[Path, Summary]) -> list[str]:
    """Return lines on what was taken for granted about predictions of the same images, and on what they leave open."""
    import numpy as np

    from dspkd.errors import DataError
    from dspkd.evaluation.scoring import zero_truths
    from dspkd.reports import few_lesions, wording

    first = next(iter(runs.values()))
    units = len(set(first.groups))
    if units < 2 <= len(first):
        raise DataError(
            f"referee: all {len(first):,} images are of one lesion or patient, {first.groups[0]!r}, and one cannot "
            "tell; check the column of groups, or give --groups FILE"
        )
    lines = [f"warning: {each}" for each in few_lesions.warnings(first)]
    if first.folds is not None:
        networks = len(np.unique(first.folds))
        lines.append(f"column fold: predictions of {networks} networks, each for its own images; remove it otherwise")
    if empty := sorted(set(first.classes) - {first.classes[label] for label in first.labels.tolist()}):
        lines.append(f"no image is of class {', '.join(empty)}; if that is no class, remove the column")
    for path, run in runs.items():
        if tied := summaries[path].tied:
            lines.append(
                f"{path}: {wording.counted(tied, 'image')} with several largest scores: of these classes the one whose "
                "name comes first counts as predicted; give more decimals"
            )
        sums_N = np.ones(1) if run.written is None else run.written.sum(axis=1)
        if (off_N := np.abs(sums_N - 1) > _ROUNDED).any():
            lines.append(
                f"{path}: the probabilities of {wording.counted(int(off_N.sum()), 'image')} are rounded and sum to "
                f"{sums_N.min():.3g} to {sums_N.max():.3g}; log loss takes them divided by their sum; "
                "give more decimals"
            )
        if zeros := int(zero_truths(run).sum()):
            lines.append(
                f"{path}: the probability of the true class is 0 for {wording.counted(zeros, 'image')}, so log loss is "
                "not defined and is left out; give logits, or probabilities with more decimals"
            )
    return lines


def _methods(files: Sequence[str]) -> dict[str, list[Path]]:
    """Return the files of each method; one without a name is called as its file, with folders if needed."""
    from dspkd.errors import DataError

    named = [("", Path(text)) if "=" not in text or Path(text).is_file() else _parted(text) for text in files]
    ends = {path: _ends(path) for name, path in named if not name}
    taken = Counter(end for each in ends.values() for end in each) + Counter(name for name, _ in named if name)
    methods: dict[str, list[Path]] = {}
    for name, path in named:
        own = name or next((end for end in ends[path] if taken[end] == 1), str(path))
        several = methods.setdefault(own, [])
        if path.resolve() in (each.resolve() for each in several):
            raise DataError(f"referee: {path} is given twice for {own}; give each run of a method once")
        several.append(path)
    return methods


def _ends(path: Path) -> list[str]:
    """Return the ends of a path without its suffix, the shortest first."""
    parts = path.with_name(Path(path.name.removesuffix(".gz")).stem).parts
    return ["/".join(parts[-depth:]) for depth in range(1, len(parts) + 1)]


def _parted(text: str) -> tuple[str, Path]:
    name, _, path = text.partition("=")
    return name, Path(path)
