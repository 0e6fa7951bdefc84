"""Rules that follow from counting: what no confusion matrix and no whole number of images can give."""

from __future__ import annotations

from collections.abc import Iterator

from dspkd.experiments.paper.claims.bounds import (
    accuracy_bounds,
    balanced_accuracy_bounds,
    majority_needed,
    single_specificity_bounds,
    specificity_bounds,
)
from dspkd.experiments.paper.claims.finding import ClaimFinding, Severity
from dspkd.experiments.paper.claims.granularity import sizes
from dspkd.experiments.paper.claims.rows import ALL_CLASSES, NO_OTHER_CLASS, ClaimRow, ClaimTable, Number

USUAL = 0.2
"""Usual share of a data set in the test set of a single split (inferred: 10 to 20 %)."""


SINGLE_RUNS = "the figures are of single runs, not means over several"


def specificity(table: ClaimTable) -> Iterator[ClaimFinding]:
    """Check macro specificity, one class against the rest, against its bounds from accuracy and class sizes.

    Supposes that all runs have one test set; means over runs then lie within the bounds, too.
    """
    for row in table.joined:
        if "specificity" not in row.figures:
            continue
        if "accuracy" not in row.figures:
            yield ClaimFinding("specificity", Severity.UNCHECKED, row.name, "no accuracy is given")
        elif len(row.classes) < 2:
            yield ClaimFinding("specificity", Severity.UNCHECKED, row.name, "no numbers of images per class are given")
        else:
            yield _specificity(row)


def _specificity(row: ClaimRow) -> ClaimFinding:
    printed, images = row.figures["specificity"], list(row.classes.values())
    accuracy = _shares(row.figures["accuracy"])
    low, high = specificity_bounds(images, accuracy, "macro")
    if row.empty_classes:  # an image that is predicted as one of them is no false positive of the others
        high = 1.0
    from_, to = _shares(printed)
    where = _place(row, printed)
    sums = f"accuracy {row.figures['accuracy']}: macro specificity in {_percent(low, high)}; printed {printed}"
    if _overlap((from_, to), (low, high)):
        return ClaimFinding(
            "specificity", Severity.PASSED, where, "macro specificity is consistent with accuracy and class sizes", sums
        )
    if len(images) == 2:
        for positive, name in enumerate(row.classes):
            if _overlap((from_, to), single_specificity_bounds(images, accuracy, positive)):
                message = (
                    f"not the macro specificity of both classes; that with {name} as the positive class alone fits"
                )
                return ClaimFinding("specificity", Severity.UNEXPLAINED, where, message, sums)
    if to < low:
        share = majority_needed(to, accuracy[1], len(images))
        largest = max(row.classes, key=lambda name: row.classes[name])
        sums += (
            f"; so low a value needs {100 * share:.1f} % of the test images in one class, and {largest} has "
            f"{100 * row.classes[largest] / sum(images):.1f} %"
        )
    weighted = specificity_bounds(images, accuracy, "weighted")
    fits = _overlap((from_, to), weighted)
    sums += f"; weighted by images it lies in {_percent(*weighted)}"
    other = (
        "a mean weighted by images fits, so it is another specificity"
        if fits
        else "nor does a mean weighted by images fit"
    )
    message = f"no confusion matrix of these classes has this accuracy and this macro specificity; {other}"
    assumptions = (*row.assumptions_for(printed), *([row.classes_assume] if row.classes_assume else []))
    assumptions += (NO_OTHER_CLASS,) if from_ > high else ()
    return ClaimFinding("specificity", Severity.IMPOSSIBLE, where, message, sums, assumptions)


def f1_of_classes(table: ClaimTable) -> Iterator[ClaimFinding]:
    """Check accuracy against its bounds from the F1 of each class, of which it is a weighted mean.

    Supposes a single run, and the F1 of every class; where a table states neither, the finding names what it supposes.
    """
    for row in table.joined:
        if len(row.f1_of) < 2:
            continue
        if "accuracy" not in row.figures:
            yield ClaimFinding("f1-of-classes", Severity.UNCHECKED, row.name, "no accuracy is given")
        elif row.runs > 1:
            message = "the figures are means over runs, and the bounds hold for one run"
            yield ClaimFinding("f1-of-classes", Severity.UNCHECKED, row.name, message)
        elif row.all_classes is False:
            yield ClaimFinding("f1-of-classes", Severity.UNCHECKED, row.name, "the F1 of some classes is not given")
        else:
            yield _f1_of_classes(row)


