"""The usual level of each sensor."""

from __future__ import annotations

import numpy as np
import pytest

from vibro_plugins.dsp.reference_level import fit_sigma, sigma_of


def test_sigma_is_the_median_rms_of_sound_records():
    x = np.array([1, 1, 100, 0, 7, 9], np.float32)[:, None, None] * np.array([1, -1] * 20, np.float32)
    table = fit_sigma(x, np.array([0, 0, 0, 0, 2, -1]))
    assert table[:, 0] == pytest.approx([1, 7, 7, 7])  # sensor 1 was never seen; the pool is the last row
    assert sigma_of(table, np.array([2, -1, 5]))[:, 0] == pytest.approx([7, 7, 7])
