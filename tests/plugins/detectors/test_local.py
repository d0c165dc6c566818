"""local: residuals from the nearest records, so that operating modes far apart are each their own norm."""

from __future__ import annotations

import numpy as np
import pytest

from vibro.api import Context, NotApplicableError, NotFittedError
from vibro_plugins.detectors.local import Local


def modes(n, seed):
    """Rows of two modes, one ten times as far from the origin, with the same scatter about each."""
    rng = np.random.default_rng(seed)
    return (rng.standard_normal((n, 8)) * 0.1 + np.where(np.arange(n)[:, None] % 2, 10.0, 1.0)).astype(np.float32)


def test_a_fault_within_a_mode_is_found_though_modes_lie_far_apart():
    detector = Local.make({}, Context())
    detector.fit(modes(200, 0))
    calm, bad = modes(60, 1), modes(60, 2)
    bad[:, 3] += 0.8
    assert np.quantile(detector.score(bad), 0.1) > np.quantile(detector.score(calm), 0.95)


def test_what_cannot_be_learned_is_said():
    with pytest.raises(NotApplicableError, match="constant"):
        Local.make({}, Context()).fit(np.ones((30, 3), np.float32))
    with pytest.raises(NotFittedError):
        Local.make({}, Context()).score(modes(4, 0))
