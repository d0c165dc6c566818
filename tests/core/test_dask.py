"""Tasks on workers of a Dask cluster: real schedulers and workers in processes of their own."""

from __future__ import annotations

import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from vibro import hookimpl
from vibro.api import Detector, FeatureExtractor, Params
from vibro.context import Context
from vibro.core import dask, handover
from vibro.core.engine import Engine
from vibro.core.executors import make_executor
from vibro.core.folds import make_rows
from vibro.core.planning import make_plan
from vibro.core.scheduler import FarExecutor, SerialExecutor
from vibro.core.task import ArrayRef, FitTask
from vibro.core.view_work import ViewTask, view_task
from vibro.core.worker import fit_task
from vibro.data import make_batch
from vibro.errors import ConfigError, ResourceError
from vibro.host.isolation import load_isolated
from vibro.host.isolation.limits import Limits
from vibro.host.manager import PluginHost

pytest.importorskip("distributed")
PLUGIN = """
from dataclasses import dataclass
import numpy as np
from vibro import hookimpl
from vibro.api import Detector, Params

@dataclass(frozen=True)
class FarParams(Params):
    power: int = 1

class Far(Detector):
    "A power of the first column."
    name, Params = "far", FarParams

    def fit(self, x, y=None):
        self.n = np.array(len(x))

    def score(self, x):
        return np.abs(x[:, 0]).astype(np.float64) ** self.params.power

    def state(self):
        return {"n": self.n}

    def load_state(self, state):
        self.n = state["n"]

@hookimpl
def register_detectors(register):
    register(Far)
"""
SECONDS = 1.0  # that the slow detector takes for a fit


@dataclass(frozen=True)
class SlowParams(Params):
    told: str = ""  # a file to which the process writes its number when it begins
    die: bool = False
    megabytes: int = 0  # that a fit holds for a while
    once: bool = False  # the first fit of all alone


class Slow(Detector):
    """Tells who it is, waits, and then scores by the level."""

    name = "slow"
    view = "level"
    item = "f"
    min_rows = 4
    cross_fit = False
    Params = SlowParams

    def fit(self, x, y=None):
        with open(self.params.told, "a") as told:
            told.write(f"{os.getpid()}\n")
        if self.params.die:
            os._exit(1)
        first = self.params.told + ".first"
        if self.params.megabytes and not (self.params.once and os.path.exists(first)):
            open(first, "w").close()
            held = np.ones(self.params.megabytes << 17)
            time.sleep(3 * SECONDS)
            del held
        time.sleep(SECONDS)
        self.centre = x.mean(axis=0, dtype=np.float64)

    def score(self, x):
        return np.abs(x - self.centre).sum(axis=1)

    def state(self):
        return {"centre": self.centre}

    def load_state(self, state):
        self.centre = state["centre"]


class Sorted(FeatureExtractor):
    """Every sample, in the order of size, minus what it has learned; wide enough for many chunks."""

    name = "sorted"
    item = "256"

    def fit(self, inputs):
        self.mean = float(inputs["raw"].mean(dtype=np.float64))

    def transform(self, inputs):
        if inputs["raw"].max() > 1000:
            raise ValueError("too loud")
        return (np.sort(inputs["raw"][:, 0], axis=1) - self.mean).astype(np.float32)

    def state(self):
        return {"mean": np.array(self.mean)}

    def load_state(self, state):
        self.mean = float(state["mean"])


@hookimpl
def register_detectors(register):
    register(Slow)


@hookimpl
def register_features(register):
    register(Sorted)


@pytest.fixture
def more(host):
    """The toys and the detectors of this file."""
    hooks = {"register_detectors": register_detectors, "register_features": register_features}
    host.register_module("slow", SimpleNamespace(__name__=__name__, **hooks))
    return host


