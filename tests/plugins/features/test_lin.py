"""lin: power in bands of equal width."""

from __future__ import annotations

import numpy as np
import pytest

from vibro.api import Context
from vibro_plugins.features.lin import Lin


def lin(x, **settings):
    return Lin.make(settings, Context(fs=1000.0)).transform({"raw": np.asarray(x, np.float32).reshape(len(x), 1, -1)})


def test_a_tone_is_in_its_band_and_a_gain_shifts_all_bands_alike():
    noise = np.random.default_rng(0).standard_normal((1, 4096))
    tone = noise + 5 * np.sin(2 * np.pi * 0.375 * np.arange(4096))
    found = lin(np.concatenate([noise, tone, 8 * noise]))
    assert found.shape == (3, 128) and np.argmax(found[1] - found[0]) == pytest.approx(96, abs=1)
    np.testing.assert_allclose(found[2] - found[0], 2 * np.log10(8), atol=1e-5)


@pytest.mark.parametrize(("length", "bands"), [(140, 70), (512, 128), (16, 8), (2, 1), (1, 1)])
def test_a_record_of_any_length_has_bands(length, bands):
    found = lin(np.random.default_rng(1).standard_normal((4, length)))
    assert found.shape == (4, bands) and np.isfinite(found).all()


def test_bands_far_below_the_others_stand_at_a_floor():
    x = np.sin(2 * np.pi * 0.1 * np.arange(4096))[None] + 1e-3 * np.random.default_rng(2).standard_normal((1, 4096))
    spectrum = np.fft.rfft(x)
    spectrum[:, 1500:] = 0
    found = lin(np.fft.irfft(spectrum))
    assert found.min() >= np.median(found) - 6.01 and np.isfinite(lin(np.zeros((2, 64)))).all()
