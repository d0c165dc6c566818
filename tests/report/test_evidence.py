"""The time-frequency image of a card, and the growth of a case."""

from __future__ import annotations

from base64 import b64decode

import numpy as np
import pytest

from vibro.report.cases import grows, growth
from vibro.report.evidence import COLUMNS, ROWS, evidence
from vibro.report.texts import texts

FS = 8192.0


def image(x, usual):
    found = evidence(x[None].astype(np.float32), usual[:, None].astype(np.float32), FS)["image"]
    return np.frombuffer(b64decode(found["values"]["u8"]), np.uint8).reshape(ROWS, COLUMNS), found


def test_a_burst_stands_at_its_time_and_frequency():
    rng = np.random.default_rng(0)
    usual, time = rng.normal(size=(12, 8192)), np.arange(8192) / FS
    there = (time > 0.5) & (time < 0.6)
    shown, found = image(rng.normal(size=8192) + 8 * np.sin(2 * np.pi * 1000 * time) * there, usual)
    row, column = np.unravel_index(np.argmax(shown), shown.shape)
    low, high = found["hz"]
    assert 900 < low * (high / low) ** ((row + 0.5) / ROWS) < 1100 and 0.45 < column / COLUMNS < 0.65
    assert abs(float(np.median(shown)) - 128) < 12 and shown[:, : COLUMNS // 3].max() < shown[row, column]


def test_half_the_level_is_six_decibel_down_everywhere():
    rng = np.random.default_rng(1)
    shown, found = image(0.5 * rng.normal(size=16_384), rng.normal(size=(20, 16_384)))
    assert (np.median(shown) - 128) / 127 * found["reach"] == pytest.approx(-6, abs=1)


def test_without_a_baseline_it_is_against_the_records_own_mean_and_short_records_have_none():
    x = np.random.default_rng(2).normal(size=4096)
    shown, _ = image(x, np.zeros((0, 4096)))
    assert abs(float(np.median(shown)) - 128) < 15
    assert "image" not in evidence(x[None, :256].astype(np.float32), np.zeros((0, 1, 256), np.float32), FS)


def test_a_rise_is_told_only_where_it_is_clear():
    day, rng = 86_400.0 * np.arange(12), np.random.default_rng(3)
    slope, records = growth(day, 0.5 * np.arange(12) + rng.normal(size=12) * 0.3)
    assert slope == pytest.approx(0.5, abs=0.15) and records == 12
    assert growth(day, rng.normal(size=12)) is None  # no order
    assert growth(day, 0.01 * np.arange(12.0)) is None  # too little
    assert growth(day[:6], np.arange(6.0)) is None  # too few
    assert growth(day, -np.arange(12.0)) is None


def test_a_fast_rise_is_told_by_the_hour():
    t = texts("en")
    assert grows(0.5, 12, "2024-01-01 00:00", t).startswith("the level rises by 0.50 dB a day (12 records")
    assert "by 2.0 dB an hour" in grows(48.0, 12, "", t)