class Cluster:
    """A scheduler and its workers, each a process of its own, at a port of this machine."""

    def __init__(self) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.address = f"127.0.0.1:{free.getsockname()[1]}"
        self.processes: list[subprocess.Popen[bytes]] = []

    def start(self, *line: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, "-m", "dask", *line, "--no-dashboard"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self.processes.append(process)
        return process

    def scheduler(self) -> subprocess.Popen[bytes]:
        host, port = self.address.split(":")
        process = self.start("scheduler", "--host", host, "--port", port)
        until = time.monotonic() + 60
        while time.monotonic() < until:
            try:
                socket.create_connection((host, int(port)), 1).close()
                return process
            except OSError:
                time.sleep(0.1)
        raise AssertionError("the scheduler did not start")

    def worker(self, *more: str) -> subprocess.Popen[bytes]:
        return self.start("worker", self.address, "--nthreads", "1", *more)

    def wait_for_workers(self, count: int) -> None:
        from distributed import Client

        with Client(self.address, set_as_default=False) as client:
            client.wait_for_workers(count, timeout=60)

    def stop(self, process: subprocess.Popen[bytes]) -> None:
        """Kills a process with all that it has started."""
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.fixture
def cluster():
    made = Cluster()
    yield made
    for process in made.processes:
        made.stop(process)


def run(host, table, batch, spec, folder):
    """Scores and states of an ensemble fitted on the batch, and the scores of its model."""
    with make_executor(spec) as executor:
        engine = Engine(host, Context(fs=batch.fs), executor=executor, folder=folder)
        fitted, _, matrix = engine.combine(engine.fit_detectors(make_plan(host, "toy", table), batch, make_rows(batch)))
        again = engine.score(fitted, batch)
    assert not list(folder.glob("**/task-*"))
    states = {f"{i}.{k}": v.tobytes() for i, state in fitted.states.items() for k, v in state.items()}
    return matrix.raw.tobytes(), again.raw.tobytes(), fitted.reference["fused"].tobytes(), states


def table(ensemble, told, detectors=4, **more):
    return ensemble(
        {"use": "distance"},
        {"use": "distance", "id": "far", "view": "sorted"},
        *({"use": "slow", "id": f"slow{i}", "told": str(told), **more} for i in range(detectors)),
    )


@pytest.fixture
def expected(more, ensemble, batch, tmp_path, monkeypatch):
    """What the serial executor gives; chunks are so small that even this batch makes many tasks."""
    monkeypatch.setattr("vibro.core.views.CHUNK_BYTES", 256 * 4 * 10)
    monkeypatch.setattr("vibro.core.task.PART_ROWS", 50)
    monkeypatch.setattr(f"{__name__}.SECONDS", 0.0)
    given = table(ensemble, tmp_path / "serial")
    return run(more, given, batch, "serial", tmp_path / "a")


def begun(told: Path, count: int) -> list[int]:
    """The processes of the first tasks that have begun."""
    until = time.monotonic() + 120
    while time.monotonic() < until:
        lines = told.read_text().split() if told.exists() else []
        if len(lines) >= count:
            return [int(line) for line in lines]
        time.sleep(0.05)
    raise AssertionError("no task began")


def while_running(action):
    """Starts an action beside the run; the returned function waits for it and raises what it raised."""
    raised: list[BaseException] = []

    def guarded() -> None:
        try:
            action()
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=guarded)
    thread.start()

    def finish() -> None:
        thread.join()
        if raised:
            raise raised[0]

    return finish


def test_workers_of_this_machine_give_the_same_bytes(more, ensemble, batch, tmp_path, expected):
    told = tmp_path / "told"
    assert run(more, table(ensemble, told), batch, "dask://local", tmp_path / "b") == expected
    assert os.getpid() not in begun(told, 4)


class Here(FarExecutor):
    """Does at once what a far worker would do, through the same files."""

    def submit(self, fn, /, task):
        return SerialExecutor().submit(fn, task)


def test_an_extractor_that_fails_at_a_worker_fails_as_it_does_here(more, ensemble, batch, tmp_path, monkeypatch):
    monkeypatch.setattr("vibro.core.views.CHUNK_BYTES", 256 * 4 * 10)
    given = ensemble({"use": "distance"}, {"use": "distance", "id": "far", "view": "sorted"})
    loud = make_batch(np.where(np.arange(120)[:, None] == 70, 1e6, batch.x[:, 0]), fs=1000.0)
    found = []
    for executor in (SerialExecutor(), Here()):
        engine = Engine(more, Context(fs=1000.0), executor=executor, folder=tmp_path / "work")
        results = engine.fit_detectors(make_plan(more, "toy", given), loud, make_rows(loud)).results
        found.append((results["far"].status, results["far"].reason, results["distance"].scores.tobytes()))
    assert found[0] == found[1] and found[0][:2] == ("failed", "view sorted: ValueError: too loud")


