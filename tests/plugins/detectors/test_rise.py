"""rise: counts columns that go up."""

from __future__ import annotations

import numpy as np
import pytest

from vibro.api import Context, NotApplicableError, NotFittedError
from vibro_plugins.detectors.rise import Rise


def test_rise_counts_what_goes_up_and_stands_up_to_many_alike():
    rng = np.random.default_rng(10)
    x = rng.standard_normal((400, 12)).astype(np.float32)
    x[:60] = x[:60] * 0.1 + 2  # a fault that many records share
    x[60:80] -= 2
    detector = Rise.make({}, Context())
    detector.fit(x)
    score = detector.score(x)
    assert score[:60].min() > np.quantile(score[80:], 0.99) and score[60:80].max() < np.median(score[80:])
    again = Rise.make({}, Context())
    again.load_state(detector.state())
    np.testing.assert_array_equal(again.score(x[:3]), score[:3])
    huge = np.full((1, 12), 1e9, np.float32)
    assert detector.score(huge)[0] == 6.0
    with pytest.raises(NotFittedError):
        Rise.make({}, Context()).score(x)
    with pytest.raises(NotApplicableError):
        detector.fit(np.ones((10, 3), np.float32))
