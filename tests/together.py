"""Several ranks in a test: forks of this process that talk through gloo."""

import multiprocessing
import os
import pickle
import socket
import traceback
import warnings

from dspkd.runtime import distributed


def together(count, work, folder, *, machines=1):
    """Run `work(ranks)` in `count` processes, as if on several machines; return what each gives.

    What a process raises is returned in its place, and None for one that died.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    started = []
    for rank in range(count):
        numbers = {"RANK": rank, "WORLD_SIZE": count, "MASTER_PORT": port}
        numbers |= {"LOCAL_RANK": rank // machines, "LOCAL_WORLD_SIZE": count // machines}
        started.append(_started(numbers, work, folder / f"said-{rank}"))
    for process in started:
        process.join()
    said = [folder / f"said-{rank}" for rank in range(count)]
    return [pickle.loads(path.read_bytes()) if path.exists() else None for path in said]


def _started(numbers, work, said):
    said.unlink(missing_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # forking is all right where no thread holds a lock
        process = multiprocessing.get_context("fork").Process(target=_run, args=(numbers, work, said))
        process.start()
    return process


def _run(numbers, work, said):
    os.environ.update({name: str(number) for name, number in numbers.items()}, MASTER_ADDR="127.0.0.1")
    try:
        with distributed.joined() as mine:
            given = work(mine)
    except BaseException as error:
        traceback.print_exc()
        given = error
    said.write_bytes(pickle.dumps(given))
    os._exit(0)
