"""What is a burst, and what is not."""

from __future__ import annotations

import numpy as np

from vibro.scoring.signature import Signature, measure

FS, LENGTH = 4096, 4096


def sound(n, seed=0):
    return np.random.default_rng(seed).standard_normal((n, 1, LENGTH)).astype(np.float32)


def impulse(x):
    """How impulsive records (n, 1, T) are for a sensor whose other records are noise."""
    raw, sensor = measure(sound(100)), np.zeros(100, np.int32)
    fitted = Signature.fit(raw, sensor, 1)
    return fitted.look(measure(x), np.zeros((len(x), 1)), np.zeros(len(x), np.int32)).signature[:, 0]


def test_a_single_strong_stretch_is_a_burst():
    x = sound(4, 1)
    x[:, :, 1000:1200] *= 6
    assert (impulse(x) > 5).all()


def test_impacts_that_repeat_through_a_record_and_noise_are_none():
    x = sound(4, 2)
    since = np.arange(LENGTH) % 40  # 102 impacts a second, of random strength
    strength = np.random.default_rng(3).uniform(0.7, 1.3, (4, LENGTH // 40 + 1))
    x[:, 0] += 8 * strength[:, np.arange(LENGTH) // 40] * np.exp(-since / 5) * np.sin(since)
    assert (impulse(x) <= 0).all()
    assert (impulse(sound(20, 4)) <= 0.0).all()


def test_many_sensors_cost_one_look_at_the_pool(monkeypatch):
    """Sensors of few records share the middle of all: it is not sought again for each."""
    raw, sensor = np.random.default_rng(0).standard_normal((600, 5)), np.repeat(np.arange(200), 3)
    median, asked = np.median, []
    monkeypatch.setattr(np, "median", lambda x, **how: asked.append(len(x)) or median(x, **how))
    fitted = Signature.fit(raw, sensor.astype(np.int32), 200)
    assert asked == [600, 600] and not fitted.arrays["own"].any()
    assert (fitted.arrays["centre"] == median(raw, axis=0)).all()
