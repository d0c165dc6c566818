"""Fixtures for authors of plugins. pytest imports this module at its start, so it imports nothing of vibro by itself."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.fixture
def vibro_host() -> Any:
    """A clean host: bundled plugins only, no overlay, no environment; add yours with ``register_module``."""
    from vibro.host.manager import PluginHost

    return PluginHost.create(autoload=False, environ={})


@pytest.fixture
def vibro_signals() -> Any:
    """``vibro_signals("f")``: easy rows in the shape of an item pattern, with labels (vibro.testing.signals.easy)."""
    from vibro.testing.signals import easy

    return easy


@pytest.fixture
def vibro_run(vibro_host: Any) -> Any:
    """``vibro_run(table)``: fits and scores an ensemble table on 120 easy records of three sensors.

    Returns ``(batch, fitted, matrix, verdict)``; the last 20 records are anomalous. ``table`` is what stands under
    ``[ensembles.NAME]`` in a registry; what it leaves out comes from the ensemble ``quick``.
    """

    def run(table: dict[str, Any], seed: int = 0) -> Any:
        import numpy as np

        from vibro.context import Context
        from vibro.core.engine import Engine
        from vibro.core.folds import make_rows
        from vibro.core.planning import make_plan
        from vibro.data import make_batch
        from vibro.injection.fit import fit_ensemble
        from vibro.testing.signals import FS, records

        kind = (np.arange(120) >= 100).astype(np.int16)
        x = records(kind, np.random.default_rng([seed, 7]))
        batch = make_batch(x, fs=FS, sensor=[f"s{i % 3}" for i in range(120)])
        plan = make_plan(vibro_host, "test", {**vibro_host.registry.ensemble("quick"), **table})
        engine = Engine(vibro_host, Context(seed=seed, fs=FS))
        fitted, _, matrix = fit_ensemble(engine, plan, batch, make_rows(batch))
        return batch, fitted, matrix, engine.decide(fitted, matrix, batch)

    return run
