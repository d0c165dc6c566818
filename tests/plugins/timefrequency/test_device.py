"""Time-frequency maps on a torch device."""

from __future__ import annotations

import numpy as np
import pytest
import pywt

from vibro_plugins.dsp.reference_level import unit_records
from vibro_plugins.timefrequency import device
from vibro_plugins.timefrequency.bank import FLOOR
from vibro_plugins.timefrequency.classic import classic_bank, column_means
from vibro_plugins.timefrequency.morlet import log_frequencies, morlet_bank, pooled_power
from vibro_plugins.timefrequency.resize import adaptive_weights, area_weights, banded

from ..signals import waves


def decibels(power):
    return np.maximum(10 * np.log10(np.maximum(power, 1e-30)), FLOOR)


def correlation(a, b):
    return np.corrcoef(np.ravel(a), np.ravel(b))[0, 1]


@pytest.mark.parametrize("samples", [8192, 1009, 140])
def test_a_torch_device_gives_the_same_maps(samples):
    """The route of a GPU, made to run on the CPU."""
    x = waves(samples, 4096.0)[:, 0]
    unit = unit_records(x[:, None])[0][:, 0]
    bank = morlet_bank(samples, 32, log_frequencies(4096.0, samples) / 4096)
    here, there = pooled_power(bank, unit), device.power_on("cpu", bank, unit)
    np.testing.assert_allclose(decibels(there), decibels(here), atol=0.02)
    classic = classic_bank(samples, 32, "area")
    here, there = column_means(classic, x), device.means_on("cpu", classic, x)
    for a, b, record in zip(here, there, x, strict=True):
        assert correlation(a, b) >= 0.999
        magnitude = np.abs(pywt.cwt(record.astype(np.float64), np.arange(1, 129), "morl", method="fft")[0])
        np.testing.assert_allclose(b, magnitude @ adaptive_weights(samples, 32).T, atol=1e-4 * magnitude.max())
    windows = np.hanning(64).astype(np.float32), 8, banded(area_weights((samples - 64) // 8 + 1, 16))
    power = np.abs(np.fft.rfft(np.lib.stride_tricks.sliding_window_view(x, 64, axis=1)[:, ::8] * windows[0])) ** 2
    want = area_weights(33, 16) @ power.swapaxes(1, 2) @ area_weights((samples - 64) // 8 + 1, 16).T
    got = device.stft_on("cpu", x, *windows, banded(area_weights(33, 16)))
    np.testing.assert_allclose(got, want, rtol=1e-3, atol=1e-5 * want.max())