def _f1_of_classes(row: ClaimRow) -> ClaimFinding:
    printed, scores = row.figures["accuracy"], list(row.f1_of.values())
    places = dict.fromkeys(each.place for each in (printed, scores[0]) if each.place)
    where = f"{' and '.join(places)}: {row.name}" if places else row.name
    f1, accuracy = [_shares(number) for number in scores], _shares(printed)
    low, high = accuracy_bounds(f1, None)
    low = 0.0 if row.empty_classes else low
    sums = f"accuracy is a weighted mean of F1, so it lies in {_percent(low, high)}; printed {printed}"
    assumptions = (*row.assumptions_for(printed, scores[0]), SINGLE_RUNS)
    assumptions += () if row.all_classes else (ALL_CLASSES,)
    assumptions += (NO_OTHER_CLASS,) if accuracy[1] < low else ()
    if not _overlap(accuracy, (low, high)):
        message = "no confusion matrix has this accuracy and these F1 scores, whatever the sizes of the classes"
        return ClaimFinding("f1-of-classes", Severity.IMPOSSIBLE, where, message, sums, assumptions)
    if row.classes and set(row.classes) == set(row.f1_of):
        low, high = accuracy_bounds(f1, [row.classes[name] for name in row.f1_of])
        low = 0.0 if row.empty_classes else low
        sums += f"; with the sizes of the classes in {_percent(low, high)}"
        if not _overlap(accuracy, (low, high)):
            message = "no confusion matrix of these classes has this accuracy and these F1 scores"
            assumptions += (row.classes_assume,) if row.classes_assume else ()
            assumptions += (NO_OTHER_CLASS,) if accuracy[1] < low else ()
            return ClaimFinding("f1-of-classes", Severity.IMPOSSIBLE, where, message, sums, assumptions)
    return ClaimFinding(
        "f1-of-classes", Severity.PASSED, where, "accuracy is consistent with the F1 of the classes", sums
    )


def balanced_accuracy(table: ClaimTable) -> Iterator[ClaimFinding]:
    """Check balanced accuracy against its bounds from accuracy and class sizes, and against macro recall, its synonym.

    Supposes that all runs have one test set, and that both are plain means over the classes.
    """
    for row in table.joined:
        printed = row.figures.get("balanced_accuracy")
        if printed is None:
            continue
        if "recall" in row.figures:
            yield _is_recall(row, printed, row.figures["recall"])
        if "accuracy" not in row.figures:
            yield ClaimFinding("balanced-accuracy", Severity.UNCHECKED, row.name, "no accuracy is given")
        elif len(row.classes) < 2:
            message = "no numbers of images per class are given"
            yield ClaimFinding("balanced-accuracy", Severity.UNCHECKED, row.name, message)
        else:
            yield _balanced_accuracy(row, printed)


def _is_recall(row: ClaimRow, printed: Number, recall: Number) -> ClaimFinding:
    accuracy, specificity = row.figures.get("accuracy"), row.figures.get("specificity")
    message = "balanced accuracy is the mean recall of the classes"
    sums = f"balanced accuracy {printed}; recall {recall}"
    severity = Severity.PASSED
    if not _equal(printed, recall):
        severity = Severity.IMPOSSIBLE
        message += "; the two differ"
        if accuracy and _equal(accuracy, recall):
            severity = Severity.UNEXPLAINED
            message += ", and this recall equals accuracy: it is weighted by images"
        elif specificity and _equal(printed, _mean(recall, specificity)):
            severity = Severity.PASSED
            message = "balanced accuracy is the mean of recall and specificity: they are of one of two classes"
            sums += f"; specificity {specificity}"
    assumes = "recall is the plain mean over the classes"
    assumptions = (*row.assumptions_for(printed, recall), assumes) if severity is not Severity.PASSED else ()
    return ClaimFinding("balanced-accuracy", severity, _place(row, printed), message, sums, assumptions)


def _balanced_accuracy(row: ClaimRow, printed: Number) -> ClaimFinding:
    low, high = balanced_accuracy_bounds(list(row.classes.values()), _shares(row.figures["accuracy"]))
    sums = f"accuracy {row.figures['accuracy']}: balanced accuracy in {_percent(low, high)}; printed {printed}"
    where = _place(row, printed)
    if _overlap(_shares(printed), (low, high)):
        message = "balanced accuracy is consistent with accuracy and class sizes"
        return ClaimFinding("balanced-accuracy", Severity.PASSED, where, message, sums)
    message = "no confusion matrix of these classes has this accuracy and this balanced accuracy"
    assumptions = (*row.assumptions_for(printed), *([row.classes_assume] if row.classes_assume else []))
    return ClaimFinding("balanced-accuracy", Severity.IMPOSSIBLE, where, message, sums, assumptions)


