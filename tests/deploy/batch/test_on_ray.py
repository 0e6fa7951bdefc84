"""Many images on a Ray cluster: a pretended one, and a real one of this machine."""

import os
import sys
from functools import partial
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
from fake import Grey, ask, broken

from dspkd.deploy.batch import engines
from dspkd.errors import RunError


class PretendedRay(ModuleType):
    """Does here, and late, what Ray does on a cluster of two CPUs; an actor fails at the chunk that has `fails`."""

    class exceptions:  # noqa: N801
        class RayError(Exception):
            pass

    def __init__(self, fails=None, **resources):
        super().__init__("ray")
        self._resources = {"CPU": 2.0, **resources}
        self.fails, self.needs, self.most, self.open = fails, [], 0, {}

    def init(self, **_):
        pass

    def shutdown(self):
        self.open.clear()

    def cluster_resources(self):
        return self._resources

    def remote(self, kind):
        def options(**needs):
            self.needs.append(needs)
            return SimpleNamespace(remote=lambda *given: self._actor(kind(*given)))

        return SimpleNamespace(options=options)

    def _actor(self, actor):
        def answers(chunk):
            token = object()
            self.open[token] = (actor, chunk)
            self.most = max(self.most, len(self.open))
            return token

        return SimpleNamespace(answers=SimpleNamespace(remote=answers))

    def wait(self, tokens, num_returns):
        return [tokens[-1]], tokens[:-1]  # the last first

    def get(self, token):
        actor, chunk = self.open.pop(token)
        if self.fails in chunk:
            raise self.exceptions.RayError("The actor died.\ndspkd.errors.RunError: burnt")
        return actor.answers(chunk)


def test_actors_of_a_cluster_say_the_same_whoever_is_first(folder, tmp_path, monkeypatch):
    ask(folder, tmp_path / "here.csv")
    ray = PretendedRay()
    monkeypatch.setitem(sys.modules, "ray", ray)
    ask(folder, tmp_path / "there.csv", engine=partial(engines.on_ray, make=Grey, root=folder, address="x"))
    assert (tmp_path / "here.csv").read_bytes() == (tmp_path / "there.csv").read_bytes()
    assert ray.most == 4  # two chunks for each of two actors, and no more
    assert ray.needs == [{"num_cpus": 1, "num_gpus": 0, "max_restarts": 3, "max_task_retries": 3}] * 2


def test_an_actor_that_fails_for_good_costs_no_answers(folder, tmp_path, monkeypatch):
    engine = partial(engines.on_ray, make=Grey, root=folder, address="x")
    monkeypatch.setitem(sys.modules, "ray", PretendedRay(fails="00.png"))
    with pytest.raises(RunError, match=r"--ray: dspkd\.errors.RunError: burnt; what was answered is kept"):
        ask(folder, tmp_path / "a.csv", engine=engine)
    assert ask(folder, tmp_path / "a.csv").before >= 5


def test_a_cluster_without_what_is_needed_is_refused(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", PretendedRay())
    with pytest.raises(RunError, match="the cluster has no GPU for it"):
        next(engines.on_ray(iter([("00.png",)]), make=Grey, root=folder, address="x", gpu=True))


@pytest.mark.parametrize(("cores", "gpus", "actors"), [(2, 1, 2), (16, 1, 4), (16, 3, 12)])
def test_at_most_four_actors_share_a_gpu_and_each_has_a_core(cores, gpus, actors, folder, tmp_path, monkeypatch):
    ray = PretendedRay(CPU=float(cores), GPU=float(gpus))
    monkeypatch.setitem(sys.modules, "ray", ray)
    ask(folder, tmp_path / "a.csv", engine=partial(engines.on_ray, make=Grey, root=folder, address="x", gpu=True))
    assert [(needs["num_cpus"], needs["num_gpus"]) for needs in ray.needs] == [(1, 0.25)] * actors


@pytest.mark.ray
@pytest.mark.filterwarnings("ignore")  # Ray warns of its own future
def test_a_ray_cluster_says_the_same(folder, tmp_path):
    pytest.importorskip("ray", reason="needs the extra [ray]")
    ask(folder, tmp_path / "here.csv")
    path = os.environ.get("PYTHONPATH", "")
    os.environ["PYTHONPATH"] = f"{Path(__file__).parent}{os.pathsep}{path}"
    try:
        engine = partial(engines.on_ray, make=Grey, root=folder, address="local")
        ask(folder, tmp_path / "there.csv", engine=engine)
        assert (tmp_path / "here.csv").read_bytes() == (tmp_path / "there.csv").read_bytes()
        engine = partial(engines.on_ray, make=partial(broken, folder), root=folder, address="local")
        with pytest.raises(RunError, match=r"--ray: .*no finished run"):
            ask(folder, tmp_path / "b.csv", engine=engine)
    finally:
        os.environ["PYTHONPATH"] = path
