"""Teacher, plain student and distilled student side by side: score, share of the teacher's score, size, time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median

from dspkd.errors import DspkdError
from dspkd.evaluation.intervals import Estimate, estimate, percentiles, resample
from dspkd.evaluation.metrics import summarise
from dspkd.evaluation.predictions import Predictions
from dspkd.evaluation.scoring import LOWER_IS_BETTER
from dspkd.reports import teacher_predictions
from dspkd.reports.comparison import ArmRuns, repetition
from dspkd.runs.files import RunFiles
from dspkd.runs.reading import opened
from dspkd.runs.run_folder import Run

_Key = tuple[str, ...]


@dataclass(frozen=True)
class Size:
    """Parameters, bytes of the weights, and milliseconds of one core for one image; None where not known."""

    parameters: int | None = None
    nbytes: int | None = None
    milliseconds: float | None = None


@dataclass(frozen=True)
class Network:
    """A network, or the runs of a method, beside its teacher.

    Attributes
    ----------
    role
        ``teacher``, ``plain`` (learnt from labels, without a teacher) or ``student``.
    name
        Of the method, or of the teacher's run.
    metric, score, low, high
        The metric that decides, and its value with a 95 % interval.
    size
        Its size and time.
    recalls
        Recall of each class; None for a class without test images.
    teacher
        The network that `kept`, `smaller` and `faster` compare with; None for a teacher, or where it is not known.
    recipe
        File of a run's recipe.
    """

    role: str
    name: str
    metric: str
    score: float
    low: float
    high: float
    size: Size
    recalls: tuple[float | None, ...]
    teacher: Network | None = None
    recipe: str = ""

    @property
    def kept(self) -> float | None:
        """Its score as a share of the teacher's; None for a log loss, of which no share makes sense."""
        if self.teacher is None or self.metric in LOWER_IS_BETTER:
            return None
        return _ratio(self.score, self.teacher.score)

    @property
    def smaller(self) -> float | None:
        """How many times fewer parameters it has than the teacher."""
        return None if self.teacher is None else _ratio(self.teacher.size.parameters, self.size.parameters)

    @property
    def faster(self) -> float | None:
        """How many times less time it takes for an image than the teacher."""
        return None if self.teacher is None else _ratio(self.teacher.size.milliseconds, self.size.milliseconds)

    @property
    def above_teacher(self) -> bool:
        """Whether a distilled student has a better score than its teacher."""
        if self.teacher is None or self.role != "student":
            return False
        above = self.score - self.teacher.score
        return above < 0 if self.metric in LOWER_IS_BETTER else above > 0


def of_run(run: Run, metric: str = "balanced_accuracy") -> list[Network]:
    """Return a run's teacher, the plain run beside it if there is one, and the run; empty without a known teacher."""
    predicted = teacher_predictions.load(run)
    if predicted is None:
        return []
    plain = plain_beside(run)
    times = _Times([run, *([plain] if plain else [])])
    teacher = _teacher(run, [predicted], metric, times)
    networks = [teacher]
    for role, each in (("plain", plain), ("student", run)):
        if each:
            numbers, found = _score([each.predictions("test")], metric)
            recipe = str(each.files.recipe)
            networks.append(Network(role, each.result.name, metric, *numbers, times.size(each), found, teacher, recipe))
    return networks


def of_arms(ranked: Sequence[ArmRuns], intervals: Sequence[Mapping[str, Estimate]]) -> list[Network]:
    """Return the teachers of a comparison, its methods without a teacher, and its distilled students, each best first.

    A teacher need not be one of the methods. The teachers of several divisions into folds are one, with the mean of
    their scores. Empty where no method has a known teacher.
    """
    runs = [run for arm in ranked for run in arm.runs]
    times = _Times(runs)
    same = _same_teachers(ranked)
    taught: dict[_Key, list[Run]] = {}
    for run in runs:
        if run.result.teacher:
            taught.setdefault(same[_key(run.teachers)], []).append(run)
    folders = {folder for key in same for folder in key}
    is_teacher = {arm.name: any(_key([run.folder])[0] in folders for run in arm.runs) for arm in ranked}
    metric = ranked[0].metric
    teachers: dict[_Key, Network] = {}
    for arm, estimates in zip(ranked, intervals, strict=True):
        own = [same[key] for run in arm.runs if (key := _key([run.folder])) in same]
        if own:
            size = times.teacher_size(taught[own[0]][0])
            interval = estimates[metric]
            scores = (arm.score.mean, interval.low, interval.high)
            network = Network("teacher", arm.name, metric, *scores, size, _recalls(arm))
            teachers |= dict.fromkeys(own, network)
    for key, several in taught.items():
        if key not in teachers and (known := _known(several)):
            teachers[key] = _teacher(several[0], known, metric, times)
    distinct = list({id(each): each for each in teachers.values()}.values())
    if not distinct:
        return []
    others = []
    for arm, estimates in zip(ranked, intervals, strict=True):
        if is_teacher[arm.name]:
            continue
        first, interval = arm.runs[0], estimates[metric]
        if first.result.teacher:
            role, teacher = "student", teachers.get(same[_key(first.teachers)])
        else:
            role, teacher = "plain", distinct[0] if len(distinct) == 1 else None
        size, recipe = times.size(first), str(first.parts[0].files.recipe)
        scores = (arm.score.mean, interval.low, interval.high)
        others.append(Network(role, arm.name, metric, *scores, size, _recalls(arm), teacher, recipe))
    return distinct + sorted(others, key=lambda each: each.role != "plain")


