"""Copies of a `Run` in which something is different."""

import copy


def altered(run, *, val=None, test=None, **values):
    """A copy of a `Run` with other predictions or attributes; its folder stays as it is."""
    other = copy.copy(run)
    other._loaded = {part: run.predictions(part) for part in ("val", "test")}
    other._loaded |= {part: made for part, made in (("val", val), ("test", test)) if made is not None}
    for summary in ("val", "test"):
        other.__dict__.pop(summary, None)
    other.__dict__.update(values)
    return other
