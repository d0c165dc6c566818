"""Volume under the surface: by hand, against lag, over several series, and in a benchmark of series."""

from __future__ import annotations

import json

import numpy as np
import pytest

from vibro.benchmark.metrics import average_precision, roc_auc
from vibro.benchmark.volume import volume_under_surface
from vibro.cli import run


def event(n, *spans):
    y = np.zeros(n, np.int16)
    for start, stop in spans:
        y[start:stop] = 1
    return y


def test_a_single_anomaly_without_buffer_is_the_plain_area():
    rng = np.random.default_rng(0)
    y = event(200, (80, 81))
    score = rng.standard_normal(200) + y
    roc, pr = volume_under_surface(y, score, widest=0)
    assert roc == pytest.approx(roc_auc(y, score)) and pr == pytest.approx(average_precision(y, score))


def test_two_anomalies_by_hand():
    # falling: anomaly 1, normal, anomaly 2; recall is 1/2 x 1/2 at the first and 1 at the last threshold
    roc, pr = volume_under_surface(np.array([1, 0, 1], np.int16), np.array([3.0, 2.0, 1.0]), widest=0)
    assert pr == pytest.approx(0.25 * 1 + 0.75 * 2 / 3)
    assert roc == pytest.approx(0.25)


def test_buffer_of_four_points_by_hand():
    # soft labels of one point: 0, sqrt(1/2), sqrt(3/4), 1, sqrt(3/4), sqrt(1/2), 0
    y, score = event(7, (3, 4)), np.array([0.0, 0, 0, 9, 0, 0, 0])
    soft = 1 + 2 * np.sqrt(0.75) + 2 * np.sqrt(0.5)
    positives = (1 + soft) / 2
    four = (1 / positives) * 1 + (1 - 1 / positives) * soft / 7
    without = volume_under_surface(y, score, widest=3)[1] * 4
    assert volume_under_surface(y, score, widest=4)[1] * 5 - without == pytest.approx(four)


def test_a_score_that_is_late_loses_less_than_by_plain_areas():
    y = event(600, (100, 130), (400, 430))
    late = np.roll(y, 8) + 1e-3 * np.random.default_rng(1).random(600)
    apart = np.roll(y, 200) + 1e-3 * np.random.default_rng(1).random(600)
    roc, pr = volume_under_surface(y, late, widest=40)
    assert pr > average_precision(y, late) and roc > 0.8
    assert pr > volume_under_surface(y, apart, widest=40)[1] + 0.5
    assert volume_under_surface(y, y.astype(float), widest=0) == (1.0, 1.0)


def test_series_do_not_touch_and_one_class_is_undefined():
    y = event(40, (18, 20))
    codes = np.repeat([0, 1], 20)
    score = np.zeros(40)
    score[20:22] = 1.0  # right after the end of the first series
    assert volume_under_surface(y, score, codes)[1] < volume_under_surface(y, score)[1]
    assert all(np.isnan(volume_under_surface(np.zeros(5, np.int16), np.ones(5))))


def test_a_benchmark_of_series_reports_it(tmp_path, monkeypatch):
    rng = np.random.default_rng(2)
    n = 3000
    anomaly = event(n, (500, 700), (2100, 2300))
    np.savez(
        tmp_path / "tank.npz",
        values=(rng.standard_normal((n, 2)) * (1 + 3 * anomaly[:, None])).astype(np.float32),
        anomaly=anomaly,
        source_file=np.repeat(["a", "b", "c"], 1000),
        fs=1.0,
    )
    (tmp_path / "suite.toml").write_text(
        """
        ensembles = ["one.toml"]
        seeds = 1
        split = "none"
        [[sets]]
        name = "tank"
        path = "tank.npz"
        signals = "values"
        label = "anomaly"
        series = true
        window = 64
        hop = 32
        """
    )
    (tmp_path / "one.toml").write_text('detectors = [{ use = "mahalanobis", view = "spectrum" }]')
    monkeypatch.setenv("VIBRO_CACHE_DIR", str(tmp_path / "cache"))
    command = ["benchmark", "run", str(tmp_path / "suite.toml"), "-o", str(tmp_path / "out"), "--quiet"]
    assert run([*command, "--data-root", str(tmp_path)]) == 0
    found = json.loads((tmp_path / "out" / "benchmark.json").read_text())
    (row,) = found["volume"]
    assert row["data"] == "tank" and 0.6 < row["vus_roc"] <= 1 and 0.5 < row["vus_pr"] <= 1
    assert "Volume under the surface" in (tmp_path / "out" / "report.md").read_text()
