"""The demo: distillation of a tiny network on synthetic lesions, without a network connection."""

from __future__ import annotations

from pathlib import Path

from dspkd import reports
from dspkd.data.synthetic.dataset import synthesize
from dspkd.experiments import single_run
from dspkd.recipes import catalog, schema
from dspkd.training.progress import ProgressListener

STEPS = ("teacher", "plain", "kd", "dsp_kd")
"""The runs, in order; each is the embedded recipe ``demo/NAME``."""


def demo(out: Path, listener: ProgressListener | None = None) -> Path:
    """Train teacher and students (plain, KD, DSP-KD) on synthetic lesions; return the path of the comparison page.

    Writes into `out`: ``data``, a run folder for each step, ``report.html``. Finished parts are reused.
    """
    data = out / "data"
    if not any(data.glob("SYNTHETIC*")):
        synthesize(data, images=2000, size=80, seed=0, temper=0.5)
    folders = []
    for step in STEPS:
        overrides = [f"data.path={str(data)!r}"]
        if step in ("kd", "dsp_kd"):
            overrides.append(f"teacher={str(out / 'teacher')!r}")
        single_run.train(schema.load(catalog.find(f"demo/{step}"), overrides), out / step, listener)
        folders.append(out / step)
    return reports.compare(folders, out / "report.html")
