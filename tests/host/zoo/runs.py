"""What the tests of the zoo share: limits, sound detectors, runs, and the processes that plugins left."""

from __future__ import annotations

import os
from pathlib import Path

from vibro.context import Context
from vibro.core.engine import Engine
from vibro.core.folds import make_rows
from vibro.core.planning import make_plan
from vibro.host.isolation.limits import Limits
from vibro.host.isolation.worker import MARK
from vibro.host.manager import PluginHost
from vibro.injection.fit import fit_ensemble
from vibro.testing.signals import FS

LIMITS = Limits(seconds=3.0, import_seconds=8.0, memory=8 << 30, file=100 << 20, open_files=256)


GOOD = [
    {"use": "mahalanobis", "view": "spectrum"},
    {"use": "pyod", "id": "ecod", "model": "ECOD", "view": "spectrum"},
    {"use": "pyod", "id": "knn", "model": "KNN", "view": "spectrum"},
]


OURS = "VIBRO_TESTS"  # tells these processes from those of tests that run beside
os.environ[OURS] = str(os.getpid())


def marked() -> list[int]:
    """Processes that were started for a plugin by these tests and still live."""
    found, mine = [], f"{OURS}={os.environ[OURS]}".encode()
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            environ = (entry / "environ").read_bytes().split(b"\0")
            if mine in environ and any(line.startswith(MARK.encode()) for line in environ):
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def run(host: PluginHost, batch, detectors):
    table = {
        "detectors": detectors,
        "fuser": {"use": "weighted_mean"},
        "thresholder": {"use": "quantile"},
        "calibration": {"method": "robust"},
        "quorum": 0.5,
    }
    engine = Engine(host, Context(seed=3, fs=FS))
    fitted, _, matrix = fit_ensemble(engine, make_plan(host, "zoo", table), batch, make_rows(batch))
    return fitted, matrix, engine.decide(fitted, matrix, batch)


def new_host() -> PluginHost:
    return PluginHost.create(autoload=False, environ={})
