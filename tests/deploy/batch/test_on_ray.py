"""Batch prediction on a Ray cluster: a simulated one, and a real one on this machine."""

import os
import sys
from functools import partial
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
from fake import Grey, broken, predict

from dspkd.deploy.batch import engines
from dspkd.errors import RunError


class FakeRay(ModuleType):
    """Simulates Ray on a cluster of two CPUs, lazily; an actor fails at the chunk that has `fails`."""

    class exceptions:  # noqa: N801
        class RayError(Exception):
            pass

    def __init__(self, fails=None, **resources):
        super().__init__("ray")
        self._resources = {"CPU": 2.0, **resources}
        self.fails, self.options, self.most, self.open = fails, [], 0, {}

    def init(self, **_):
        pass

    def shutdown(self):
        self.open.clear()

    def cluster_resources(self):
        return self._resources

    def remote(self, kind):
        def options(**values):
            self.options.append(values)
            return SimpleNamespace(remote=lambda *args: self._actor(kind(*args)))

        return SimpleNamespace(options=options)

    def _actor(self, actor):
        def submit(chunk):
            token = object()
            self.open[token] = (actor, chunk)
            self.most = max(self.most, len(self.open))
            return token

        return SimpleNamespace(predict=SimpleNamespace(remote=submit))

    def wait(self, tokens, num_returns):
        return [tokens[-1]], tokens[:-1]  # the last first

    def get(self, token):
        actor, chunk = self.open.pop(token)
        if self.fails in chunk:
            raise self.exceptions.RayError("The actor died.\ndspkd.errors.RunError: burnt")
        return actor.predict(chunk)


def test_actors_predict_as_this_process_does_in_any_order(folder, tmp_path, monkeypatch):
    predict(folder, tmp_path / "here.csv")
    ray = FakeRay()
    monkeypatch.setitem(sys.modules, "ray", ray)
    predict(folder, tmp_path / "there.csv", engine=partial(engines.on_ray, load=Grey, root=folder, address="x"))
    assert (tmp_path / "here.csv").read_bytes() == (tmp_path / "there.csv").read_bytes()
    assert ray.most == 4  # two chunks for each of two actors, and no more
    assert ray.options == [{"num_cpus": 1, "num_gpus": 0, "max_restarts": 3, "max_task_retries": 3}] * 2


def test_an_actor_that_fails_costs_no_finished_predictions(folder, tmp_path, monkeypatch):
    engine = partial(engines.on_ray, load=Grey, root=folder, address="x")
    monkeypatch.setitem(sys.modules, "ray", FakeRay(fails="00.png"))
    with pytest.raises(RunError, match=r"--ray: dspkd\.errors.RunError: burnt; .*the same command resumes"):
        predict(folder, tmp_path / "a.csv", engine=engine)
    assert predict(folder, tmp_path / "a.csv").before >= 5


def test_a_cluster_without_gpu_is_refused(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", FakeRay())
    with pytest.raises(RunError, match=r"--ray x: .*no GPU"):
        next(engines.on_ray(iter([("00.png",)]), load=Grey, root=folder, address="x", gpu=True))


@pytest.mark.parametrize(("cores", "gpus", "actors"), [(2, 1, 2), (16, 1, 4), (16, 3, 12)])
def test_at_most_four_actors_share_a_gpu_and_each_has_a_core(cores, gpus, actors, folder, tmp_path, monkeypatch):
    ray = FakeRay(CPU=float(cores), GPU=float(gpus))
    monkeypatch.setitem(sys.modules, "ray", ray)
    predict(folder, tmp_path / "a.csv", engine=partial(engines.on_ray, load=Grey, root=folder, address="x", gpu=True))
    assert [(options["num_cpus"], options["num_gpus"]) for options in ray.options] == [(1, 0.25)] * actors


@pytest.mark.ray
@pytest.mark.filterwarnings("ignore")  # Ray warns of its own future
def test_a_real_ray_cluster_predicts_the_same(folder, tmp_path):
    pytest.importorskip("ray", reason="needs the extra [ray]")
    predict(folder, tmp_path / "here.csv")
    path = os.environ.get("PYTHONPATH", "")
    os.environ["PYTHONPATH"] = f"{Path(__file__).parent}{os.pathsep}{path}"
    try:
        engine = partial(engines.on_ray, load=Grey, root=folder, address="local")
        predict(folder, tmp_path / "there.csv", engine=engine)
        assert (tmp_path / "here.csv").read_bytes() == (tmp_path / "there.csv").read_bytes()
        engine = partial(engines.on_ray, load=partial(broken, folder), root=folder, address="local")
        with pytest.raises(RunError, match=r"--ray: .*no finished run"):
            predict(folder, tmp_path / "b.csv", engine=engine)
    finally:
        os.environ["PYTHONPATH"] = path
