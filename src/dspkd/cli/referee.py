"""The command `dspkd referee`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dspkd.cli.errors import one_line_errors


def referee(
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="NAME=FILE...",
            help="Prediction files (CSV): id, label, group, and logit_<class> or prob_<class> for each class. Files of "
            "one NAME are one method with several seeds; by default a file is a method of its own.",
        ),
    ],
    groups: Annotated[
        Path | None,
        typer.Option(help="CSV file with id and group (or lesion_id, patient_id), where the files lack the group."),
    ] = None,
    decide_by: Annotated[
        str,
        typer.Option(
            metavar="METRIC",
            help="The metric that decides: auc_macro, balanced_accuracy, log_loss, f1_macro or accuracy.",
        ),
    ] = "auc_macro",
) -> None:
    """Compare anyone's predictions of the same images: which method is significantly better, by the rules of compare.

    Each method is compared with each other, and p is corrected for all pairs.
    """
    with one_line_errors():
        from dspkd.cli.comparison_tables import print_verdicts
        from dspkd.errors import DataError, suggest
        from dspkd.evaluation.metrics import summarise
        from dspkd.evaluation.prediction_files import load_together
        from dspkd.evaluation.scoring import METRICS, TITLES
        from dspkd.evaluation.significance import verdicts
        from dspkd.reports import wording
        from dspkd.runtime.console import headed, terminal

        if decide_by not in METRICS:
            raise DataError(f"--decide-by: no metric is called {decide_by!r}; {suggest(decide_by, METRICS)}")
        named = [(name, Path(path)) if path else (Path(name).stem, Path(name)) for name, _, path in map(_parted, files)]
        methods: dict[str, list[Path]] = {}
        for name, path in named:
            methods.setdefault(name, []).append(path)
        if len(methods) < 2:
            raise DataError(f"referee: got one method, {', '.join(methods)}; give two at least, each file as NAME=FILE")
        paths = [path for _, path in named]
        runs = dict(zip(paths, load_together(paths, groups), strict=True))
        arms = {name: [runs[path] for path in several] for name, several in methods.items()}
        first = next(iter(runs.values()))
        title = f"{len(first):,} images{wording.of_lesions(wording.named(first.groups))}"
        table = headed(title, ["method"], [TITLES[metric].replace(" ", "\n", 1) for metric in METRICS])
        for name, several in arms.items():
            for number, run in enumerate(several, 1):
                summary = summarise(run)
                figures = [getattr(summary, metric) for metric in METRICS]
                table.add_row(
                    f"{name} {number}" if len(several) > 1 else name,
                    *("-" if figure is None else f"{figure:.3f}" for figure in figures),
                )
        terminal().print(table)
        results = verdicts(arms)
        for metric in sorted(dict.fromkeys(row.metric for row in results), key=decide_by.__ne__):
            print_verdicts(terminal(), results, metric)
        typer.echo(f"{TITLES[decide_by]} decides; a difference is significant where both p are below 0.05")


def _parted(text: str) -> tuple[str, str, str]:
    return text.partition("=")