def f1_of_means(table: ClaimTable) -> Iterator[ClaimFinding]:
    """Check that macro F1 is at most the mean of macro precision and macro recall: so it is in every class and run.

    Supposes that all three are plain means over the same classes. Balanced accuracy serves as recall, but not of two
    classes, of which the other figures are often those of the positive one.
    """
    for row in table.joined:
        stands_in = None if len(row.classes) == 2 else row.figures.get("balanced_accuracy")  # F1 may be of one class
        recall = row.figures.get("recall", stands_in)
        if recall is None or not {"f1", "precision"} <= set(row.figures):
            continue
        printed, precision = row.figures["f1"], row.figures["precision"]
        mean = (precision.value + recall.value) / 2
        above = printed.value - mean > printed.half + (precision.half + recall.half) / 2 + 1e-9
        sums = f"({precision} + {recall}) / 2 = {mean:.2f}; printed {printed}"
        message = f"macro F1 is {'above' if above else 'at most'} the mean of macro precision and macro recall"
        assumes = "precision, recall and F1 are plain means over the same classes"
        assumptions = (*row.assumptions_for(printed, precision, recall), assumes) if above else ()
        severity = Severity.IMPOSSIBLE if above else Severity.PASSED
        yield ClaimFinding("f1-of-means", severity, _place(row, printed), message, sums, assumptions)


def granularity(table: ClaimTable) -> Iterator[ClaimFinding]:
    """Check that a whole number of correct images in one test set gives each printed accuracy.

    Supposes the number of runs that the table states, and one run where it states none.
    """
    for data in dict.fromkeys(row.data for row in table.joined):
        rows = [row for row in table.joined if row.data == data and "accuracy" in row.figures]
        for images, runs in dict.fromkeys((row.images, row.runs) for row in rows):
            group = [row for row in rows if (row.images, row.runs) == (images, runs)]
            where = f"{data or 'the test set'}: {len(group)} accuracies"
            if images is None:
                message = "no number of test images is given, nor a range"
                yield ClaimFinding("granularity", Severity.UNCHECKED, where, message)
            elif images[0] == images[1]:
                yield from (_single(row, images[0]) for row in group)
            else:
                yield _range([row.figures["accuracy"] for row in group], images, runs, where)


def _single(row: ClaimRow, images: int) -> ClaimFinding:
    printed = row.figures["accuracy"]
    where = _place(row, printed)
    step = 100 / images / row.runs
    sums = f"{images:,} images" + f" x {row.runs} runs" * (row.runs > 1) + f": steps of {step:.4f}; printed {printed}"
    if len(sizes([printed], (images, images), row.runs)):
        return ClaimFinding("granularity", Severity.PASSED, where, "this number of images can give this accuracy", sums)
    message = "no number of correct predictions among so many images gives this accuracy"
    assumptions = row.assumptions_for(printed) + ((SINGLE_RUNS,) if row.runs == 1 else ())
    return ClaimFinding("granularity", Severity.IMPOSSIBLE, where, message, sums, assumptions)


def _range(printed: list[Number], images: tuple[int, int], runs: int, where: str) -> ClaimFinding:
    """Check accuracies of one test set of unknown size; a range that begins at 1 means some part of a data set."""
    different = list({(number.value, number.digits): number for number in printed}.values())
    fitting = sizes(different, images, runs)
    head = f"{len(different)} different values, a test set of {images[0]:,} to {images[1]:,} images"
    if not len(fitting):
        message = "no test set of these sizes gives all of these accuracies"
        assumptions = (SINGLE_RUNS,) if runs == 1 else ()
        return ClaimFinding("granularity", Severity.IMPOSSIBLE, where, message, head, assumptions)
    least, whole = int(fitting[0]), images[1]
    sums = f"{head}: the smallest that gives all is {least:,}"
    if images[0] > 1 or least <= USUAL * whole:
        return ClaimFinding("granularity", Severity.PASSED, where, "a test set of these sizes gives all", sums)
    tried = ", ".join(
        f"of {n:,} ({share} %) gives {sum(len(sizes([each], (n, n), runs)) for each in different)} of them"
        for share in (10, 20)
        if (n := whole * share // 100)
    )
    sums += f", {100 * least / whole:.0f} % of all; one {tried}"
    message = (
        f"a single test set that gives all of these accuracies has more than {USUAL:.0%} of the images; are they means "
        "over runs or folds, or of different test sets?"
    )
    return ClaimFinding("granularity", Severity.UNEXPLAINED, where, message, sums)


def _place(row: ClaimRow, printed: Number) -> str:
    return f"{printed.place}: {row.name}" if printed.place else row.name


def _overlap(one: tuple[float, float], other: tuple[float, float]) -> bool:
    """Return whether two intervals have a point in common, up to rounding of floats."""
    return one[1] >= other[0] - 1e-9 and one[0] <= other[1] + 1e-9


def _equal(one: Number, other: Number) -> bool:
    """Return whether two figures are the same but for rounding."""
    return abs(one.value - other.value) <= one.half + other.half + 1e-9


def _mean(one: Number, other: Number) -> Number:
    return Number((one.value + other.value) / 2, min(one.digits, other.digits))


def _percent(low: float, high: float) -> str:
    return f"[{100 * low:.2f}, {100 * high:.2f}]"


def _shares(number: Number) -> tuple[float, float]:
    """Return the interval of shares in [0, 1] that round to a printed percentage."""
    low, high = (number.value + way * number.half for way in (-1, 1))
    return max(0.0, low / 100), min(1.0, high / 100)
