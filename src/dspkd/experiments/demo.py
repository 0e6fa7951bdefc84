"""The demo: distillation of a tiny network on synthetic lesions, without a network connection.

A quarter of the training lesions keep their labels, for the teacher and all students; KD and DSP-KD also learn the
teacher's outputs on the other images. There distillation brings most; with all labels it brings little.
"""

from __future__ import annotations

from pathlib import Path

from dspkd import reports
from dspkd.data.synthetic.dataset import synthesize
from dspkd.experiments import single_run
from dspkd.recipes import catalog, schema
from dspkd.training.progress import ProgressListener

EPOCHS = {"teacher": (80,), "plain": (64,), "kd": (64,), "dsp_kd": (16, 48)}
"""The runs, in order, with the epochs of their stages; each is the embedded recipe ``demo/NAME``."""

LABELLED = 0.25
"""Share of the training images that are used with their labels. It and `EPOCHS` are inferred."""


def demo(out: Path, listener: ProgressListener | None = None) -> Path:
    """Train teacher and students (plain, KD, DSP-KD) on synthetic lesions; return the path of the comparison page.

    Writes into `out`: ``data``, a run folder for each step, ``report.html``. Finished parts are reused.
    """
    data = out / "data"
    if not any(data.glob("SYNTHETIC*")):
        synthesize(data, images=2000, size=80, seed=0, temper=0.5)
    folders = []
    for step, epochs in EPOCHS.items():
        overrides = [f"data.path={str(data)!r}", f"split.labelled={LABELLED}"]
        overrides += [f"stages.{stage}.epochs={number}" for stage, number in enumerate(epochs)]
        if step in ("kd", "dsp_kd"):
            overrides += [f"teacher={str(out / 'teacher')!r}", f"data.unlabelled={str(data)!r}"]
        single_run.train(schema.load(catalog.find(f"demo/{step}"), overrides), out / step, listener)
        folders.append(out / step)
    return reports.compare(folders, out / "report.html")
