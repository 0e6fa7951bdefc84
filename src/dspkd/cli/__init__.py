"""The command line: `dspkd`."""

from dspkd.cli.main import app

__all__ = ["app"]
