"""Every check for a detector passes a sound one and has been seen to fail a wrong one."""

from __future__ import annotations

import importlib
import os
import random
import signal
import subprocess
import sys
import threading
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pytest
from pydantic import Field

from vibro.api import Context, Detector, Exported, NotFittedError, Params
from vibro.errors import ConfigError
from vibro.testing import run_check, run_checks
from vibro.testing.runner import case_for, checks
from vibro_plugins.portable import fusing

HOARD: list[Any] = []  # what careless detectors leave behind in the process


class Distance(Detector):
    """Distance to the mean of the fit rows, each column in units of its spread."""

    @dataclass(frozen=True)
    class Params(Params):
        """Settings."""

        power: Annotated[float, Field(gt=0, le=4)] = 2.0
        steps: int = 3

    name = "distance"
    item = "f"
    test_settings = {"steps": 2}

    def fit(self, x, y=None):
        for step in range(self.params.steps):
            self.ctx.progress(step + 1, self.params.steps)
        self.mean = x.mean(axis=0, dtype=np.float64)
        self.sd = x.std(axis=0, dtype=np.float64) + 1e-9

    def score(self, x):
        if not hasattr(self, "mean"):
            raise NotFittedError("fit first")
        if x.shape[1:] != self.mean.shape:
            raise ValueError("another number of columns")
        return self.attribution(x).mean(axis=1)

    def attribution(self, x):
        return np.abs((x.astype(np.float64) - self.mean) / self.sd) ** self.params.power

    def state(self):
        if not hasattr(self, "mean"):
            raise NotFittedError("fit first")
        return {"mean": self.mean, "sd": self.sd}

    def load_state(self, state):
        self.mean, self.sd = state["mean"], state["sd"]

    def health(self):
        return {"columns": float(len(self.mean))}


WRONG: list[tuple[str, type[Detector]]] = []


def wrong(check: str):
    """Files a class as one that must fail this check."""

    def note(cls):
        WRONG.append((check, cls))
        return cls

    return note


def but(check: str, **changes: Any) -> None:
    """Files a copy of the sound detector with these attributes changed."""
    wrong(check)(type(Distance.__name__, (Distance,), {"__doc__": "Wrong.", **changes}))


def around(check: str, method: str, before=lambda self, x: None, after=lambda self, x, result: result) -> None:
    """Files a detector that does something before or after a sound method."""

    def changed(self, x, *rest):
        before(self, x)
        return after(self, x, getattr(Distance, method)(self, x, *rest))

    but(check, **{method: changed})


but("check_export", export=lambda self: Exported({}, fusing.largest))  # another rule
but("check_export", export=lambda self: Exported({}, lambda arrays, x: x.max(axis=1)))  # of no module's own level
but("check_export", export=lambda self: Exported({"mean": np.array(["a"])}, fusing.largest))  # no numbers
but("check_export", export=lambda self: Exported({}))
but("check_export", export=lambda self: {})


# --- names, settings, constructor -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class NeedsValue(Params):
    power: float
    steps: int = 3


@dataclass
class Thawed:
    power: float = 2.0
    steps: int = 3


@dataclass(frozen=True)
class NotPlain(Params):
    power: float = 2.0
    steps: int = 3
    extra: set = field(default_factory=lambda: {1})


class Lenient(Distance):
    """Takes any setting."""

    @classmethod
    def make(cls, settings, ctx, *, where=""):
        known = {k: v for k, v in settings.items() if k in ("power", "steps")}
        return cls(cls.Params(**known), ctx)


def build_early(self, params, ctx):
    Detector.__init__(self, params, ctx)
    self.table = np.zeros(1000)


def replace_context(self, params, ctx):
    Detector.__init__(self, params, Context())


but("check_name", name="Distance!")
but("check_description", __doc__="")
but("check_description", summary="two\nlines")
but("check_contract", api=99)
but("check_contract", kind="fuser")
but("check_signatures", fit=lambda self, x: None)
but("check_importable")
but("check_requires", requires=("no_such_module_anywhere",))
but("check_settings_frozen", Params=Thawed)
but("check_settings_default", Params=NeedsValue)
but("check_settings_plain", Params=NotPlain, test_settings={})
wrong("check_settings_unknown")(Lenient)
wrong("check_settings_bounds")(Lenient)
but("check_test_settings", test_settings={"power": -1.0})
but("check_constructor_cheap", __init__=build_early)
but("check_constructor_cheap", __init__=replace_context)
around("check_settings_untouched", "fit", lambda self, x: object.__setattr__(self.params, "steps", 9))
around("check_settings_untouched", "fit", lambda self, x: setattr(type(self), "item", f"{len(type(self).item)} f"))