class Elsewhere(Here):
    """The same, with an extractor that fails there alone."""

    def __init__(self, error):
        self.error = error

    def submit(self, fn, /, task):
        if fn is not view_task:
            return super().submit(fn, task)
        with pytest.MonkeyPatch.context() as there:
            there.setattr(Sorted, "transform", self.transform)
            return super().submit(fn, task)

    def transform(self, inputs):
        raise self.error


def fit_with(executor, more, ensemble, batch, folder):
    given = ensemble({"use": "distance"}, {"use": "distance", "id": "far", "view": "sorted"})
    engine = Engine(more, Context(fs=1000.0), executor=executor, folder=folder)
    return engine.fit_detectors(make_plan(more, "toy", given), batch, make_rows(batch)).results


def test_views_that_workers_cannot_make_are_made_here_and_told_once(more, ensemble, batch, tmp_path, monkeypatch):
    monkeypatch.setattr("vibro.core.views.CHUNK_BYTES", 256 * 4 * 10)
    lines = []
    monkeypatch.setattr(more, "log", lines.append)
    alone = fit_with(SerialExecutor(), more, ensemble, batch, tmp_path / "a")
    assert lines == []
    found = fit_with(Elsewhere(ValueError("not here")), more, ensemble, batch, tmp_path / "b")
    assert found["far"].scores.tobytes() == alone["far"].scores.tobytes()
    chunks = -(-len(batch) // 10)
    said = f"{chunks} of {chunks} chunks were made here, since the workers could not: ValueError: not here"
    assert lines == [f"warning: view sorted: {said}"]


def test_short_memory_and_files_out_of_reach_are_not_made_up_for(more, ensemble, batch, tmp_path, monkeypatch):
    monkeypatch.setattr("vibro.core.views.CHUNK_BYTES", 256 * 4 * 10)
    with pytest.raises(ResourceError, match="memory ran out in view sorted"):
        fit_with(Elsewhere(MemoryError()), more, ensemble, batch, tmp_path / "a")
    task = ViewTask("sorted", Sorted, Sorted.make({}, Context()).params, Context(), {}, None, [(0, 1)])
    with pytest.raises(ResourceError, match="cannot read what view sorted is made from: No such file"):
        view_task(replace(task, inputs={"raw": ArrayRef(path=tmp_path / "gone.npy")}))


def test_no_scheduler_is_one_sentence(monkeypatch):
    monkeypatch.setattr(dask, "CONNECT", 0.5)
    with pytest.raises(ConfigError, match=r"no Dask scheduler answers at 127\.0\.0\.1:1$") as found:
        make_executor("dask://127.0.0.1:1")
    assert found.value.exit_code == 2


@pytest.mark.parametrize("spec", ["dask://", "dask:local", "dask"])
def test_an_address_is_asked_for(spec):
    with pytest.raises(ConfigError, match="unknown executor"):
        make_executor(spec)


def test_the_extra_is_asked_for(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ConfigError, match="not installed") as found:
        make_executor("dask://local")
    assert found.value.hint == "pip install 'vibro[dask]'"


def fit_of(tmp_path, x):
    np.save(tmp_path / "x.npy", x)
    rows = np.arange(len(x))
    params = SlowParams(told=str(tmp_path / "told"))
    ref = ArrayRef(path=tmp_path / "x.npy")
    return FitTask("slow", Slow, params, Context(seed=3, fs=10.0), ref, rows, np.zeros(len(x), np.int8), False)


def test_a_task_that_is_handed_over_gives_what_it_gives_here(tmp_path, monkeypatch):
    monkeypatch.setattr(f"{__name__}.SECONDS", 0.0)
    task = fit_of(tmp_path, np.random.default_rng(0).normal(size=(40, 2)).astype(np.float32))
    folder = handover.write_task(fit_task, task)
    assert handover.perform(str(folder), handover.versions_here()) == ("", "")
    here, there = fit_task(task), handover.read_result(folder)
    assert there.scores.tobytes() == here.scores.tobytes() and there.reference.tobytes() == here.reference.tobytes()
    assert there.state["centre"].tobytes() == here.state["centre"].tobytes() and there.status == "ok"
    lines = (tmp_path / "told").read_text()
    handover.perform(str(folder), handover.versions_here())  # as a second worker would
    assert (tmp_path / "told").read_text() == lines
    assert not [path for path in folder.rglob("*") if path.suffix not in (".json", ".npy") and path.is_file()]


def test_errors_are_handed_back_as_they_are(tmp_path, monkeypatch):
    task = fit_of(tmp_path, np.zeros((40, 2), np.float32))
    monkeypatch.setattr(Slow, "fit", lambda self, x, y=None: 1 / 0)
    folder = handover.write_task(fit_task, task)
    handover.perform(str(folder), handover.versions_here())
    assert handover.read_result(folder).error == "ZeroDivisionError"

    def no_memory(self, x, y=None):
        raise MemoryError

    monkeypatch.setattr(Slow, "fit", no_memory)
    folder = handover.write_task(fit_task, task)
    handover.perform(str(folder), handover.versions_here())
    with pytest.raises(ResourceError, match="memory ran out in detector slow") as found:
        handover.read_result(folder)
    assert "serial" in found.value.hint


def test_a_plugin_in_a_process_of_its_own_is_found_again(tmp_path):
    (tmp_path / "far.py").write_text(PLUGIN)
    module = load_isolated("far", "far", file=tmp_path / "far.py", limits=Limits(seconds=20.0, import_seconds=20.0))
    (cls,) = PluginHost.create(autoload=False, environ={}).register_module("far", module)
    x = np.random.default_rng(0).normal(size=(40, 2)).astype(np.float32)
    params = cls.make({"power": 3}, Context()).params
    task = replace(fit_of(tmp_path, x), id="far", cls=cls, params=params)
    folder = handover.write_task(fit_task, task)
    assert handover.perform(str(folder), handover.versions_here()) == ("", "")
    there = handover.read_result(folder)
    assert there.scores.tolist() == (np.abs(x[:, 0]).astype(np.float64) ** 3).tolist()
    cls.worker.close()


def test_a_worker_says_why_it_cannot_work(tmp_path, monkeypatch):
    monkeypatch.setattr(handover, "SLOW", 0.1)
    reason, hint = handover.perform(str(tmp_path / "none" / "task-1"), handover.versions_here())
    assert reason == f"a Dask worker does not see {tmp_path / 'none'}" and "-o" in hint
    with pytest.raises(ResourceError, match="does not appear"):
        handover.read_result(tmp_path / "none")
    reason, _ = handover.perform(str(tmp_path), "vibro 0, numpy 0")
    assert reason.startswith("a Dask worker has vibro ") and reason.endswith("but the run vibro 0, numpy 0")


@pytest.mark.slow
def test_a_worker_that_is_killed_costs_its_task_alone(more, ensemble, batch, tmp_path, expected, cluster):
    cluster.scheduler()
    cluster.worker("--no-nanny"), cluster.worker("--no-nanny")
    cluster.wait_for_workers(2)
    told = tmp_path / "told"
    finish = while_running(lambda: os.kill(begun(told, 1)[0], signal.SIGKILL))
    assert run(more, table(ensemble, told), batch, f"dask://{cluster.address}", tmp_path / "b") == expected
    finish()
    assert len(begun(told, 1)) == 5 and len(set(begun(told, 1))) == 2  # the task that was at work was begun again


@pytest.mark.slow
def test_a_slow_worker_changes_nothing(more, ensemble, batch, tmp_path, expected, cluster):
    cluster.scheduler()
    workers = [cluster.worker("--no-nanny"), cluster.worker("--no-nanny")]
    cluster.wait_for_workers(2)
    told = tmp_path / "told"

    def slow() -> None:
        begun(told, 1)
        os.killpg(workers[0].pid, signal.SIGSTOP)
        time.sleep(6)
        os.killpg(workers[0].pid, signal.SIGCONT)

    finish = while_running(slow)
    assert run(more, table(ensemble, told), batch, f"dask://{cluster.address}", tmp_path / "b") == expected
    finish()


@pytest.mark.slow
def test_a_scheduler_that_is_started_again_is_found(more, ensemble, batch, tmp_path, expected, cluster):
    scheduler, told = cluster.scheduler(), tmp_path / "told"
    workers = [cluster.worker(), cluster.worker()]

    def again() -> None:
        begun(told, 2)
        for process in (scheduler, *workers):
            cluster.stop(process)
        cluster.scheduler()
        cluster.worker()

    finish = while_running(again)
    assert run(more, table(ensemble, told), batch, f"dask://{cluster.address}", tmp_path / "b") == expected
    finish()


@pytest.mark.slow
def test_a_scheduler_that_has_gone_ends_the_run_in_one_sentence(
    more, ensemble, batch, tmp_path, expected, cluster, monkeypatch
):
    monkeypatch.setattr(dask, "PATIENCE", 3.0)
    monkeypatch.setattr(dask, "CONNECT", 1.0)
    scheduler, told = cluster.scheduler(), tmp_path / "told"
    cluster.worker()
    finish = while_running(lambda: (begun(told, 1), cluster.stop(scheduler)))
    with pytest.raises(ResourceError, match="has gone, and none came back within 3 s") as found:
        run(more, table(ensemble, told), batch, f"dask://{cluster.address}", tmp_path / "b")
    finish()
    assert found.value.exit_code == 8


@pytest.mark.slow
def test_a_task_that_kills_its_workers_ends_the_run(more, ensemble, batch, tmp_path, expected, cluster):
    cluster.scheduler()
    cluster.worker()
    with pytest.raises(ResourceError, match="Dask workers died at one task"):
        run(
            more,
            table(ensemble, tmp_path / "told", 1, die=True),
            batch,
            f"dask://{cluster.address}",
            tmp_path / "b",
        )
    assert len(begun(tmp_path / "told", 1)) == 4  # tried again three times, which is Dask's own setting


LARGE = 2_500  # megabytes that a fit holds


@pytest.mark.slow
def test_a_worker_that_its_nanny_ends_for_memory_costs_a_retry(more, ensemble, batch, tmp_path, expected, cluster):
    cluster.scheduler()
    cluster.worker("--memory-limit", "1GB"), cluster.worker("--memory-limit", "1GB")
    cluster.wait_for_workers(2)
    told = tmp_path / "told"
    given = table(ensemble, told, megabytes=LARGE, once=True)
    assert run(more, given, batch, f"dask://{cluster.address}", tmp_path / "b") == expected
    assert len(begun(told, 1)) == 5  # the one that was too large was begun again


@pytest.mark.slow
def test_a_task_too_large_for_every_worker_is_one_sentence(more, ensemble, batch, tmp_path, cluster):
    cluster.scheduler()
    cluster.worker("--memory-limit", "1GB")
    given = table(ensemble, tmp_path / "told", 1, megabytes=LARGE)
    with pytest.raises(ResourceError, match="Dask workers died at one task \\(out of memory") as found:
        run(more, given, batch, f"dask://{cluster.address}", tmp_path / "b")
    assert found.value.exit_code == 8 and "memory" in found.value.hint


@pytest.mark.slow
def test_a_worker_without_address_space_is_one_sentence(more, ensemble, batch, tmp_path, cluster):
    cluster.scheduler()
    worker = cluster.worker("--no-nanny")
    cluster.wait_for_workers(1)
    resource.prlimit(worker.pid, resource.RLIMIT_AS, (used(worker.pid) + (1 << 30),) * 2)
    given = table(ensemble, tmp_path / "told", 1, megabytes=LARGE)
    with pytest.raises(ResourceError, match="memory ran out in detector slow0") as found:
        run(more, given, batch, f"dask://{cluster.address}", tmp_path / "b")
    assert found.value.exit_code == 8


def used(pid: int) -> int:
    """Bytes of address space."""
    return os.sysconf("SC_PAGE_SIZE") * int(Path(f"/proc/{pid}/statm").read_text().split()[0])


@pytest.mark.slow
def test_a_cluster_without_workers_ends_the_run(more, ensemble, batch, tmp_path, cluster, monkeypatch):
    monkeypatch.setattr(dask, "PATIENCE", 3.0)
    cluster.scheduler()
    with pytest.raises(ResourceError, match="has had no worker for 3 s"):
        run(more, table(ensemble, tmp_path / "told"), batch, f"dask://{cluster.address}", tmp_path / "b")
