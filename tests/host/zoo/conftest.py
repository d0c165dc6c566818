"""Records, and what the sound detectors alone make of them."""

from __future__ import annotations

import numpy as np
import pytest

from vibro.data import make_batch
from vibro.testing.signals import FS, records

from .runs import GOOD, new_host, run


@pytest.fixture(scope="module")
def batch():
    kind = (np.arange(80) >= 70).astype(np.int16)
    return make_batch(records(kind, np.random.default_rng(0), samples=512), fs=FS)


@pytest.fixture(scope="module")
def calm(batch):
    """Raw scores and verdict of the good detectors alone."""
    return run(new_host(), batch, GOOD)
