"""Several ranks in a test: forks of this process that talk through gloo."""

import multiprocessing
import os
import pickle
import socket
import traceback
import warnings

from dspkd import ranks


def together(count, work, folder, *, timeout=60):
    """Run `work(ranks)` in `count` processes; return what each gives. A process that fails fails the test."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    started = [_started(rank, count, port, work, folder) for rank in range(count)]
    for process in started:
        process.join(timeout)
        process.kill()
    said = [pickle.loads((folder / f"said-{rank}").read_bytes()) for rank in range(count)]
    assert not [what for kind, what in said if kind == "failed"], "\n".join(
        what for kind, what in said if kind == "failed"
    )
    return [what for _, what in said]


def _started(rank, count, port, work, folder):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # forking is all right where no thread holds a lock
        process = multiprocessing.get_context("fork").Process(target=_run, args=(rank, count, port, work, folder))
        process.start()
    return process


def _run(rank, count, port, work, folder):
    numbers = {"RANK": rank, "WORLD_SIZE": count, "LOCAL_RANK": rank, "LOCAL_WORLD_SIZE": count, "MASTER_PORT": port}
    os.environ.update({name: str(number) for name, number in numbers.items()}, MASTER_ADDR="127.0.0.1")
    try:
        with ranks.joined() as mine:
            said = ("gave", work(mine))
    except BaseException:
        said = ("failed", f"rank {rank}:\n{traceback.format_exc()}")
    (folder / f"said-{rank}").write_bytes(pickle.dumps(said))
    os._exit(0)
