"""Rows that several networks are tried on."""

from __future__ import annotations

import numpy as np
import pytest


@pytest.fixture(scope="session")
def many_modes():
    """(240, 192) rows of 40 modes, of which four principal axes explain next to nothing."""
    rng = np.random.default_rng(0)
    x = 10 * rng.standard_normal((240, 40)) @ np.linalg.qr(rng.standard_normal((192, 40)))[0].T
    x = (x + 0.05 * rng.standard_normal(x.shape)).astype(np.float32)
    x.setflags(write=False)
    return x
