"""The command `dspkd`: prints and exits."""

from dspkd.cli.main import app

__all__ = ["app"]
