"""Wavelet images against PyWavelets and against the same definition computed at every sample."""

from __future__ import annotations

import numpy as np
import pytest
import pywt
import torch

from vibro.context import Context
from vibro.errors import NotFittedError
from vibro_plugins.dsp.reference_level import fit_sigma, unit_records
from vibro_plugins.features.cwt_image import CwtImage
from vibro_plugins.features.hetero import Hetero
from vibro_plugins.timefrequency.bank import FLOOR, SIGMA
from vibro_plugins.timefrequency.morlet import log_frequencies
from vibro_plugins.timefrequency.resize import area_weights, point_weights

from ..signals import waves

RNG = np.random.default_rng(0)


def image(x, fs, sensor=None, **settings):
    extractor = CwtImage.make(settings, Context(fs=fs))
    sensor = np.zeros((len(x), 1), np.float32) if sensor is None else sensor
    inputs = {"raw": x, "sensor": sensor}
    extractor.fit(inputs)
    return extractor.transform(inputs)


def dense_power(record, frequencies, columns):
    """The definition: the wavelet's power at every sample, averaged over each column's stretch of time."""
    samples = len(record)
    length = 2 * samples
    bins = np.arange(length) / length
    spectrum = np.fft.fft(record, length)
    edges = np.arange(columns + 1) * samples / columns
    out = np.empty((len(frequencies), columns))
    for row, f in enumerate(frequencies):
        response = np.sqrt(2) * np.exp(-0.5 * ((bins - f) / (SIGMA * f)) ** 2) * np.sinc(bins)
        power = np.abs(np.fft.ifft(spectrum * response)[:samples]) ** 2
        total = np.interp(edges, np.arange(samples + 1), np.concatenate([[0], np.cumsum(power)]))
        out[row] = np.diff(total) * columns / samples
    return out


def decibels(power):
    return np.maximum(10 * np.log10(np.maximum(power, 1e-30)), FLOOR)


def correlation(a, b):
    return np.corrcoef(np.ravel(a), np.ravel(b))[0, 1]


@pytest.mark.parametrize(
    ("samples", "fs", "size"),
    [
        (8192, 8192.0, 64),
        (8192, 8192.0, 224),
        (2560, 25600.0, 64),
        (1000, 1000.0, 64),
        (198, 50000.0, 32),
        (140, 200.0, 32),
        (20000, 10000.0, 64),
        (1009, 1000.0, 48),
    ],
)
def test_v2_is_the_dense_definition_pooled(samples, fs, size):
    x = waves(samples, fs)
    unit, level = unit_records(x)
    frequencies = log_frequencies(fs, samples) / fs
    got = image(x, fs, size=size)
    sigma = fit_sigma(x, np.zeros(len(x)))[0, 0]
    low = size // 2
    for record, rms, picture in zip(unit[:, 0], level[:, 0], got[:, 0], strict=True):
        power = area_weights(len(frequencies), size) @ dense_power(record, frequencies, size)
        want = decibels(power * (rms / sigma) ** 2)
        assert correlation(picture, want) >= 0.999
        assert correlation(picture[low:], want[low:]) >= 0.998
        assert np.median(np.abs(picture - want)) < 0.2


def test_the_dense_definition_is_the_wavelet_of_pywavelets():
    """Away from nearly empty cells, where PyWavelets' tabulated wavelet leaks."""
    samples = 2048
    x = RNG.standard_normal(samples)
    frequencies = log_frequencies(8192.0, samples) / 8192
    scales = 1 / frequencies
    w = pywt.cwt(x, scales, "cmor1.5-1.0", precision=18)[0]
    want = (2 * np.abs(w) ** 2 / scales[:, None]).reshape(len(scales), 32, -1).mean(axis=2)
    assert correlation(decibels(dense_power(x, frequencies, 32)), decibels(want)) > 0.999


def test_levels_are_absolute_and_by_sensor():
    """A sine as strong as the sensor's usual signal reads 0 dB at its band, less the sinc of PyWavelets."""
    fs, samples = 8192.0, 8192
    frequency = log_frequencies(fs, samples)[40]
    sine = np.sin(2 * np.pi * frequency * np.arange(samples) / fs).astype(np.float32)
    x = np.stack([sine, sine, 10 * sine, 10 * sine, 3 * sine])[:, None]
    sensor = np.array([0, 0, 1, 1, -1], np.float32)[:, None]
    got = image(x, fs, sensor=sensor)[:, 0, :, 8:-8].max(axis=1).mean(axis=1)
    assert got[:4] == pytest.approx(20 * np.log10(np.sinc(frequency / fs)), abs=0.3)
    pool = np.median([1, 1, 10, 10, 3])
    assert got[4] - got[0] == pytest.approx(20 * np.log10(3 / pool), abs=0.3)


