"""Tables on the terminal: results, recipes, networks, data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from dspkd.runtime.console import headed
from dspkd.runtime.rounding import score

if TYPE_CHECKING:
    from dspkd.data.audit.audit import Audit
    from dspkd.data.audit.split_inflation import SplitInflation
    from dspkd.evaluation.intervals import Estimate
    from dspkd.evaluation.isic2019 import Challenge
    from dspkd.evaluation.metrics import Summary
    from dspkd.experiments.paper.claims import ClaimFinding
    from dspkd.models.zoo import NetworkSummary
    from dspkd.reports.fidelity import FidelityPart, ImageOutcome
    from dspkd.reports.subgroups import SubgroupReport
    from dspkd.runs.explain import Facts, StageFacts


def print_results(console: Console, results: Iterable[tuple[str, int, Summary]]) -> None:
    """Print the test-set results of runs: name, parameters, summary."""
    table = headed("test set", ["run"], ["parameters", "balanced accuracy", "macro F1", "accuracy"])
    for name, parameters, summary in results:
        figures = (summary.balanced_accuracy, summary.f1_macro, summary.accuracy)
        table.add_row(name, f"{parameters:,}", *map(score, figures))
    console.print(table)


def print_agreement(
    console: Console, part: FidelityPart, forgotten: Sequence[ImageOutcome], *, most: int, only: str | None = None
) -> None:
    """Print teacher-student agreement by class, and the first `most` forgotten images, of the class `only` if given."""
    title = "forgotten: of images the teacher predicts correctly; copied, corrected: of those it predicts wrongly"
    table = headed(title, ["class"], ["images", "forgotten", "copied", "corrected", "same", "KL"])
    for row in [*part.classes, part.total]:
        outcomes = (
            (row.forgotten, row.teacher_right),
            (row.copied, row.teacher_wrong),
            (row.corrected, row.teacher_wrong),
        )
        kl = "-" if row.kl is None else f"{row.kl:.3f}"
        counts = [f"{count:,} of {total:,}" for count, total in outcomes]
        table.add_row(row.name, f"{row.images:,}", *counts, score(row.agreement), kl)
    console.print(table)
    for entry in forgotten[:most]:
        predictions = "  ".join(f"{who} {top} ({entry.truth} {p:.2f})" for who, (top, p) in entry.predictions.items())
        about = f"  ({entry.about})" if entry.about else ""
        console.print(f"{entry.truth}  {entry.id}  {predictions}{about}", soft_wrap=True)
    if len(forgotten) > most:
        console.print(f"and {len(forgotten) - most:,} more forgotten images; --class lists all of a class")
    if not forgotten:
        (row,) = [row for row in part.classes if row.name == only] or [part.total]
        images = f"{row.teacher_right:,} image{'s' * (row.teacher_right != 1)}{'' if only is None else f' of {only}'}"
        console.print(f"of {images} that the teacher predicts rightly, none is forgotten")


def print_summary(console: Console, summary: Summary, groups: Sequence[str]) -> None:
    """Print the metrics of each class and their means. A class without images has no recall and no F1."""
    from dspkd.data.table import named
    from dspkd.reports.wording import of_lesions

    title = f"{summary.images} images{of_lesions(named(groups))}"
    table = headed(title, ["class"], ["images", "recall", "precision", "specificity", "F1", "AUC"])
    for row in summary.per_class:
        recall, f1 = (row.recall, row.f1) if row.images else (None, None)
        table.add_row(row.name, str(row.images), *map(score, (recall, row.precision, row.specificity, f1, row.auc)))
    console.print(table)
    console.print(
        f"balanced accuracy {score(summary.balanced_accuracy)}  macro F1 {score(summary.f1_macro)}  "
        f"accuracy {score(summary.accuracy)}  AUC {score(summary.auc_macro)}"
    )
    if summary.absent:
        console.print(f"no image of {', '.join(summary.absent)}: left out of the means", soft_wrap=True)


def print_subgroups(console: Console, report: SubgroupReport) -> None:
    """Print the scores of subgroups, attribute by attribute, and the significant gaps."""
    titles = {"balanced_accuracy": "balanced accuracy", "accuracy": "accuracy"}
    if report.focus:
        titles["sensitivity"] = f"sensitivity to {report.focus}"
    ids = any(group.lesions for section in report.sections or () for group in section.groups)
    for section in report.sections or ():
        title = f"{section.attribute}, with 95 % intervals; -: too few {'lesions' if ids else 'images'}"
        table = headed(title, [section.attribute], ["images", *(["lesions"] if ids else []), *titles.values()])
        for group in section.groups:
            cells = [_with_interval(group.figures[metric]) for metric in titles]
            numbers = (group.images, group.lesions) if ids else (group.images,)
            table.add_row(group.name, *(f"{number:,}" for number in numbers), *cells)
        console.print(table)
    for sentence in report.significant:
        console.print(f"significant: {sentence}", soft_wrap=True)


def _with_interval(estimate: Estimate | None) -> str:
    """Return the number with its interval below: side by side they do not fit into 80 columns."""
    if estimate is None:
        return "-"
    return f"{score(estimate.value)}\n{score(estimate.low)} to {score(estimate.high)}"


def print_challenge(console: Console, challenge: Challenge) -> None:
    """Print the metrics of the ISIC 2019 challenge."""
    console.print(
        f"by the rules of ISIC 2019: balanced accuracy {score(challenge.balanced_accuracy)}  "
        f"AUC {score(challenge.auc)}  "
        f"AUC above sensitivity 0.8 {score(challenge.auc_above_80)}  "
        f"average precision {score(challenge.average_precision)}\n"
        f"  at probability 0.5: sensitivity {score(challenge.sensitivity)}  "
        f"specificity {score(challenge.specificity)}  "
        f"dice {score(challenge.dice)}  PPV {score(challenge.ppv)}  NPV {score(challenge.npv)}  "
        f"accuracy {score(challenge.accuracy)}",
        soft_wrap=True,
    )


def print_facts(console: Console, facts: Facts) -> None:
    """Print what a recipe would train."""
    console.print(f"recipe {facts.digest}: {facts.images} training images, batches of {facts.batch_size}")
    for role, network in (("student", facts.student), ("teacher", facts.teacher)):
        if network is not None:
            shapes = "  ".join(f"{tap} {'x'.join(map(str, shape))}" for tap, shape in network.shapes.items())
            console.print(f"{role} {network.name}: {network.parameters:,} parameters\n  {shapes}", soft_wrap=True)
    for line in facts.teaching:
        console.print(f"  {line}", soft_wrap=True)
    for stage in facts.stages:
        console.print(_stage(stage))
    console.print(
        "first value: weighted loss of the initial student on the first batch\n"
        "gradient share: norm of the weighted term's gradient for the student, over the sum of norms\n"
        "parameters: of the term's own layers, dropped after the stage",
        soft_wrap=True,
    )
    if any(term.share is not None for stage in facts.stages for term in stage.terms):
        console.print(
            "a weight of share S: adjusted in training until the term has the share S of the gradient", soft_wrap=True
        )
    print_warnings(console, facts.warnings)


def print_warnings(console: Console, warnings: Iterable[str]) -> None:
    """Print warnings, in yellow."""
    for warning in warnings:
        console.print(f"warning: {warning}", style="yellow", soft_wrap=True)


def _stage(stage: StageFacts) -> Table:
    epochs = f"{stage.epochs} epoch{'s' if stage.epochs > 1 else ''}"
    title = f"stage {stage.name}: {epochs}, {stage.trained:,} parameters trained"
    table = headed(title, ["term"], ["weight", "first value", "gradient share", "parameters"])
    for term in stage.terms:
        share = f"{100 * term.gradient_share:.3g}%"
        weight = f"{term.weight:g}" if term.share is None else f"share {term.share:g}"
        table.add_row(term.name, weight, f"{term.value:.4g}", share, f"{term.parameters:,}")
    return table


def print_models(console: Console, rows: list[NetworkSummary]) -> None:
    """Print the sizes of our networks, and notes on some."""
    table = headed(
        "parameters; paper: as printed in the DSP-KD paper",
        ["name", "library"],
        ["8 classes", "1000 classes", "paper"],
    )
    for row in rows:
        paper = "" if row.paper_millions is None else f"{row.paper_millions} M"
        table.add_row(row.name, row.library, f"{row.parameters[8]:,}", f"{row.parameters[1000]:,}", paper)
    console.print(table)
    for row in rows:
        if row.note:
            console.print(f"{row.name}: {row.note}", soft_wrap=True)


def print_audit(console: Console, audited: Audit) -> None:
    """Print counts and findings, most severe first, each with its first cases."""
    from dspkd.data.split import report as part_counts
    from dspkd.data.table import is_named

    for line in audited.notes:
        console.print(line, soft_wrap=True)
    for warning in audited.warnings:
        console.print(f"warning: {warning}", soft_wrap=True)
    parts = {} if audited.split is None else part_counts(audited.table, audited.split)
    grouped = any(map(is_named, audited.table.groups))
    table = headed("images (lesions or patients)" if grouped else "images", ["class"], ["all", *parts])
    for name, total in audited.table.counts().items():
        counts = [total, *(part[name] for part in parts.values())]
        table.add_row(name, *(f"{images:,} ({groups:,})" if grouped else f"{images:,}" for images, groups in counts))
    console.print(table)
    console.print("sources: " + ", ".join(f"{name} {count:,}" for name, count in audited.sources.items()))
    for finding in audited.findings:
        advice = f"; {finding.advice}" if finding.advice else ""
        console.print(f"{finding.severity}: {finding.message}{advice}", soft_wrap=True)
        for case in finding.cases[:2]:
            more = f" and {len(case) - 4} more" if len(case) > 4 else ""
            console.print(f"    {', '.join(case[:4])}{more}", soft_wrap=True)
    console.print("results are invalid: see above" if audited.invalid else "no finding invalidates results")


def print_split_inflation(console: Console, measured: tuple[SplitInflation, ...]) -> None:
    """Print balanced accuracy with both kinds of split, and the difference with its interval."""
    figures = ["by image", "by lesion", "inflation", "95 % interval"]
    seeds = len(measured[0].leaked)
    table = headed(f"balanced accuracy by kind of split, mean over {seeds} seeds", ["probe"], figures)
    for inflation in measured:
        low, high = inflation.interval
        means = (sum(scores) / seeds for scores in (inflation.by_image, inflation.by_group))
        table.add_row(inflation.probe, *map(score, means), f"{inflation.mean:+.3f}", f"{low:+.3f} to {high:+.3f}")
    console.print(table)
    console.print(
        f"with a split by image, {sum(measured[0].leaked) / seeds:.1%} of the test images show a lesion or patient of "
        "the training set\ninterval: Student's t over the seeds; covers the choice of split, not of data set",
        soft_wrap=True,
    )


_STYLES = {"impossible": "red", "implausible": "yellow", "needs explanation": "cyan", "could not be checked": "dim"}


def print_claims(console: Console, findings: list[ClaimFinding], *, passed: bool) -> None:
    """Print findings about a table of results, most severe first, and how many there are of each severity."""
    for finding in findings:
        if finding.severity == "passed" and not passed:
            continue
        console.print(f"[{finding.severity}] {finding.where}", style=_STYLES.get(finding.severity), soft_wrap=True)
        console.print(f"    {finding.message}", soft_wrap=True)
        if finding.arithmetic:
            console.print(f"    {finding.rule}: {finding.arithmetic}", soft_wrap=True)
        for assumption in finding.assumes:
            console.print(f"    assuming that {assumption}", soft_wrap=True)
    counts = Counter(str(finding.severity) for finding in findings)
    console.print(", ".join(f"{count} {severity}" for severity, count in counts.items()), soft_wrap=True)
