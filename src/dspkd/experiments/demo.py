"""The main job on an embedded default: synthetic lesions, three small networks, no network connection."""

from __future__ import annotations

from pathlib import Path

from dspkd import reports
from dspkd.data.synthetic.dataset import synthesize
from dspkd.experiments import single_run
from dspkd.recipes import catalog, schema
from dspkd.training.progress import ProgressListener

STEPS = ("teacher", "plain", "dsp_kd")
"""The runs, in order; each is the embedded recipe ``demo/NAME``."""


def demo(out: Path, listener: ProgressListener | None = None) -> Path:
    """Make synthetic lesions, train teacher, plain student and DSP-KD student on them; return the report of all three.

    Everything lands in `out`: ``data``, a run folder for each step, ``report.html``. What is already there is reused.
    """
    data = out / "data"
    if not any(data.glob("SYNTHETIC*")):
        synthesize(data, images=2000, size=80, seed=0, temper=0.5)
    folders = []
    for step in STEPS:
        overrides = [f"data.path={str(data)!r}"]
        if step == "dsp_kd":
            overrides.append(f"teacher={str(out / 'teacher')!r}")
        single_run.train(schema.load(catalog.find(f"demo/{step}"), overrides), out / step, listener)
        folders.append(out / step)
    return reports.compare(folders, out / "report.html")