def test_shift_of_a_record_changes_little():
    """The classic picture of a record shifted by 7 samples correlates about 0.74 with the first; v2 must not care."""
    x = np.stack([waves(8300, 8192.0)[:, 0, s : s + 8192] for s in (0, 7)])
    a, b = (image(part[:, None], 8192.0) for part in x)
    assert min(correlation(p, q) for p, q in zip(a, b, strict=True)) > 0.99


def classic_reference(record, size, resize):
    magnitude = np.abs(pywt.cwt(record.astype(np.float64), np.arange(1, 129), "morl", method="fft")[0])
    if resize == "point":
        return point_weights(128, size) @ magnitude @ point_weights(len(record), size).T
    torch_image = torch.from_numpy(magnitude)[None, None]
    return torch.nn.functional.interpolate(torch_image, (size, size), mode="area")[0, 0].numpy()


@pytest.mark.parametrize("resize", ["area", "point"])
@pytest.mark.parametrize(
    ("samples", "size"), [(8192, 224), (8192, 64), (2560, 224), (1000, 64), (140, 224), (20000, 64)]
)
def test_classic_is_the_picture_of_pywavelets(samples, size, resize):
    x = waves(samples, 8192.0)
    got = image(x, 8192.0, size=size, layout="classic", resize=resize)
    chosen = range(len(x)) if samples <= 2560 else (1, 3)
    for i in chosen:
        want = classic_reference(x[i, 0], size, resize)
        assert correlation(got[i, 0], want) >= 0.999
        assert np.abs(got[i, 0] - want).mean() < 0.07 * want.mean()


@pytest.mark.parametrize("name", ["adi_motor", "mfpt", "cwru_0hp", "pronostia", "itsc_current"])
def test_images_of_real_records(real, name):
    data = real(name)
    fs, signals = float(data["fs"]), data["signals"]
    x = signals[np.linspace(0, len(signals) - 1, 3).astype(int)][:, None]
    classic = image(x, fs, size=224, layout="classic")
    unit, level = unit_records(x)
    frequencies = log_frequencies(fs, x.shape[-1]) / fs
    v2, sigma = image(x, fs), fit_sigma(x, np.zeros(len(x)))[0, 0]
    for i in range(len(x)):
        assert correlation(classic[i, 0], classic_reference(x[i, 0], 224, "area")) >= 0.999
        power = area_weights(len(frequencies), 64) @ dense_power(unit[i, 0], frequencies, 64)
        assert correlation(v2[i, 0], decibels(power * (level[i, 0] / sigma) ** 2)) >= 0.999


@pytest.mark.parametrize(
    ("cls", "layout"), [(CwtImage, "v2"), (CwtImage, "classic"), (Hetero, "v2"), (Hetero, "classic")]
)
def test_odd_records_stay_finite_and_alone(cls, layout):
    x = np.repeat(RNG.standard_normal((1, 2, 600)), 11, axis=0).astype(np.float32)
    x[1] = 0
    x[2] = 5
    x[3] = 1e30
    x[4] *= 1e30
    x[5] *= 1e-40
    x[6, :, 100] = 1e30
    x[7] = np.clip(x[7], -0.5, 0.5)
    x[8, :, 300:] = 0
    x[9, 0] += 1e6
    inputs = {"raw": x, "sensor": np.array([0, 0, 1, 1, 1, 0, 0, 1, 0, -1, 9], np.float32)[:, None]}
    extractor = cls.make({"layout": layout, "size": 24}, Context(fs=1000.0))
    extractor.fit(inputs)
    whole = extractor.transform(inputs)
    assert whole.dtype == np.float32 and np.isfinite(whole).all()
    alone = np.concatenate([extractor.transform({k: v[i : i + 1] for k, v in inputs.items()}) for i in range(len(x))])
    np.testing.assert_allclose(alone, whole, rtol=1e-5, atol=1e-4)


@pytest.mark.gpu
@pytest.mark.parametrize(
    ("cls", "layout"), [(CwtImage, "v2"), (CwtImage, "classic"), (Hetero, "v2"), (Hetero, "classic")]
)
def test_views_on_a_gpu(cls, layout):
    if not torch.cuda.is_available():
        pytest.skip("torch sees no GPU")
    inputs = {"raw": waves(8192, 8192.0), "sensor": np.zeros((6, 1), np.float32)}
    maps = []
    for device in ("cpu", "cuda:0"):
        extractor = cls.make({"layout": layout}, Context(fs=8192.0, device=device))
        extractor.fit(inputs)
        maps.append(extractor.transform(inputs))
    for a, b in zip(*maps, strict=True):
        assert correlation(a, b) >= 0.999


def test_images_refuse_to_work_unfitted():
    for cls in (CwtImage, Hetero):
        with pytest.raises(NotFittedError):
            cls.make({}, Context(fs=1000.0)).transform(
                {"raw": np.zeros((1, 1, 500), np.float32), "sensor": np.zeros((1, 1))}
            )
