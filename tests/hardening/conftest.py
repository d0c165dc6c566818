"""One small finished run, made once, and copies of it for tests that damage it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from .made import ensemble_run, save_pool


@pytest.fixture(scope="session")
def finished(tmp_path_factory) -> Path:
    """A finished run of two detectors on ``pool.npz`` beside it; not to be changed."""
    folder = tmp_path_factory.mktemp("finished")
    save_pool(folder / "pool.npz")
    out = folder / "run"
    assert ensemble_run(folder / "pool.npz", out) == 0
    return out


@pytest.fixture
def copy(finished, tmp_path) -> Path:
    """A copy of the finished run that a test may damage."""
    return Path(shutil.copytree(finished, tmp_path / "run"))
