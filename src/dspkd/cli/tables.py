"""What is known of runs, recipes, networks and data, as tables on a terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from dspkd.runtime.console import headed
from dspkd.runtime.files import readable

if TYPE_CHECKING:
    from dspkd.data.audit.audit import Audit
    from dspkd.data.audit.split_inflation import SplitInflation
    from dspkd.evaluation.intervals import Estimate
    from dspkd.evaluation.isic2019 import Challenge
    from dspkd.evaluation.metrics import Summary
    from dspkd.experiments.paper.claims import ClaimFinding
    from dspkd.models.zoo import NetworkSummary
    from dspkd.reports.comparison_results import Figure, Results
    from dspkd.reports.fidelity import FidelityPart, ImageOutcome
    from dspkd.reports.subgroups import SubgroupReport
    from dspkd.runs.explain import Facts, StageFacts
    from dspkd.runs.plan import Plan


def print_results(console: Console, results: Iterable[tuple[str, int, Summary]]) -> None:
    """Print what the test images said of each run: its name, parameters, and summary."""
    table = headed("test images", ["run"], ["parameters", "balanced accuracy", "macro F1", "accuracy"])
    for name, parameters, summary in results:
        figures = (summary.balanced_accuracy, summary.f1_macro, summary.accuracy)
        table.add_row(name, f"{parameters:,}", *map(_share, figures))
    console.print(table)


def print_ledger(console: Console, part: FidelityPart, forgotten: Sequence[ImageOutcome], *, most: int) -> None:
    """Print what became of a teacher's answers, class by class, and the first `most` of those that were forgotten."""
    title = "forgotten, of what the teacher has right; copied and corrected, of what it has wrong"
    table = headed(title, ["class"], ["images", "forgotten", "copied", "corrected", "same", "KL"])
    for row in [*part.classes, part.total]:
        fates = (
            (row.forgotten, row.teacher_right),
            (row.copied, row.teacher_wrong),
            (row.corrected, row.teacher_wrong),
        )
        kl = "-" if row.kl is None else f"{row.kl:.3f}"
        counts = [f"{count:,} of {of:,}" for count, of in fates]
        table.add_row(row.name, f"{row.images:,}", *counts, _share(row.agreement), kl)
    console.print(table)
    for entry in forgotten[:most]:
        answers = entry.predictions.items()
        said = "  ".join(f"{who} {predicted} ({entry.truth} {p:.2f})" for who, (predicted, p) in answers)
        about = f"  ({entry.about})" if entry.about else ""
        console.print(f"{entry.truth}  {entry.id}  {said}{about}", soft_wrap=True)
    if len(forgotten) > most:
        console.print(f"and {len(forgotten) - most:,} more forgotten; --class lists all of a class")
    if not forgotten:
        console.print("nothing is forgotten")


def print_comparison(console: Console, results: Results) -> None:
    """Print what a comparison came to: arms, verdicts against the controls, and the runs that have no result."""
    title = f"balanced accuracy{', ' * bool(results.name)}{results.name}: mean ± sd over seeds, 95 % interval"
    table = headed(title, ["arm"], ["runs", "mean", "95 %", "training"])
    for arm in results.arms:
        score = arm.figures["balanced_accuracy"]
        interval = f"{score.low:.3f} to {score.high:.3f}"
        table.add_row(arm.name, str(len(arm.runs)), _spread(score), interval, _duration(arm.seconds))
    console.print(table)
    title = "differences in percentage points; detectable: minimum detectable difference (80 % power)"
    table = headed(title, ["arm", "against"], ["verdict", "by", "p", "detectable"])
    for row in results.verdicts:
        if row.metric == "balanced_accuracy":
            p = "-" if row.p is None else f"{row.p:.3f}"
            least = row.minimum_detectable_difference
            detectable = "-" if least is None else f"{100 * least:.1f}"
            table.add_row(row.one, row.other, row.word, f"{100 * row.difference.value:+.1f}", p, detectable)
    console.print(table)
    for leak in results.leaks:
        console.print(leak, style="yellow", soft_wrap=True)
    for line in results.unequal:
        console.print(f"not equal: {line}", soft_wrap=True)
    for folder, error in results.failed.items():
        console.print(f"failed: {folder}: {error}", style="red", soft_wrap=True)


