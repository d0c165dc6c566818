"""A folder with toy recordings, their labels, a suite and a plugin."""

from __future__ import annotations

import textwrap

import numpy as np
import pytest

from .toys import PLUGIN


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with toy recordings of two machines, their labels, a suite and a plugin."""
    rng = np.random.default_rng(0)
    n = 160
    label = np.zeros(n, np.int8)
    label[[5, 6, 45, 46, 85, 86, 125, 126]] = 1
    signals = rng.standard_normal((n, 64)).astype(np.float32) * np.where(label, 2.0, 1.0)[:, None].astype(np.float32)
    machine = np.array([f"m{i // 40}" for i in range(n)])
    np.savez(
        tmp_path / "toy.npz",
        signals=signals,
        fs=100.0,
        label=label,
        sensor_id=machine,
        machine_id=machine,
        source_file=np.array([f"r{i // 20}" for i in range(n)]),
        fault_type=np.where(label, "loud", "normal"),
    )
    rows = "\n".join(f"toy.npz,{i},{label[i]},loud" for i in range(n))
    (tmp_path / "labels.csv").write_text(f"source,row,label,fault_type\n{rows}\n")
    (tmp_path / "toy.py").write_text(PLUGIN.replace("ODD", "2"))
    (tmp_path / "toy_ensemble.toml").write_text(
        textwrap.dedent(
            """
            detectors = [{ use = "toy_level" }, { use = "toy_peak" }]
            fuser = { use = "weighted_mean" }
            """
        )
    )
    (tmp_path / "suite.toml").write_text(
        textwrap.dedent(
            """
            summary = "toys"
            ensembles = ["toy_ensemble.toml"]
            plugins = ["toy.py"]
            fusers = ["weighted_mean", "auto"]
            seeds = 2
            [[sets]]
            name = "toy"
            path = "toy.npz"
            """
        )
    )
    monkeypatch.setenv("VIBRO_TEST_DATA", str(tmp_path))
    monkeypatch.setenv("VIBRO_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.delenv("VIBRO_REGISTRY", raising=False)
    return tmp_path