# --- shape and independence of the rows -------------------------------------------------------------------------------

around("check_scores_shape", "score", after=lambda self, x, s: s[:, None])
around("check_scores_shape", "score", after=lambda self, x, s: list(s))
around("check_scores_shape", "score", after=lambda self, x, s: None)
around("check_scores_dtype", "score", after=lambda self, x, s: s.astype(np.float32))
around("check_scores_dtype", "score", after=lambda self, x, s: s.astype(complex))
around("check_scores_finite", "score", after=lambda self, x, s: np.where(np.arange(len(s)) == 3, np.nan, s))
around("check_one_row", "score", after=lambda self, x, s: s - s.mean())
around("check_batches", "score", after=lambda self, x, s: s / s.max())
around("check_row_order", "score", after=lambda self, x, s: s + 0.01 * np.arange(len(s)))
around("check_neighbours", "score", after=lambda self, x, s: (s[:, None] >= s).mean(axis=1))
around("check_copies", "score", after=lambda self, x, s: s + np.linspace(0, 1, len(s)))
around("check_read_only_memmap", "score", before=lambda self, x: x.__setitem__((0, 0), x[0, 0]))
around("check_input_unchanged", "fit", after=lambda self, x, s: x.fill(0))
around("check_input_unchanged", "score", after=lambda self, x, s: (x.sort(axis=1), s)[1])
around("check_scores_are_own", "score", after=lambda self, x, s: _shared_buffer(self, s))
but("check_bad_shape", score=lambda self, x: np.abs(x - self.mean.mean()).mean(axis=1))


def _shared_buffer(self, scores):
    if getattr(self, "buffer", np.zeros(0)).shape != scores.shape:
        self.buffer = np.zeros(len(scores))
    self.buffer[:] = scores
    return self.buffer


class KeepsInput(Distance):
    """Scores against the very array it was given."""

    def score(self, x):
        return np.abs(x - self.given.mean(axis=0, dtype=np.float64)).mean(axis=1)

    def fit(self, x, y=None):
        super().fit(x)
        self.given = x


wrong("check_keeps_no_input")(KeepsInput)

# --- memory -----------------------------------------------------------------------------------------------------------


class Shaken(Distance):
    """Adds noise of its own at fit: ``shake`` says from where."""

    def shake(self) -> float:
        return 0.0

    def fit(self, x, y=None):
        super().fit(x)
        self.mean = self.mean + self.shake()


class Remembers(Distance):
    """Goes on from what it knew."""

    def fit(self, x, y=None):
        old = getattr(self, "mean", None)
        super().fit(x)
        self.mean = self.mean if old is None else 0.5 * (self.mean + old)


class OtherProcess(Shaken):
    """Depends on the process."""

    def shake(self):
        return os.getpid() * 1e-6


class HalfState(Distance):
    """Leaves half of what it knows in the module."""

    def fit(self, x, y=None):
        super().fit(x)
        HOARD[:] = [self.mean]

    def state(self):
        return {"sd": super().state()["sd"]}

    def load_state(self, state):
        self.mean = HOARD[0] if HOARD else np.zeros(len(state["sd"]))
        self.sd = state["sd"]


but("check_unfitted_refuses", state=lambda self: {"mean": np.zeros(3)})
around("check_unfitted_refuses", "score", before=lambda self, x: hasattr(self, "mean") or self.fit(x))
wrong("check_same_seed")(type("Unsteady", (Shaken,), {"shake": lambda self: float(os.urandom(1)[0]) + 1e-3 * id(self)}))
but("check_other_seed", deterministic=False)
around("check_answer_repeatable", "score", after=lambda self, x, s: (setattr(self, "sd", self.sd * 1.01), s)[1])
wrong("check_refit_forgets")(Remembers)
but("check_state_plain", state=lambda self: {"mean": np.array([object()]), "sd": self.sd})
but("check_state_plain", state=lambda self: {"mean": self.mean.tolist(), "sd": self.sd})
but("check_state_enough", load_state=lambda self, state: Distance.load_state(self, {**state, "sd": state["sd"] + 1}))
wrong("check_fresh_process")(OtherProcess)
wrong("check_state_in_fresh_process")(HalfState)