def _spread(figure: Figure) -> str:
    return f"{figure.mean:.3f}" if figure.sd is None else f"{figure.mean:.3f} ± {figure.sd:.3f}"


def print_summary(console: Console, summary: Summary) -> None:
    """Print how each class fared, and the means. A class without images has no recall and no F1."""
    title = f"{summary.images} images of {summary.groups} lesions or patients"
    table = headed(title, ["class"], ["images", "recall", "precision", "specificity", "F1", "AUC"])
    for row in summary.per_class:
        recall, f1 = (row.recall, row.f1) if row.images else (None, None)
        table.add_row(row.name, str(row.images), *map(_share, (recall, row.precision, row.specificity, f1, row.auc)))
    console.print(table)
    console.print(
        f"balanced accuracy {summary.balanced_accuracy:.3f}  macro F1 {summary.f1_macro:.3f}  "
        f"accuracy {summary.accuracy:.3f}  AUC {_share(summary.auc_macro)}"
    )
    if summary.absent:
        console.print(f"no image of {', '.join(summary.absent)}: left out of the means", soft_wrap=True)


def print_subgroups(console: Console, told: SubgroupReport) -> None:
    """Print the scores of subgroups, attribute by attribute, and the gaps that are shown."""
    titles = {"balanced_accuracy": "balanced accuracy", "accuracy": "accuracy"}
    if told.focus:
        titles["sensitivity"] = f"sensitivity to {told.focus}"
    for section in told.sections or ():
        title = f"{section.attribute}, with 95 % intervals; -: too few lesions"
        table = headed(title, [section.attribute], ["lesions", *titles.values()])
        for group in section.groups:
            told_of = [_with_interval(group.figures[metric]) for metric in titles]
            table.add_row(group.name, str(group.lesions), *told_of)
        console.print(table)
    for sentence in told.significant:
        console.print(f"significant: {sentence}", soft_wrap=True)


def _with_interval(of: Estimate | None) -> str:
    """Return the number above its interval: beside it, a terminal of 80 columns has no room for the names."""
    return "-" if of is None else f"{of.value:.3f}\n{of.low:.3f} to {of.high:.3f}"


def print_challenge(console: Console, challenge: Challenge) -> None:
    """Print what the scorer of the ISIC 2019 challenge says."""
    console.print(
        f"by the rules of ISIC 2019: balanced accuracy {challenge.balanced_accuracy:.3f}  AUC {_share(challenge.auc)}  "
        f"AUC above sensitivity 0.8 {_share(challenge.auc_above_80)}  "
        f"average precision {_share(challenge.average_precision)}\n"
        f"  at probability 0.5: sensitivity {challenge.sensitivity:.3f}  specificity {challenge.specificity:.3f}  "
        f"dice {challenge.dice:.3f}  PPV {challenge.ppv:.3f}  NPV {challenge.npv:.3f}  "
        f"accuracy {challenge.accuracy:.3f}",
        soft_wrap=True,
    )


def print_facts(console: Console, facts: Facts) -> None:
    """Print what a recipe would do."""
    console.print(f"recipe {facts.digest}: {facts.images} training images, batches of {facts.batch_size}")
    for role, network in (("student", facts.student), ("teacher", facts.teacher)):
        if network is not None:
            shapes = "  ".join(f"{tap} {'x'.join(map(str, shape))}" for tap, shape in network.shapes.items())
            console.print(f"{role} {network.name}: {network.parameters:,} parameters\n  {shapes}", soft_wrap=True)
    for stage in facts.stages:
        console.print(_stage(stage))
    console.print(
        "first value: weighted, on the first batch, of the initial student\n"
        "gradient share: norm of the weighted term's gradient to the student, over the sum of these norms\n"
        "parameters: of the term's own layers, dropped after the stage",
        soft_wrap=True,
    )


