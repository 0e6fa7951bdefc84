"""Batch prediction on a Ray cluster: a simulated one, and a real one on this machine."""

import math
import os
import sys
from collections import Counter
from functools import partial
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
from fake import Grey, broken, predict

from dspkd.deploy.batch import engines
from dspkd.errors import RunError


class FakeRay(ModuleType):
    """Simulates Ray on a cluster of two CPUs, lazily; a call fails at the chunk that has `fails`.

    The actor that has predicted `lives` chunks is lost at its next one; once only.
    """

    class exceptions:  # noqa: N801
        class RayError(Exception):
            pass

        class RayActorError(RayError):
            pass

    def __init__(self, fails=None, lives=math.inf, **resources):
        super().__init__("ray")
        self._resources = {"CPU": 2.0, **resources}
        self.fails, self.lives, self.options, self.most, self.open = fails, lives, [], 0, {}
        self.started, self.lost, self._predicted = 0, [], Counter()

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
        self.started += 1

        def caller(name):
            def submit(argument):
                token = object()
                self.open[token] = (actor, name, argument)
                self.most = max(self.most, sum(name == "predict" for _, name, _ in self.open.values()))
                return token

            return SimpleNamespace(remote=submit)

        return SimpleNamespace(load=caller("load"), predict=caller("predict"))

    def wait(self, tokens, num_returns):
        first = next((token for token in tokens if self.open[token][1] == "load"), tokens[-1])  # else the last first
        return [first], [token for token in tokens if token is not first]

    def get(self, token):
        actor, name, argument = self.open.pop(token)
        if name == "predict" and self.fails in argument:
            raise self.exceptions.RayError("The task failed.\ndspkd.errors.RunError: burnt")
        if self._predicted[actor] >= self.lives and self.lost in ([], [actor]) and name == "predict":
            self.lost = [actor]
        if actor in self.lost:
            raise self.exceptions.RayActorError("The actor died.\nits node is gone")
        self._predicted[actor] += name == "predict"
        return getattr(actor, name)(argument)


def raising(ray):
    raise ray.exceptions.RayActorError("The actor died.\nits node is gone")


def test_actors_predict_as_this_process_does_in_any_order(folder, tmp_path, monkeypatch):
    predict(folder, tmp_path / "here.csv")
    ray = FakeRay()
    monkeypatch.setitem(sys.modules, "ray", ray)
    predict(folder, tmp_path / "there.csv", engine=partial(engines.on_ray, load=Grey, root=folder, address="x"))
    assert (tmp_path / "here.csv").read_bytes() == (tmp_path / "there.csv").read_bytes()
    assert ray.most == 4  # two chunks for each of two actors, and no more
    assert (ray.options, ray.started) == ([{"num_cpus": 1, "num_gpus": 0}], 2)


def test_another_actor_computes_the_chunks_of_one_that_is_lost(folder, tmp_path, monkeypatch):
    predict(folder, tmp_path / "here.csv")
    ray = FakeRay(lives=1)
    monkeypatch.setitem(sys.modules, "ray", ray)
    predict(folder, tmp_path / "there.csv", engine=partial(engines.on_ray, load=Grey, root=folder, address="x"))
    assert (tmp_path / "here.csv").read_bytes() == (tmp_path / "there.csv").read_bytes()
    assert (len(ray.lost), ray.started) == (1, 3)


def test_actors_that_are_lost_again_and_again_end_the_call(folder, tmp_path, monkeypatch):
    ray = FakeRay()
    monkeypatch.setattr(ray, "get", lambda token: ray.open.pop(token) and raising(ray))
    monkeypatch.setitem(sys.modules, "ray", ray)
    with pytest.raises(RunError, match=r"--ray: its node is gone; .*the same command resumes"):
        predict(folder, tmp_path / "a.csv", engine=partial(engines.on_ray, load=Grey, root=folder, address="x"))
    assert ray.started == 2 + 3 * 2


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
    assert (ray.options, ray.started) == ([{"num_cpus": 1, "num_gpus": 0.25}], actors)


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


@pytest.fixture
def two_nodes(monkeypatch):
    """Start a cluster of two nodes on this machine, of a CPU each; yield it and its second node."""
    pytest.importorskip("ray", reason="needs the extra [ray]")
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("RAY_raylet_start_wait_time_s", "200")  # on a busy machine a node starts slowly
    monkeypatch.setenv("RAY_worker_niceness", "0")  # otherwise other work of this machine comes first
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent), prepend=os.pathsep)
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    second = cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    yield cluster, second
    cluster.shutdown()


@pytest.mark.ray
@pytest.mark.filterwarnings("ignore")  # Ray warns of its own future
def test_a_node_killed_in_the_middle_loses_no_prediction(folder, tmp_path, two_nodes):
    cluster, second = two_nodes
    predict(folder, tmp_path / "here.csv")
    nodes = []

    def killing(chunks):
        for number, batch in enumerate(engines.on_ray(chunks, load=Grey, root=folder, address=cluster.address)):
            if number == 1:
                nodes.append(len(cluster.list_all_nodes()))
                cluster.remove_node(second, allow_graceful=False)
            yield batch

    predict(folder, tmp_path / "there.csv", engine=killing)
    assert nodes == [2]
    assert (tmp_path / "here.csv").read_bytes() == (tmp_path / "there.csv").read_bytes()
