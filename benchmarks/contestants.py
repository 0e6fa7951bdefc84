"""Ways to train one student with one teacher, for `bench_teacher_cache` and `bench_end_to_end`.

Each runs the real code: dspkd's own loop, cache and images; torchdistill's own box and steps with the images of
torchvision's usual training transform from a DataLoader in the same process. Random initial weights, AdamW, KD at
temperature 4. Each tool with its default settings: dspkd configures the allocator, torchdistill does not.
"""

import itertools
import logging
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torchvision.transforms import v2

from dspkd import data
from dspkd.data.decode_cache import DecodeCache, fingerprints
from dspkd.data.loader import TrainBatches
from dspkd.data.transforms import Augmentation
from dspkd.methods import find
from dspkd.models import zoo
from dspkd.recipes.stage import StageConfig, TermConfig
from dspkd.runtime.memory import keep_freed_memory
from dspkd.training import loop
from dspkd.training.distiller import Distiller
from dspkd.training.teachers.cached import CachedTeacher, image_keys
from dspkd.training.teachers.frozen import FrozenTeacher
from dspkd.types import Batch, Output

CLASSES = 8
KD = ("kd", {"temperature": 4.0}, 0.9)
CPU = loop.StepConfig(device=torch.device("cpu"))


@dataclass(frozen=True)
class Setting:
    """The settings that all contestants of a run share."""

    data: str
    teacher: str
    student: str
    size: int
    images: int
    batch: int
    views: int
    threads: int
    folder: str


class Inputs:
    """A setting's images, teacher and cache, in the process of a contestant of dspkd."""

    def __init__(self, setting, cache="teacher_cache"):
        torch.set_num_threads(setting.threads)
        keep_freed_memory()
        self.setting = setting
        self.table = data.read("auto", Path(setting.data))
        self.rows = chosen(self.table, setting.images)
        teacher = network(setting.teacher)
        self.live = FrozenTeacher(teacher, teacher.spec, name=setting.teacher)
        keys = image_keys(fingerprints(self.table.paths), self.table.ids)
        self.teacher_cache = CachedTeacher(self.live, {"logits", "last"}, keys, {}, Path(setting.folder) / cache)

    def batches(self, views):
        augment = Augmentation(size=self.setting.size)
        pixels = Path(self.setting.folder) / "pixels"
        decoded = DecodeCache(self.table, self.rows, augment.decode_side, pixels, progress=silent, log=silent)
        size = self.setting.batch
        return TrainBatches(self.table, self.rows, augment, batch_size=size, views=views, decoded=decoded)

    def fill(self, progress):
        """Cache the teacher's outputs for all views that are missing."""
        setting, batches = self.setting, self.batches(self.setting.views)
        every = itertools.product(self.rows.tolist(), range(setting.views))  # an epoch drops an incomplete batch
        size = setting.batch
        self.teacher_cache.fill(
            every, batches.show, derived=(), batch_size=size, compute=self.live.answer, progress=progress, log=silent
        )


class Endless:
    """The batches of all epochs as those of one endless epoch."""

    def __init__(self, batches):
        self._batches = batches

    def __len__(self):
        return 1_000_000

    def epoch(self, number):
        return itertools.chain.from_iterable(self._batches.epoch(number) for number in itertools.count())


class StepListener:
    def __init__(self, turn):
        self._turn = turn

    def step(self, stage, epoch, done, steps):
        self._turn()

    def epoch(self, record):
        pass


def silent(*_):
    pass


def chosen(table, images):
    return np.random.default_rng(0).permutation(len(table))[:images]


def network(name):
    torch.manual_seed(0)
    return zoo.make(name, classes=CLASSES).to(memory_format=torch.channels_last)


def dspkd(turn, setting, source, term):
    """Train the student with labels and `term`; `source` is "teacher_cache", "live", or None for labels only."""
    inputs = Inputs(setting)
    teacher = {"teacher_cache": inputs.teacher_cache, "live": inputs.live, None: None}[source]
    batches = Endless(inputs.batches(setting.views if source == "teacher_cache" else None))
    turn()
    train(teacher, term, batches, setting, StepListener(turn), epochs=1)


def train(teacher, term, batches, setting, listener, *, epochs):
    """Run dspkd's own loop."""
    student = network(setting.student)
    parts = [("labels", 1.0, find("labels")(student.spec, None))]
    if term:
        name, options, weight = term
        parts.append((name, weight, find(name)(student.spec, teacher.spec, **options)))
    stage = StageConfig(name="bench", epochs=epochs, lr=1e-3, terms=(TermConfig(method="labels"),))
    loop.fit(
        stage, Distiller(student, teacher, parts), batches, lambda student: {"balanced_accuracy": 0.0},
        folder=Path(tempfile.mkdtemp(dir=setting.folder)), digest="", seed=0, first_epoch=0, arithmetic=CPU,
        listener=listener,
    )  # fmt: skip


def filling(turn, setting):
    """Fill a separate cache, batch by batch."""
    inputs = Inputs(setting, cache="another cache")
    turn()
    inputs.fill(lambda *_: turn())


