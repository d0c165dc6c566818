"""Plugins in processes of their own: values cross unchanged, stand-ins behave like the real ones, nothing stays behind."""

from __future__ import annotations

import dataclasses
import json
import os
import pickle
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from vibro.api import check_settings
from vibro.cli.new_plugin import write_package
from vibro.context import Context, Disturbed
from vibro.data import Record, Rejected
from vibro.errors import ConfigError, ContractError, PluginError, PluginTimeoutError
from vibro.host.isolation import load_isolated
from vibro.host.isolation.codec import decode, encode
from vibro.host.isolation.limits import Limits
from vibro.host.manager import PluginHost
from vibro.testing import run_checks

LIMITS = Limits(seconds=20.0, import_seconds=20.0)
# What cannot hold for a class that only stands in for another one.
OF_THE_REAL_CLASS = {
    "check_importable",
    "check_public_imports",
    "check_requires",
    "check_fresh_process",
    "check_state_in_fresh_process",
    "check_unfitted_refuses",
    "check_accepts",
    "check_processes",
}
COUNTER = """
import pathlib, time
log = pathlib.Path({log!r})
log.write_text(log.read_text() + "x" if log.exists() else "x")
{extra}
from vibro import hookimpl
from vibro.api import Thresholder
class Cut(Thresholder):
    "A cut at zero."
    name = "zero"
    def cut(self, scores, budget, y=None):
        return 0.0
@hookimpl
def register_thresholders(register):
    register(Cut)
"""


def round_trip(value, folder: Path, **options):
    return decode(json.loads(json.dumps(encode(value, folder))), folder, **options)


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        3,
        -0.0,
        float("inf"),
        "text ☂",
        [1, [2.5, None]],
        {"a": {"b": [np.float64(2.0)]}},
        np.arange(6, dtype=np.float32).reshape(2, 3),
        np.zeros((0, 4)),
        np.array(3, dtype=np.int16),
        {"mask": np.array([True, False])},
    ],
)
def test_values_cross_unchanged(tmp_path, value):
    found = round_trip(value, tmp_path)
    np.testing.assert_equal(found, value)
    if isinstance(value, np.ndarray):
        assert (found.dtype, found.shape) == (value.dtype, value.shape)


def test_records_cross_unchanged(tmp_path):
    record = Record(
        np.ones((1, 4), np.float32), "s", np.datetime64("2024-05-01T10:00", "ns"), 100.0, covariates={"load": 1.0}
    )
    found, rejected = round_trip([record, Rejected("Q006", "bad", row=3)], tmp_path)
    assert rejected == Rejected("Q006", "bad", row=3)
    assert np.array_equal(found.signal, record.signal)
    assert (found.time, found.fs, found.covariates) == (record.time, 100.0, {"load": 1.0})


def test_a_memory_map_crosses_as_its_path(tmp_path):
    np.save(tmp_path / "x.npy", np.arange(12.0).reshape(4, 3))
    whole = np.load(tmp_path / "x.npy", mmap_mode="r")
    (tmp_path / "out").mkdir()
    assert encode(whole, tmp_path / "out") == {"file": str(tmp_path / "x.npy")}
    assert "array" in encode(whole[1:], tmp_path / "out")
    assert np.array_equal(round_trip(whole, tmp_path / "out", files=True), whole)


@pytest.mark.parametrize("value", [object(), {1: 2}, np.array([object()]), {"f": print}, {1, 2}])
def test_what_is_no_plain_value_is_refused(tmp_path, value):
    with pytest.raises(ContractError):
        encode(value, tmp_path)


@pytest.mark.parametrize(
    "tree",
    [
        {"file": "/etc/passwd"},
        {"path": "/etc"},
        {"array": "../../x.npy"},
        {"array": "7.npy"},
        {"a": 1, "b": 2},
        {"call": 1},
    ],
)
def test_what_a_plugin_may_not_send_is_refused(tmp_path, tree):
    with pytest.raises(ContractError):
        decode(tree, tmp_path)