def print_plan(console: Console, plan: Plan) -> None:
    """Print how long a recipe will take, and where the time goes."""
    console.print(
        f"measured on {plan.device}: {plan.threads} threads, {plan.workers} loader processes, "
        f"{'compiled, ' * plan.compiled}batches of {plan.batch_size}"
    )
    parts = ["loading", "teacher", "student", "update"]
    table = headed("milliseconds a step (median)", ["stage"], [*parts, "steps", "epochs", "all"])
    for stage in plan.stages:
        spent = (stage.loading, stage.teaching, stage.learning, stage.updating)
        milliseconds = [f"{1000 * seconds:.3g}" for seconds in spent]
        table.add_row(stage.name, *milliseconds, str(stage.steps), str(stage.epochs), _duration(stage.seconds))
    console.print(table)
    for what, once in (("decode images", plan.images), ("have the teacher answer images", plan.teacher_outputs)):
        if once.count:
            costs = f"{_duration(once.seconds)}, {readable(once.nbytes)}"
            console.print(f"once, where not yet kept: {what}, {once.count:,} of them: {costs}", soft_wrap=True)
    console.print(f"validation: {_duration(plan.validation)} an epoch\nexpected in all: {_duration(plan.seconds)}")


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _stage(stage: StageFacts) -> Table:
    epochs = f"{stage.epochs} epoch{'s' if stage.epochs > 1 else ''}"
    title = f"stage {stage.name}: {epochs}, {stage.trained:,} parameters trained"
    table = headed(title, ["term"], ["weight", "first value", "gradient share", "parameters"])
    for term in stage.terms:
        share = f"{100 * term.gradient_share:.3g}%"
        table.add_row(term.name, f"{term.weight:g}", f"{term.value:.4g}", share, f"{term.parameters:,}")
    return table


def print_models(console: Console, rows: list[NetworkSummary]) -> None:
    """Print the sizes of our networks, and what a user should know of some."""
    table = headed(
        "parameters; paper: as the DSP-KD paper prints them",
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
    """Print counts and findings, gravest first, each with its first cases."""
    from dspkd.data.split import report as part_counts

    parts = {} if audited.split is None else part_counts(audited.table, audited.split)
    table = headed("images (lesions or patients)", ["class"], ["all", *parts])
    for name, every in audited.table.counts().items():
        shown = [every, *(counts[name] for counts in parts.values())]
        table.add_row(name, *(f"{images:,} ({groups:,})" for images, groups in shown))
    console.print(table)
    console.print("sources: " + ", ".join(f"{name} {count:,}" for name, count in audited.sources.items()))
    for finding in audited.findings:
        advice = f"; {finding.advice}" if finding.advice else ""
        console.print(f"{finding.severity}: {finding.says}{advice}", soft_wrap=True)
        for case in finding.cases[:2]:
            more = f" and {len(case) - 4} more" if len(case) > 4 else ""
            console.print(f"    {', '.join(case[:4])}{more}", soft_wrap=True)
    said = "invalidates results: see above" if audited.invalid else "nothing found that invalidates a result"
    console.print(said)


def print_premium(console: Console, measured: tuple[SplitInflation, ...]) -> None:
    """Print balanced accuracy under both kinds of split, and the difference with its interval."""
    figures = ["by image", "by lesion", "overstated", "95 % interval"]
    seeds = len(measured[0].leaked)
    table = headed(f"balanced accuracy by kind of split, mean over {seeds} seeds", ["probe"], figures)
    for premium in measured:
        low, high = premium.interval
        means = (sum(scores) / seeds for scores in (premium.by_image, premium.by_group))
        table.add_row(premium.probe, *map(_share, means), f"{premium.mean:+.3f}", f"{low:+.3f} to {high:+.3f}")
    console.print(table)
    console.print(
        f"split by image, {sum(measured[0].leaked) / seeds:.1%} of the test images show a lesion or patient that is "
        "in training\ninterval: Student's t over the seeds; it covers the luck of splitting, not another data set",
        soft_wrap=True,
    )


_STYLES = {"impossible": "red", "implausible": "yellow", "needs explanation": "cyan", "could not be checked": "dim"}


def print_claims(console: Console, found: list[ClaimFinding], *, passed: bool) -> None:
    """Print what is wrong with a table of results, gravest first, and a count of all."""
    for finding in found:
        if finding.severity == "passed" and not passed:
            continue
        console.print(f"[{finding.severity}] {finding.where}", style=_STYLES.get(finding.severity), soft_wrap=True)
        console.print(f"    {finding.says}", soft_wrap=True)
        if finding.arithmetic:
            console.print(f"    {finding.rule}: {finding.arithmetic}", soft_wrap=True)
        for supposed in finding.supposes:
            console.print(f"    supposing that {supposed}", soft_wrap=True)
    counts = Counter(str(finding.severity) for finding in found)
    console.print(", ".join(f"{count} {severity}" for severity, count in counts.items()), soft_wrap=True)


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