class ReadsLabels(Distance):
    """Peeks at labels it did not ask for."""

    def fit(self, x, y=None):
        super().fit(x if y is None else x[y == 0])


wrong("check_labels_ignored")(ReadsLabels)

# --- sense ------------------------------------------------------------------------------------------------------------

around("check_larger_is_worse", "score", after=lambda self, x, s: -s)
around("check_distinct", "score", after=lambda self, x, s: np.round(s, 0))
around("check_loud_normals", "score", after=lambda self, x, s: s * (np.abs(x).mean(axis=1) < 6))
but("check_learns", score=lambda self, x: np.abs(x).astype(float).max(axis=1))
but("check_knows_its_own", score=lambda self, x: x.astype(float).mean(axis=1) + 1e-6 * self.mean[0])
but("check_health", health=lambda self: {"rank": float("nan")})
but("check_health", health=lambda self: {"failed": 1.0})
around("check_fit_constant_columns", "fit", after=lambda self, x, r: setattr(self, "sd", x.std(axis=0)))
around("check_fit_identical_rows", "fit", after=lambda self, x, r: setattr(self, "sd", x.std(axis=0)))
around("check_fit_repeated_rows", "fit", before=lambda self, x: _unlike(len(np.unique(x, axis=0)), len(x)))
around("check_fit_zeros", "fit", after=lambda self, x, r: setattr(self, "sd", np.abs(x).mean(axis=0)))
around("check_fit_two_rows", "fit", before=lambda self, x: np.linalg.inv(np.cov(x[:, :2].T)))
around("check_fit_one_row", "fit", before=lambda self, x: x[1])
around("check_odd_rows", "score", after=lambda self, x, s: s / np.ptp(x, axis=1))
around("check_attribution", "attribution", after=lambda self, x, parts: parts.mean(axis=1))
around("check_attribution", "attribution", after=lambda self, x, parts: np.where(parts > parts.mean(), np.nan, parts))
around("check_attribution", "attribution", after=lambda self, x, parts: parts - parts.mean(axis=0))
around("check_attribution", "attribution", after=lambda self, x, parts: parts + id(self) % 1009)


def _unlike(a: int, b: int) -> None:
    if a != b:
        raise ValueError("rows repeat")


# --- manners ----------------------------------------------------------------------------------------------------------

around("check_progress", "fit", before=lambda self, x: self.ctx.progress(5, 3))
around("check_progress", "fit", after=lambda self, x, r: self.ctx.progress(1, 3))
around("check_no_growth", "score", before=lambda self, x: HOARD.append(np.ones(4_000_000)))
around("check_numpy_random_state", "fit", before=lambda self, x: np.random.seed(1))
around("check_python_random_state", "score", before=lambda self, x: random.random())
around("check_torch_random_state", "fit", before=lambda self, x: torch().rand(1))
around("check_torch_defaults", "fit", before=lambda self, x: torch().set_grad_enabled(False))
around("check_warning_filters", "fit", before=lambda self, x: warnings.filterwarnings("error", "never said"))
around("check_numpy_settings", "fit", before=lambda self, x: np.seterr(over="raise"))
around("check_numpy_functions", "fit", before=lambda self, x: setattr(np, "median", np.mean))
around("check_environment", "fit", before=lambda self, x: os.environ.update(VIBRO_KIT_TEST="1"))
around("check_environment", "score", before=lambda self, x: os.chdir("/"))
around("check_signal_handlers", "fit", before=lambda self, x: signal.signal(signal.SIGUSR1, signal.SIG_IGN))
around("check_open_files", "score", before=lambda self, x: HOARD.append(open(os.devnull)))
around("check_files_left", "fit", before=lambda self, x: Path(f"left-{len(HOARD)}.tmp").touch() or HOARD.append(0))
around("check_processes", "fit", before=lambda self, x: HOARD.append(_child()))
around("check_processes", "fit", before=lambda self, x: _thread())
around("check_output", "fit", before=lambda self, x: print("epoch 1"))
around("check_output", "score", before=lambda self, x: os.write(2, b"from below\n"))


