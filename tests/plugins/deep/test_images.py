"""Images in units of each line."""

from __future__ import annotations

import numpy as np
import pytest

from vibro_plugins.deep.images import Pixels


def test_what_fills_a_picture_up_has_no_part_in_the_spread_of_its_line():
    x = np.random.default_rng(0).standard_normal((200, 1, 4, 40)).astype(np.float32)
    x[:, :, 2, 1:] = x[:, :, 3] = 0
    z = Pixels.fit(x).apply(x)
    assert z[:, 0, 2, 0].std() == pytest.approx(1, rel=0.15) == z[:, 0, 0].std()
    assert (z[:, :, 2, 1:] == 0).all() and (z[:, :, 3] == 0).all()
