"""Connect to a Ray cluster for the length of a ``with`` block."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

from dspkd.errors import RunError


@contextmanager
def connected(address: str) -> Iterator[ModuleType]:
    """Yield the module `ray`, connected to a cluster; disconnect afterwards.

    Parameters
    ----------
    address
        Of the cluster, such as ``ray://host:10001`` or ``auto``; ``local`` starts one on this machine.

    Raises
    ------
    RunError
        Ray is not installed, or nothing responds at the address.
    """
    try:
        import ray
    except ImportError:
        raise RunError("--ray: Ray is not installed; install it: pip install 'dspkd[ray]'") from None
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except Exception as error:  # a node that is slow to start raises a bare one
        ray.shutdown()
        raise RunError(f"--ray {address}: {str(error).splitlines()[0]}") from None
    try:
        yield ray
    finally:
        ray.shutdown()
