"""Mains frequency and the share of its comb."""

from __future__ import annotations

import numpy as np
import pytest

from vibro_plugins.dsp.cycles import mains_comb
from vibro_plugins.dsp.reference_level import unit_records

from ..signals import FS, SAMPLES, mains, records


@pytest.mark.parametrize("nominal", [50.0, 60.0])
def test_mains_frequency_and_share(nominal):
    wanted = nominal + np.array([-0.4, -0.05, 0.0, 0.2])
    x = unit_records(records(*(mains(f, seed=i) for i, f in enumerate(wanted))))[0][:, 0]
    frequency, share, _, _ = mains_comb(x, FS, nominal)
    assert frequency == pytest.approx(wanted, abs=0.02)
    assert (share > 0.9).all()
    noise = np.random.default_rng(0).standard_normal((8, SAMPLES)).astype(np.float32)
    assert (mains_comb(noise, FS, nominal)[1] < 0.1).all()
    assert (mains_comb(x[:, :800], FS, nominal)[1] == 0).all()  # fewer than six cycles cannot show a comb
