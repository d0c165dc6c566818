"""Statistics of a row of samples."""

from __future__ import annotations

import numpy as np
import pytest

from vibro_plugins.dsp.statistics import determinism


def test_determinism_of_periodic_and_random_rows():
    rng = np.random.default_rng(0)
    periodic = np.sin(2 * np.pi * 8 * np.arange(256) / 256)
    rows = np.stack([periodic, rng.standard_normal(256), np.zeros(256)])
    sure, random, constant = determinism(rows, 256)
    assert sure > 0.6 and random < 0.3 and constant == 1  # where both slopes of a sine cross they recur alone
    # share of points with a neighbour on their diagonal, the slow way
    y = rows[1] - rows[1].mean()
    near = np.abs(y[:, None] - y[None]) <= 0.1 * y.std()
    n = len(y)
    found = alone = 0
    for i in range(n):
        for j in range(i + 1, n):
            if near[i, j] and j - i < n - 1:
                found += 1
                alone += not (i > 0 and near[i - 1, j - 1]) and not (j + 1 < n and near[i + 1, j + 1])
    assert determinism(y[None], 256)[0] == pytest.approx(1 - alone / found)