def test_a_pickled_array_is_not_opened(tmp_path):
    np.save(tmp_path / "0.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(ContractError):
        decode({"array": "0.npy"}, tmp_path)


@pytest.fixture
def isolated(tmp_path):
    """isolated(kind) writes the scaffold of a kind and gives its stand-in class."""
    classes = []

    def load(kind: str):
        folder, _ = write_package(f"vibro-my-{kind}", kind, tmp_path)
        host = PluginHost.create(autoload=False, environ={})
        file = folder / "src" / f"vibro_my_{kind}.py"
        (cls,) = host.register_module(f"my_{kind}", load_isolated(f"my_{kind}", file.stem, file=file, limits=LIMITS))
        classes.append(cls)
        assert file.stem not in sys.modules
        return cls

    yield load
    for cls in classes:
        cls.worker.close()


@pytest.mark.parametrize("kind", ("detector", "feature", "fuser", "thresholder", "classifier", "metric"))
def test_stand_ins_pass_the_kit(isolated, kind):
    cls = isolated(kind)
    outcomes = run_checks(cls, only=lambda name: name not in OF_THE_REAL_CLASS)
    assert [(o.name, o.detail) for o in outcomes if not o.ok] == []


def test_a_reader_reads_in_its_process(isolated, tmp_path):
    path = tmp_path / "a.my_reader"
    path.write_text("s 1 2 3\nt 4 five\n")
    record, rejected = isolated("reader").make({}, Context()).read(path)
    assert record.signal.tolist() == [[1.0, 2.0, 3.0]]
    assert rejected.code == "Q006"


def test_settings_are_checked_without_the_plugin(isolated):
    cls = isolated("detector")
    assert cls.Params().k == 5
    with pytest.raises(ConfigError, match="k: Input should be less than or equal to 1000"):
        cls.make({"k": 5000}, None)
    with pytest.raises(ConfigError, match="did you mean k"):
        cls.make({"kk": 5}, None)


def test_a_stand_in_travels_to_a_worker_process(isolated):
    cls = isolated("detector")
    params = check_settings(cls.Params, {}, "test")
    again, settings = pickle.loads(pickle.dumps((cls, params)))
    assert dataclasses.asdict(settings) == dataclasses.asdict(params)
    assert (again.kind, again.name, again.view) == (cls.kind, cls.name, cls.view)
    again.worker.close()


def host_with(tmp_path: Path, table: str, **options) -> PluginHost:
    (tmp_path / "registry.toml").write_text(table)

    def isolate(name, module, file):
        return load_isolated(name, module, file=file, limits=Limits(import_seconds=3.0), cache=tmp_path / "cache")

    return PluginHost.create(overlay=tmp_path / "registry.toml", environ={}, isolate=isolate, **options)


@pytest.mark.parametrize(("trusted", "inside"), [("false", False), ("true", True)])
def test_only_a_trusted_plugin_is_imported_here(tmp_path, monkeypatch, trusted, inside):
    monkeypatch.syspath_prepend(tmp_path)
    module = f"counted_{trusted}"
    (tmp_path / f"{module}.py").write_text(COUNTER.format(log=str(tmp_path / "log"), extra=""))
    host = host_with(tmp_path, f'[plugins.zero]\nmodule = "{module}"\ntrusted = {trusted}\n')
    cls = host.component("thresholder", "zero")
    assert (module in sys.modules) is inside
    assert cls.make({}, Context()).cut(np.arange(3.0), 0.1) == 0.0
    if not inside:
        cls.worker.close()


@pytest.mark.parametrize("extra", ["", "time.sleep(60)", "1 / 0", "import os; os._exit(0)"])
def test_an_import_costs_once(tmp_path, monkeypatch, extra):
    monkeypatch.syspath_prepend(tmp_path)
    file = tmp_path / "counted_once.py"
    file.write_text(COUNTER.format(log=str(tmp_path / "log"), extra=extra))
    reasons = []
    for _ in range(3):
        host = host_with(tmp_path, '[plugins.zero]\nmodule = "counted_once"\n')
        assert ("zero" in host.names("thresholder")) is (extra == "")
        reasons.append((host.plugins["zero"].state, host.plugins["zero"].reason))
    assert (tmp_path / "log").read_text() == "x"
    assert len(set(reasons)) == 1
    assert reasons[0][0] == ("broken" if extra else "on")
    file.write_text(file.read_text() + "\n# edited\n")
    host_with(tmp_path, '[plugins.zero]\nmodule = "counted_once"\n').names("thresholder")
    assert (tmp_path / "log").read_text() == "xx"


def test_a_process_ends_when_nobody_asks(isolated, monkeypatch):
    from vibro.host.isolation import worker

    monkeypatch.setattr(worker, "IDLE", 0.3)
    cls = isolated("thresholder")
    thresholder = cls.make({}, Context())
    first = thresholder.cut(np.arange(50.0), 0.1)
    pid = cls.worker._process.pid
    end = time.monotonic() + 10
    while Path(f"/proc/{pid}").exists() and time.monotonic() < end:
        time.sleep(0.05)
    assert not Path(f"/proc/{pid}").exists()
    assert thresholder.cut(np.arange(50.0), 0.1) == first


def test_a_process_that_died_is_started_again(isolated):
    cls = isolated("detector")
    x = np.random.default_rng(0).standard_normal((40, 6)).astype(np.float32)
    detector = cls.make({}, Context())
    detector.fit(x)
    scores = detector.score(x)
    os.kill(cls.worker._process.pid, 9)
    time.sleep(0.3)
    assert np.array_equal(detector.score(x), scores)


def test_groups_of_rows_and_disturbed_copies_reach_the_process(tmp_path):
    (tmp_path / "grouped.py").write_text(
        """
from vibro import hookimpl
from vibro.api import Detector
class Grouped(Detector):
    "Keeps the groups it was told."
    name = "grouped"
    wants_disturbed = True
    def fit(self, x, y=None):
        self.groups, self.copies = self.ctx.groups, self.ctx.disturbed
    def score(self, x):
        return x[:, 0] * 0.0
    def state(self):
        return {"groups": self.groups, "x": self.copies.x, "row": self.copies.row}
@hookimpl
def register_detectors(register):
    register(Grouped)
"""
    )
    host = PluginHost.create(autoload=False, environ={})
    module = load_isolated("grouped", "grouped", file=tmp_path / "grouped.py", limits=LIMITS)
    (cls,) = host.register_module("grouped", module)
    groups = np.array([3, 3, 1, 0])
    assert cls.wants_disturbed
    copies = Disturbed(np.ones((2, 2), np.float32), np.array([3, 1]))
    detector = cls.make({}, Context(groups=groups, disturbed=copies))
    detector.fit(np.zeros((4, 2), np.float32))
    assert np.array_equal(detector.state()["groups"], groups)
    assert np.array_equal(detector.state()["x"], copies.x) and np.array_equal(detector.state()["row"], copies.row)
    cls.worker.close()


def test_limits_come_from_the_environment():
    limits = Limits.read({"VIBRO_PLUGIN_SECONDS": "2.5", "VIBRO_PLUGIN_MEMORY": "1000000"})
    assert (limits.seconds, limits.memory) == (2.5, 1_000_000)
    with pytest.raises(ConfigError, match="VIBRO_PLUGIN_SECONDS"):
        Limits.read({"VIBRO_PLUGIN_SECONDS": "soon"})


def test_a_hanging_import_is_cut(tmp_path):
    path = tmp_path / "sleeper.py"
    path.write_text("import time; time.sleep(60)")
    start = time.monotonic()
    with pytest.raises(PluginTimeoutError, match="sleeper"):
        load_isolated("sleeper", "sleeper", file=path, limits=Limits(import_seconds=1.0))
    assert time.monotonic() - start < 6


def test_what_a_dying_plugin_printed_last_is_told(tmp_path):
    path = tmp_path / "talker.py"
    path.write_text("import os\nprint('out of luck', flush=True)\nos._exit(4)")
    with pytest.raises(PluginError, match=r"exit code 4.*out of luck"):
        load_isolated("talker", "talker", file=path, limits=LIMITS)