def torch():
    return importlib.import_module("torch")


def _pools(self, x):
    from threadpoolctl import threadpool_info, threadpool_limits

    threadpool_limits(threadpool_info()[0]["num_threads"] + 1)


around("check_thread_pools", "fit", before=_pools)


def _child():
    return subprocess.Popen([sys.executable, "-c", "import time; time.sleep(20)"])


def _thread():
    done = threading.Event()
    thread = threading.Thread(target=done.wait, args=(20,), daemon=True)
    HOARD.append(done)
    thread.start()


@pytest.fixture(autouse=True)
def tidy(tmp_path, monkeypatch):
    """Puts away what the wrong detectors leave behind."""
    from threadpoolctl import threadpool_info, threadpool_limits

    monkeypatch.chdir(tmp_path)
    pools = threadpool_info()
    yield
    threadpool_limits({pool["prefix"]: pool["num_threads"] for pool in pools})
    for item in HOARD:
        if isinstance(item, subprocess.Popen):
            item.kill()
            item.wait()
        elif isinstance(item, threading.Event):
            item.set()
        elif hasattr(item, "close"):
            item.close()
    HOARD.clear()


@pytest.fixture(scope="module")
def outcomes():
    return run_checks(Distance)


def test_sound_detector_passes(outcomes):
    assert [(o.name, o.detail) for o in outcomes if not o.ok] == []


def test_at_least_35_checks(outcomes):
    assert len(outcomes) >= 35
    assert all(o.clause.endswith(".") for o in outcomes)


@pytest.mark.parametrize(("check", "cls"), WRONG, ids=[f"{i}-{check}" for i, (check, _) in enumerate(WRONG)])
def test_wrong_detector_fails(check, cls):
    with pytest.raises(Exception) as caught:
        run_check(cls, check)
    assert not isinstance(caught.value, ConfigError) or check == "check_test_settings"


def test_every_check_has_been_seen_to_fail(outcomes):
    named = {check for check, _ in WRONG}
    known = {o.name for o in outcomes} | {"check_other_seed"}
    assert known - named == {"check_public_imports"}  # seen to fail in test_kit.py
    assert named - known == set()


def test_failure_shows_input_and_reproduces():
    negative = next(cls for check, cls in WRONG if check == "check_larger_is_worse")
    outcome = next(o for o in run_checks(negative, only=lambda n: n == "check_larger_is_worse"))
    assert outcome.status == "failed"
    assert "upside down" in outcome.detail
    assert "float32[60, 24]" in outcome.input or "easy('f', seed=0)" in outcome.input
    assert len(outcome.reproduce.splitlines()) == 2


def test_reproduction_runs():
    outcome = next(o for o in run_checks(KeepsInput, only=lambda n: n == "check_keeps_no_input"))
    lines = outcome.reproduce.replace(f"from {KeepsInput.__module__} import KeepsInput; ", "")
    with pytest.raises(AssertionError, match="scores changed with the array"):
        exec(lines, {"KeepsInput": KeepsInput})  # the lines that the report gives to an author


def test_expected_and_stale():
    only = {"check_keeps_no_input", "check_one_row"}
    reasons = dict.fromkeys(only, "a known weakness")
    found = {o.name: o for o in run_checks(KeepsInput, reasons, only=lambda n: n in only)}
    assert (found["check_keeps_no_input"].status, found["check_keeps_no_input"].ok) == ("expected", True)
    assert (found["check_one_row"].status, found["check_one_row"].ok) == ("stale", False)
    with pytest.raises(ConfigError, match="check_nothing"):
        run_checks(KeepsInput, {"check_nothing": "why not"})
    with pytest.raises(ConfigError, match="without a reason"):
        run_checks(KeepsInput, {"check_one_row": " "})


def test_one_check_hides_nothing_from_the_next():
    """A change that the first fit makes for good is still seen by the check that looks for it."""
    for name in ("check_numpy_random_state", "check_signal_handlers", "check_numpy_functions"):
        cls = next(cls for check, cls in WRONG if check == name)
        found = {o.name: o.status for o in run_checks(cls, only=lambda n: "process" not in n)}
        assert found[name] == "failed"


def test_checks_are_named_and_ordered():
    names = [name for name, _ in checks(case_for(Distance))]
    assert len(names) == len(set(names))
    assert names[0] == "check_name"
