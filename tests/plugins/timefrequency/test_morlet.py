"""Frequencies of a wavelet bank."""

from __future__ import annotations

import pytest

from vibro_plugins.timefrequency.morlet import log_frequencies


def test_frequencies_of_slow_and_short_records():
    assert log_frequencies(8192.0, 8192)[[0, -1]] == pytest.approx([3686.4, 25.0], rel=0.06)
    slow = log_frequencies(200.0, 4000)
    assert slow[0] == pytest.approx(90) and slow[0] / slow[-1] == pytest.approx(16, rel=0.06)
    short = log_frequencies(50000.0, 140)
    assert short[-1] >= 2 * 50000 / 140
