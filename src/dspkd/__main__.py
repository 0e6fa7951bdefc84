"""``python -m dspkd``: the command, also where it is not on the path, and under ``torchrun``."""

from dspkd.cli import app

app()
