"""The comb of a supply: its fundamental and its family."""

from __future__ import annotations

import numpy as np
import pytest

from vibro_plugins.dsp.harmonics import Comb, find_family
from vibro_plugins.dsp.spectrum import scaled, welch

from ..signals import FS, comb


@pytest.mark.parametrize("f0", [49.6, 49.93, 50.0, 50.07, 50.44])
def test_fundamental_is_found_between_bins(f0):
    x = comb(f0, {2: 1.0, 4: 0.5, 6: 0.3, 8: 0.2, 14: 0.1, 3: 0.05})[None]
    power = welch(scaled(x).y, FS, FS)
    assert Comb(50, FS, FS).fundamental(power) == pytest.approx([f0], abs=0.01)


@pytest.mark.parametrize("family", [50.0, 60.0])
def test_family_is_found_and_noise_has_none(family):
    lines = {n: 1 / n for n in range(2, 20, 2)}
    x = np.stack([comb(family + d, lines, seed=i) for i, d in enumerate((-0.1, 0.0, 0.1, 0.2))])
    assert find_family(welch(scaled(x).y, FS, FS), FS, FS) == family
    noise = np.random.default_rng(1).standard_normal((20, FS))
    assert find_family(welch(scaled(noise).y, FS, FS), FS, FS) == 0
