"""Shared fixtures: real recordings by others, found through VIBRO_TEST_DATA, and the count of tests that lacked them."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def test_data() -> Path:
    """Folder of real labelled recordings; the test skips with a stated reason where it is not there."""
    folder = os.environ.get("VIBRO_TEST_DATA", "")
    if not folder or not Path(folder).is_dir():
        pytest.skip("VIBRO_TEST_DATA does not name a folder with the real recordings")
    return Path(folder)


@pytest.fixture(scope="session")
def real(test_data):
    """real("adi_motor") -> dict of the arrays of that set; skips if the set is missing."""

    def load(name: str) -> dict[str, np.ndarray]:
        path = test_data / name / f"{name}.npz"
        if not path.exists():
            pytest.skip(f"{name}.npz is not in VIBRO_TEST_DATA")
        with np.load(path, allow_pickle=False) as arrays:
            return {key: arrays[key] for key in arrays.files}

    return load


def pytest_terminal_summary(terminalreporter) -> None:
    skipped = len(terminalreporter.stats.get("skipped", []))
    terminalreporter.write_line(f"{skipped} tests skipped (reasons above)")
