"""Copies of labelled faults: the same fault at another moment, severity, level and speed, and never another fault."""

from __future__ import annotations

import numpy as np
import pytest

from vibro.data import make_batch
from vibro.injection.variants import FILL, GAIN, SPEED, faster, fault_copies, more_severe, within_class

FS, LENGTH = 2000.0, 2000
T = np.arange(LENGTH) / FS


def tone(x, hz, size):
    return x + size * np.sin(2 * np.pi * hz * T)


def level(x, hz):
    """dB at a frequency in Hz, two neighbours summed in."""
    power = np.abs(np.fft.rfft(x, axis=-1)) ** 2
    return 10 * np.log10(power[..., hz - 2 : hz + 3].sum(axis=-1))


@pytest.fixture(scope="module")
def batch():
    """20 normal records with a line at 100 Hz, and 5 with another at 300 Hz."""
    rng = np.random.default_rng(0)
    x = tone(rng.normal(size=(25, LENGTH)), 100, 2.0)
    x[20:] = tone(x[20:], 300, 1.5)
    return make_batch(x[:, None].astype(np.float32), fs=FS, sensor=["a"] * 25, time=[np.datetime64("NaT")] * 25)


@pytest.fixture(scope="module")
def kind(batch):
    return np.where(np.arange(25) >= 20, 1, -1).astype(np.int16)


def test_a_rare_class_is_filled_up_and_its_copies_differ_from_one_another(batch, kind):
    copies = fault_copies(batch, kind, kind < 0, True, 0)
    assert FILL - 5 <= len(copies.row) + 5 <= FILL and set(copies.row) == set(range(20, 25))
    assert len(set(copies.batch.ids) | set(batch.ids)) == len(copies.row) + 25
    again = fault_copies(batch, kind, kind < 0, True, 0)
    assert np.array_equal(again.batch.x, copies.batch.x)
    many = np.repeat(np.int16(1), 25)
    assert len(fault_copies(batch, many, kind < 0, True, 0).row) == 25  # one of each
    assert fault_copies(batch, np.full(25, -1, np.int16), kind < 0, True, 0) is None


def test_what_makes_the_fault_varies_and_what_it_shares_with_normal_records_does_not(batch, kind):
    copies = fault_copies(batch, kind, kind < 0, True, 0)
    x = copies.batch.x[:, 0]
    fault, usual = level(x, 300), level(x, 100)
    assert np.ptp(fault) > 8 and fault.min() > level(batch.x[:20, 0], 300).max()
    assert np.ptp(usual) < 2 * GAIN + 2  # gain, and little of the stretch: normal records have that line too


def test_severity_stretches_the_excess_in_decibel_and_one_changes_nothing(batch):
    fault, normal = np.asarray(batch.x[20], float), np.asarray(batch.x[0], float)
    assert np.allclose(more_severe(fault, normal, 1.0), fault, atol=1e-9)
    gained = (level(more_severe(fault, normal, 1.2), 300) - level(fault, 300))[0]
    assert gained == pytest.approx(0.2 * (level(fault, 300) - level(normal, 300))[0], abs=0.7)


def test_mains_keep_their_frequency_and_a_speed_moves_all_lines(batch, kind):
    x = tone(np.zeros(LENGTH), 300, 1.0)[None]
    moved = faster(x, 1 + SPEED)
    assert moved.shape == x.shape and np.abs(np.fft.rfft(moved))[0].argmax() == 303
    steady = fault_copies(batch, kind, kind < 0, True, 0).batch.x[:, 0]
    free = fault_copies(batch, kind, kind < 0, False, 0).batch.x[:, 0]
    peak = [np.abs(np.fft.rfft(one))[:, 80:120].argmax(axis=1) + 80 for one in (steady, free)]
    assert set(peak[0]) == {100} and set(peak[1]) == {99, 100, 101}


def test_a_copy_outside_the_band_of_its_class_is_seen(batch, kind):
    copies = fault_copies(batch, kind, kind < 0, True, 0)
    assert within_class(batch, kind, copies).mean() > 0.8
    copies.batch.x[0] *= 4
    assert not within_class(batch, kind, copies)[0]
