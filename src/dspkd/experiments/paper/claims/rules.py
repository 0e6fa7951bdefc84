"""Rules for one row, or for rows that a paper compares: costs, means, differences, teachers, gains.

Each takes a `ClaimTable` and yields a `ClaimFinding` for each check. Unpublished thresholds are ours, and their
docstrings call them inferred.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import sqrt

from dspkd.experiments.paper.claims.finding import ClaimFinding, Severity
from dspkd.experiments.paper.claims.rows import ALL_CLASSES, COSTS, METRICS, ClaimRow, ClaimTable, Number

SLOWER = 1.25
"""Ratio of two times of one graph above which measurement noise does not explain it. Inferred: repeated medians of one
graph on a shared machine lie within a quarter of each other."""

ERRORS = 2.0
"""Standard errors of a difference that count as noise: about 95 % of chance differences."""

_UNITS = {"parameters": "parameters", "time": "inference time"}


def same_network(table: ClaimTable) -> Iterator[ClaimFinding]:
    """Check that rows that deploy one network on one data set have the same parameters and about the same speed.

    Distillation trains a network and does not change its graph.
    """
    for (data, network), rows in _grouped(table).items():
        for cost in COSTS:
            given = [row for row in rows if cost in row.figures]
            first = next((row for row in given if row.role == "baseline"), given[0] if given else None)
            if first is None:
                continue
            for row in given:
                if row is not first:
                    yield _same_cost(row, first, cost, network)
        if len(rows) > 1 and not any("parameters" in row.figures for row in rows):
            where = f"{network}{f' ({data})' if data else ''}"
            yield ClaimFinding("same-network", Severity.UNCHECKED, where, "no parameters are given")


def _same_cost(row: ClaimRow, first: ClaimRow, cost: str, network: str) -> ClaimFinding:
    ours, theirs = row.figures[cost], first.figures[cost]
    message = f"{_UNITS[cost]} {ours} of {row.model}, {theirs} of {first.model}; both deploy {network}"
    apart = abs(ours.value - theirs.value)
    if apart <= (ours.half + theirs.half) * (1 + 1e-9):
        return ClaimFinding("same-network", Severity.PASSED, _where(row, ours), message)
    if cost == "parameters":
        sums = f"|{ours} - {theirs}| = {apart:.4g}; rounding explains {ours.half + theirs.half:.4g}"
        claim = "distillation does not change the graph, so it cannot change the number of parameters"
        return ClaimFinding(
            "same-network",
            Severity.IMPOSSIBLE,
            _where(row, ours),
            f"{message}: {claim}",
            sums,
            row.assumptions_for(ours),
        )
    ratio = max(ours.value, theirs.value) / max(min(ours.value, theirs.value), 1e-12)
    sums = f"{ours} / {theirs} = {ours.value / max(theirs.value, 1e-12):.2f}; noise explains up to {SLOWER}"
    if ratio <= SLOWER:
        return ClaimFinding("same-network", Severity.PASSED, _where(row, ours), message, sums)
    claim = "one graph has one speed; were the times measured in different ways, or on different machines?"
    return ClaimFinding(
        "same-network", Severity.IMPLAUSIBLE, _where(row, ours), f"{message}: {claim}", sums, row.assumptions_for(ours)
    )


def above_teacher(table: ClaimTable) -> Iterator[ClaimFinding]:
    """Look for students above their teacher by more than noise, or without a known noise.

    Noise is `ERRORS` standard errors of the difference: of the seeds, where spreads are given, and of n test images as
    if the two had been tested on different ones, where n is known and the figure is an accuracy. On the same images
    noise is smaller, so the rule is conservative. Of a range of n, the largest counts.
    """
    for row in table.joined:
        if (teacher := table.teacher(row)) is None:
            if row.role == "student":
                yield ClaimFinding(
                    "above-teacher", Severity.UNCHECKED, row.name, "the table has no row for its teacher"
                )
            continue
        for metric in METRICS:
            if metric in row.figures and metric in teacher.figures:
                yield _above(row, teacher, metric)


def _above(row: ClaimRow, teacher: ClaimRow, metric: str) -> ClaimFinding:
    ours, theirs = row.figures[metric], teacher.figures[metric]
    gain = ours.value - theirs.value
    message = f"{metric} {ours} of the student, {theirs} of its teacher {teacher.model}"
    sums = f"{ours} - {theirs} = {gain:+.2f}"
    if gain <= ours.half + theirs.half:
        return ClaimFinding("above-teacher", Severity.PASSED, _where(row, ours), message, sums)
    noise, how = _noise(row, teacher, metric)
    assumptions = (*row.assumptions_for(ours), *teacher.assumptions_for(theirs))
    if noise is None:
        message = f"{message}: above its teacher, and {how}"
        return ClaimFinding("above-teacher", Severity.UNEXPLAINED, _where(row, ours), message, sums, assumptions)
    sums += f"; noise {noise:.2f} ({how})"
    if gain <= noise:
        return ClaimFinding("above-teacher", Severity.PASSED, _where(row, ours), f"{message}: within noise", sums)
    message = f"{message}: above its teacher by more than noise, as leakage or tuning on the test set would cause"
    return ClaimFinding("above-teacher", Severity.IMPLAUSIBLE, _where(row, ours), message, sums, assumptions)


def _noise(one: ClaimRow, other: ClaimRow, metric: str) -> tuple[float | None, str]:
    """Return `ERRORS` standard errors of a difference, in percentage points, and their sources."""
    parts, variance = [], 0.0
    for row in (one, other):
        if metric in row.spreads and row.runs > 1:
            variance += row.spreads[metric].value ** 2 / row.runs
            parts.append(f"seeds of {row.model}")
    if metric == "accuracy" and (images := one.images or other.images):
        for row in (one, other):
            share = row.figures[metric].value / 100
            variance += 1e4 * share * (1 - share) / images[1]
        parts.append(f"{images[1]:,} test images" if images[0] == images[1] else f"at most {images[1]:,} test images")
    if not parts:
        return None, "neither a spread over seeds nor a number of test images is given to estimate the noise"
    return ERRORS * sqrt(variance), "2 standard errors: " + " and ".join(parts)


def accuracy_up(table: ClaimTable) -> Iterator[ClaimFinding]:
    """Look for accuracy that rises while macro F1 or balanced accuracy falls: rare classes got worse."""
    for row in table.joined:
        baseline = table.baseline(row)
        if baseline is None or not ("accuracy" in row.figures and "accuracy" in baseline.figures):
            continue
        both = [m for m in ("f1", "balanced_accuracy") if m in row.figures and m in baseline.figures]
        if not both:
            yield ClaimFinding("accuracy-up", Severity.UNCHECKED, row.name, "no macro F1 of both it and its baseline")
        for metric in both:
            ups, downs = (
                (row.figures[each], baseline.figures[each], row.figures[each].value - baseline.figures[each].value)
                for each in ("accuracy", metric)
            )
            sums = f"accuracy {ups[0]} - {ups[1]} = {ups[2]:+.2f}; {metric} {downs[0]} - {downs[1]} = {downs[2]:+.2f}"
            falls = ups[2] > ups[0].half + ups[1].half and -downs[2] > downs[0].half + downs[1].half
            message = (
                f"accuracy is above that of {baseline.model}, {metric} below: rare classes got worse as common ones "
                "improved, or the two tables define it differently"
                if falls
                else f"accuracy and {metric} move together"
            )
            severity = Severity.UNEXPLAINED if falls else Severity.PASSED
            assumptions = row.assumptions_for(ups[0], downs[0]) if falls else ()
            yield ClaimFinding("accuracy-up", severity, _where(row, downs[0]), message, sums, assumptions)


def gain_in_noise(table: ClaimTable) -> Iterator[ClaimFinding]:
    """Look for gains smaller than the larger of the two standard deviations over seeds."""
    for row in table.joined:
        if (baseline := table.baseline(row)) is None:
            continue
        for metric in (each for each in METRICS if each in row.figures and each in baseline.figures):
            ours = row.figures[metric]
            gain = ours.value - baseline.figures[metric].value
            if gain <= 0:
                continue
            spreads = [each.spreads[metric].value for each in (row, baseline) if metric in each.spreads]
            if not spreads:
                message = f"{metric}: no spread over seeds is given, so a gain cannot be distinguished from chance"
                yield ClaimFinding("gain-in-noise", Severity.UNCHECKED, row.name, message)
                continue
            sums = (
                f"{ours} - {baseline.figures[metric]} = {gain:+.2f}; standard deviation over seeds {max(spreads):.2f}"
            )
            small = gain < max(spreads)
            message = f"{metric}: the gain is {'smaller' if small else 'larger'} than the spread over seeds"
            severity = Severity.UNEXPLAINED if small else Severity.PASSED
            yield ClaimFinding("gain-in-noise", severity, _where(row, ours), message, sums)


def macro_mean(table: ClaimTable) -> Iterator[ClaimFinding]:
    """Check that macro F1 is the mean of the F1 of the classes, up to rounding.

    Supposes the F1 of every class; where a table does not state its classes, the finding says so. Holds for means over
    runs, too.
    """
    for row in table.rows:
        if not row.f1_of or "f1" not in row.figures:
            continue
        if row.all_classes is False:
            yield ClaimFinding("macro-mean", Severity.UNCHECKED, row.name, "the F1 of some classes is not given")
            continue
        printed, classes = row.figures["f1"], list(row.f1_of.values())
        mean = sum(each.value for each in classes) / len(classes)
        rounding = printed.half + sum(each.half for each in classes) / len(classes)
        sums = (
            f"mean of {', '.join(map(str, classes))} = {mean:.4f}; printed {printed}; rounding explains {rounding:.3f}"
        )
        if abs(mean - printed.value) <= rounding + 1e-9:
            yield ClaimFinding(
                "macro-mean", Severity.PASSED, _where(row, printed), "macro F1 is the mean of the classes", sums
            )
        else:
            message = "macro F1 is not the mean of the F1 of the classes"
            assumptions = row.assumptions_for(printed) + (() if row.all_classes else (ALL_CLASSES,))
            yield ClaimFinding("macro-mean", Severity.IMPOSSIBLE, _where(row, printed), message, sums, assumptions)


def deltas(table: ClaimTable) -> Iterator[ClaimFinding]:
    """Check that a printed gain is the difference of the printed accuracies, or that difference in percent.

    Supposes percentage points; where only the relative gain adds up, the finding says so.
    """
    for row in table.rows:
        if row.delta is None:
            continue
        base = next(
            (r for r in table.rows if (r.data, r.table, r.model) == (row.data, row.table, row.delta_from)), None
        )
        if base is None or "accuracy" not in base.figures or "accuracy" not in row.figures:
            message = f"accuracy of this row or of {row.delta_from!r} is missing"
            yield ClaimFinding("deltas", Severity.UNCHECKED, row.name, message)
            continue
        ours, theirs = row.figures["accuracy"], base.figures["accuracy"]
        sums = f"{ours} - {theirs} = {ours.value - theirs.value:+.2f}; printed {row.delta.value:+.2f}"
        off = abs(ours.value - theirs.value - row.delta.value)
        wrong = off > ours.half + theirs.half + row.delta.half + 1e-9
        message = f"the gain over {base.model} {'does not add up' if wrong else 'adds up'}"
        if wrong and _is_relative(row.delta, ours, theirs):
            wrong = False
            message = f"the gain over {base.model} adds up in percent of its accuracy, not in percentage points"
        severity = Severity.IMPOSSIBLE if wrong else Severity.PASSED
        yield ClaimFinding("deltas", severity, _where(row, row.delta), message, sums)


def _is_relative(delta: Number, ours: Number, theirs: Number) -> bool:
    """Return whether a gain is the one in percent of the accuracy that it refers to, up to rounding."""
    low, high = (
        100 * (ours.value + way * ours.half) / max(theirs.value - way * theirs.half, 1e-12) - 100 for way in (-1, 1)
    )
    return low - delta.half - 1e-9 <= delta.value <= high + delta.half + 1e-9


def two_values(table: ClaimTable) -> Iterator[ClaimFinding]:
    """Check that a figure that is printed twice is the same."""
    seen: dict[tuple[str, str, str, str], Number] = {}
    for row in table.rows:
        for metric, number in row.figures.items():
            first = seen.setdefault((row.data, row.model, row.teacher, metric), number)
            if first is number:
                continue
            same = abs(first.value - number.value) <= first.half + number.half + 1e-9
            message = f"{metric} is {first} in {first.place or 'one row'} and {number} in {number.place or 'another'}"
            severity = Severity.PASSED if same else Severity.UNEXPLAINED
            yield ClaimFinding(
                "two-values",
                severity,
                _where(row, number),
                message,
                assumes=() if same else row.assumptions_for(number),
            )


def _grouped(table: ClaimTable) -> dict[tuple[str, str], list[ClaimRow]]:
    """Return the rows that deploy one network, by data set and network."""
    groups: dict[tuple[str, str], list[ClaimRow]] = {}
    for row in table.joined:
        if row.network:
            groups.setdefault((row.data, row.network), []).append(row)
    return groups


def _where(row: ClaimRow, number: Number) -> str:
    return f"{number.place}: {row.name}" if number.place else row.name