def plain_beside(run: Run) -> Run | None:
    """Return a finished run that learnt from labels alone, and else as this one, from a folder beside.

    It has the same network, initial weights, data, split, image settings, and epochs over all stages. With the same
    seed if there is one, and rather without label smoothing. Folders beside are those that lie with the
    run's, or in the place of its folder in a comparison: ``METHOD/seed-0``.
    """
    above, name = run.folder.resolve().parent, run.folder.name
    candidates = {*above.glob("*"), *above.parent.glob(f"*/{name}")} - {run.folder.resolve()}
    fitting = [each for path in sorted(candidates) if (each := _plain(path, run))]
    return min(fitting, key=lambda each: (each.result.seed != run.result.seed, _smoothed(each)), default=None)


def _plain(path: Path, run: Run) -> Run | None:
    try:
        if not RunFiles(path).result.is_file() or _key([path]) in {_key([teacher]) for teacher in run.teachers}:
            return None
        other = Run(path)
        same = (
            other.result.teacher is None
            and (other.result.model, other.result.classes) == (run.result.model, run.result.classes)
            and (other.data.digest, other.data.split_digest) == (run.data.digest, run.data.split_digest)
            and other.recipe.images == run.recipe.images
            and other.recipe.epochs == run.recipe.epochs
            and other.recipe.model.weights == run.recipe.model.weights
            and all(term.method == "labels" for stage in other.recipe.stages for term in stage.terms)
            and other.predictions("test").ids == run.predictions("test").ids
        )
    except (DspkdError, OSError):  # a folder beside is none of this run, whatever is wrong with it
        return None
    return other if same else None


def _smoothed(run: Run) -> bool:
    return any(term.options.get("label_smoothing") for stage in run.recipe.stages for term in stage.terms)


class _Times:
    """Milliseconds for one image: one figure for each network, however many runs of it were timed."""

    def __init__(self, runs: Iterable[Run]) -> None:
        timed = [(part, part.latency) for run in runs for part in run.parts]
        self._networks: dict[_Key, list[float]] = {}
        self._teachers: dict[_Key, list[float]] = {}
        for run, latency in timed:
            if latency:
                self._networks.setdefault(_network(run), []).append(latency.student)
            if latency and latency.teacher:
                self._teachers.setdefault(_key(run.teachers), []).append(latency.teacher)

    def size(self, run: Run) -> Size:
        """Return the size of the network of a run; its time is the median over runs of the same network."""
        weights = run.parts[0].files.weights
        return Size(
            run.result.parameters,
            weights.stat().st_size if weights.is_file() else None,
            _median(self._networks.get(_network(run.parts[0]))),
        )

    def teacher_size(self, run: Run) -> Size:
        """Return the size of a run's teachers together; their time was taken in turns with the student's."""
        milliseconds = _median(self._teachers.get(_key(run.parts[0].teachers)))
        try:
            sizes = [self.size(opened(folder)) for folder in run.teachers]
        except DspkdError:
            return Size(milliseconds=milliseconds)
        if not sizes:  # a file of answers
            return Size()
        nbytes = [size.nbytes for size in sizes if size.nbytes is not None]
        whole = sum(nbytes) if len(nbytes) == len(sizes) else None
        return Size(sum(size.parameters or 0 for size in sizes), whole, milliseconds)


def _same_teachers(ranked: Sequence[ArmRuns]) -> dict[_Key, _Key]:
    """Return for each teacher the one that stands for it: that of a method's first division into folds."""
    same: dict[_Key, _Key] = {}
    for arm in ranked:
        keys = [_key(run.teachers) for run in arm.runs if run.result.teacher]
        for key in keys:
            same.setdefault(key, same.get(keys[0], keys[0]) if arm.repeats > 1 else key)
    return same


def _known(runs: Sequence[Run]) -> list[Predictions]:
    """Return the predictions of the runs' teacher, of each division into folds; empty where one is not known."""
    found: dict[int, Predictions] = {}
    for run in runs:
        _, division = repetition(run)
        if division not in found and (predicted := teacher_predictions.load(run)) is not None:
            found[division] = predicted
    return list(found.values()) if {repetition(run)[1] for run in runs} == set(found) else []


def _teacher(run: Run, predicted: Sequence[Predictions], metric: str, times: _Times) -> Network:
    """Return the teacher of a run, from its predictions of the run's test images."""
    names = [folder.name for folder in run.teachers] or [Path(run.result.teacher or "teacher").name]
    scores, found = _score(predicted, metric)
    return Network("teacher", ", ".join(names), metric, *scores, times.teacher_size(run), found)


def _score(
    predictions: Sequence[Predictions], metric: str
) -> tuple[tuple[float, float, float], tuple[float | None, ...]]:
    """Return a network's score with its interval, and its recall of each class; means over divisions into folds."""
    summaries, scores = [summarise(each) for each in predictions], resample(predictions, (metric,))[metric]
    low, high = percentiles(scores)
    if len(predictions) > 1:
        mean = estimate(scores, range(len(predictions))).of_score(metric)
        low, high = mean.low, mean.high
    value = fmean(getattr(summary, metric) for summary in summaries)
    classes = zip(*(summary.per_class for summary in summaries), strict=True)
    return (value, low, high), tuple(fmean(r.recall for r in rows) if rows[0].images else None for rows in classes)


def _recalls(arm: ArmRuns) -> tuple[float | None, ...]:
    return tuple(arm.recall(k).mean if row.images else None for k, row in enumerate(arm.tests[0].per_class))


def _network(run: Run) -> _Key:
    return run.result.model, str(run.result.parameters), str(run.recipe.images.size)


def _key(folders: Iterable[str | Path]) -> _Key:
    return tuple(str(Path(folder).resolve()) for folder in folders)


def _median(values: Sequence[float] | None) -> float | None:
    return median(values) if values else None


def _ratio(one: float | None, other: float | None) -> float | None:
    return one / other if one is not None and other else None
