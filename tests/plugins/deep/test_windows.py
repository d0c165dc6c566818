"""Windows of a record."""

from __future__ import annotations

import numpy as np

from vibro_plugins.deep.windows import cut, put_back


def test_windows_cover_a_record_to_its_end():
    lines = np.arange(2 * 3 * 10, dtype=np.float32).reshape(2, 3, 10)
    assert cut(lines, 10, 4) is lines
    for length, hop, starts in (
        (4, 4, [0, 4, 6]),
        (5, 5, [0, 5]),
        (4, 3, [0, 3, 6]),
        (2, 7, [0, 7, 8]),
        (9, 20, [0, 1]),
    ):
        windows = cut(lines, length, hop).reshape(2, len(starts), 3, length)
        for k, start in enumerate(starts):
            assert np.array_equal(windows[:, k], lines[:, :, start : start + length])


def test_windows_go_back_to_their_places():
    lines = np.random.default_rng(0).standard_normal((2, 3, 10)).astype(np.float32)
    for length, hop in ((10, 4), (4, 4), (5, 5), (4, 3), (9, 20)):
        assert np.allclose(put_back(cut(lines, length, hop).astype(float), lines.shape, hop), lines)
