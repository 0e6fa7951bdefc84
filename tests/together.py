"""Several ranks in a test: processes that talk through gloo.

They are forked from a server process that has imported torch and started no thread. A fork of the test process itself
would inherit the locks of whatever threads earlier tests started there (a compiler, a pool, a browser), and could wait
for one of them for ever. As under `torchrun`, the parent keeps the store by which ranks find each other, so that no
other program can take its port before rank 0 does.
"""

import inspect
import multiprocessing
import os
import pickle
import traceback
import warnings

import cloudpickle
import torch
from torch.distributed import TCPStore

from dspkd.runtime import distributed

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["dspkd.runs.train", "dspkd.models.zoo", "pytest"])


def together(count, work, folder, *, machines=1):
    """Run `work(world)` in `count` processes, as if on several machines; return the result of each.

    The result of a process that raises is its exception; that of one that dies is None. `work` may be a closure of a
    test: it travels by value.
    """
    cloudpickle.register_pickle_by_value(inspect.getmodule(work))
    payload = cloudpickle.dumps(work)
    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    shared = {"WORLD_SIZE": count, "LOCAL_WORLD_SIZE": count // machines, "MASTER_ADDR": "127.0.0.1"}
    shared |= {"MASTER_PORT": store.port, "TORCHELASTIC_USE_AGENT_STORE": True, "TORCHELASTIC_RESTART_COUNT": 0}
    results = [folder / f"result-{rank}" for rank in range(count)]
    processes = []
    for rank, result in enumerate(results):
        result.unlink(missing_ok=True)
        numbers = shared | {"RANK": rank, "LOCAL_RANK": rank // machines}
        environment = os.environ | {name: str(number) for name, number in numbers.items()}
        processes.append(FORKS.Process(target=_run, args=(environment, payload, result)))
    try:
        for process in processes:
            process.start()
        for process in processes:
            process.join()
    finally:  # a test that is stopped, at its time limit say, leaves no process behind
        for process in processes:
            if process.is_alive():
                process.kill()
    return [pickle.loads(path.read_bytes()) if path.exists() else None for path in results]


def _run(environment, payload, result):
    os.environ.clear()
    os.environ.update(environment)
    torch.set_num_threads(1)
    warnings.simplefilter("error")  # as in the test process
    work = pickle.loads(payload)
    try:
        with distributed.joined() as world:
            value = work(world)
    except BaseException as error:
        traceback.print_exc()
        value = error
    result.write_bytes(cloudpickle.dumps(value))
    os._exit(0)