def term_alone(turn, setting, term):
    """Take steps of the term alone, on outputs in memory: forward, backward, and an update of its own layers."""
    torch.set_num_threads(setting.threads)
    keep_freed_memory()
    images = torch.rand(setting.batch, 3, setting.size, setting.size)
    with torch.no_grad():
        student, teacher = network(setting.student), network(setting.teacher).eval()
        output, teacher_output = student(images), teacher(images)
    name, options, _ = term
    method = find(name)(student.spec, teacher.spec, **options)
    maps = {tap: values.requires_grad_() for tap, values in output.maps.items()}
    student_output = Output(output.logits.requires_grad_(), output.pooled.requires_grad_(), maps)
    rows = torch.arange(setting.batch)
    batch = Batch(images, rows % CLASSES, rows, torch.zeros_like(rows))
    values = list(method.named_parameters())
    stage = StageConfig(name="bench", epochs=1, lr=1e-3, terms=(TermConfig(method="labels"),))
    optimizer = loop.make_optimizer(stage, values) if values else None
    while True:
        turn()
        loss = method(student_output, teacher_output, batch)
        loss.backward()
        if optimizer:
            loop.update(loop.owners(values), optimizer, 1e-3, CPU.clip)
            optimizer.zero_grad(set_to_none=True)


def torchdistill(turn, setting, allocator):
    """Take steps of torchdistill's box on the same images, endlessly; with `allocator` configured as in dspkd."""
    torch.set_num_threads(setting.threads)
    if allocator:
        keep_freed_memory()
    box = box_of_torchdistill(setting, epochs=1_000_000)
    turn()
    for epoch in itertools.count():
        epoch_of_torchdistill(box, epoch, turn)


def epoch_of_torchdistill(box, epoch, turn):
    box.pre_epoch_process(epoch=epoch)
    for images, labels, supplement in box.train_data_loader:
        box.pre_forward_process()
        loss = box.forward_process(images, labels, supplement)
        box.post_forward_process(loss=loss)
        turn()
    box.post_epoch_process()


def box_of_torchdistill(setting, epochs):
    table = data.read("auto", Path(setting.data))
    torch.manual_seed(0)
    student, teacher = (zoo.make(name, classes=CLASSES).network for name in (setting.student, setting.teacher))
    images = Folder(table, chosen(table, setting.images), usual_transform(setting.size, normalise=True))
    return kd_by_torchdistill(student, teacher, images, batch=setting.batch, epochs=epochs)


def kd_by_torchdistill(student, teacher, images, *, batch, epochs, **settings):
    """Return torchdistill's box of KD; `settings` are further ones of its configuration, such as ``scheduler``."""
    logging.disable()
    from torchdistill.core.distillation import DistillationBox

    head = {"student": last_layer(student), "teacher": last_layer(teacher)}
    criterion = {"key": "KDLoss", "kwargs": {
        "student_module_path": head["student"], "student_module_io": "output",
        "teacher_module_path": head["teacher"], "teacher_module_io": "output",
        "temperature": 4.0, "alpha": 0.5, "reduction": "batchmean",
    }}  # fmt: skip

    def hooks(network):
        hook = {"input": [], "output": [head[network]]}
        return {"forward_hook": hook, "sequential": [], "forward_proc": "forward_batch_only"}

    return DistillationBox(
        teacher, student, {"train": images},
        {
            "num_epochs": epochs,
            "train_data_loader": {
                "dataset_id": "train",
                "sampler": {"class_or_func": torch.utils.data.RandomSampler, "kwargs": {}},
                "kwargs": {"batch_size": batch, "num_workers": 0, "drop_last": True},
            },
            "teacher": {**hooks("teacher"), "requires_grad": False},
            "student": {**hooks("student"), "requires_grad": True},
            "optimizer": {"key": "AdamW", "kwargs": {"lr": 1e-3}},
            "criterion": {
                "key": "WeightedSumLoss",
                "kwargs": {"sub_terms": {"kd": {"criterion": criterion, "weight": 1.0}}},
            },
            **settings,
        },
        torch.device("cpu"), None, False, 1,
    )  # fmt: skip


def last_layer(model):
    """Return the name of the layer whose output is the logits."""
    return [name for name, layer in model.named_modules() if isinstance(layer, torch.nn.Linear)][-1]


def usual_transform(size, *, normalise, min_area=0.08, num_ops=2, magnitude=9):
    """Return torchvision's usual transform for training; without `normalise` values stay in 0..1."""
    return v2.Compose([
        v2.RandomResizedCrop(size, scale=(min_area, 1)), v2.RandomHorizontalFlip(), v2.RandomVerticalFlip(),
        v2.RandAugment(num_ops, magnitude), v2.PILToTensor(), v2.ToDtype(torch.float32, scale=True),
        *([v2.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))] if normalise else []),
    ])  # fmt: skip


class Folder(torch.utils.data.Dataset):
    """The same images, each decoded when it is read."""

    def __init__(self, table, rows, transform):
        self.table, self.rows, self.transform = table, rows, transform

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, position):
        row = self.rows[position]
        with Image.open(self.table.paths[row]) as image:
            return self.transform(image.convert("RGB")), int(self.table.labels[row])
