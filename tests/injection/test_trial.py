"""The fault-injection trial: what each detector and the ensemble catch, on rows presumed normal."""

from __future__ import annotations

import numpy as np
import pytest

from vibro.data import make_batch
from vibro.injection.faults import KINDS, SEVERITIES
from vibro.injection.trial import LEAST, PER_SENSOR, inject_into, judge, presumed_normal_rows, with_fused
from vibro.scoring.thresholds import Cuts

from .signals import rms, signals


def scorer(batch):
    """One detector that reads the level, one that reads the peak over rms, one that is blind."""
    level = rms(batch.x)[:, 0]
    crest = np.abs(batch.x - batch.x.mean(axis=2, keepdims=True)).max(axis=2)[:, 0] / np.maximum(level, 1e-12)
    return np.stack([np.abs(level - 0.714) / 0.01, np.abs(crest - 1.75) / 0.1, np.zeros(len(batch))], axis=1)


def tried(score, fuse, seed=4):
    batch = signals()
    rows = presumed_normal_rows(batch, np.arange(len(batch)), score(batch).mean(axis=1))
    trial = with_fused(inject_into(batch, rows, score, seed), fuse)
    return trial, judge(trial, Cuts(3.0, 5.0, np.full(3, 5.0)), sensors=3)


def test_the_trial_ranks_detectors_and_states_the_smallest_fault_a_sensor():
    trial, found = tried(scorer, lambda z: z[:, 0])
    assert trial.corrupted.shape == (len(KINDS), len(SEVERITIES), 2 * PER_SENSOR, 3)
    assert found.caught.shape == (len(KINDS), len(SEVERITIES), 4)
    assert found.usefulness[0] > found.usefulness[2] == 0
    level = KINDS.index("level")
    assert found.smallest[:, level].tolist() == pytest.approx([0.1, 0.1, np.nan, 0.1], nan_ok=True)
    assert (np.diff(found.caught[level, :, 3]) >= 0).all() and found.caught[
        level, 0, 3
    ] < 0.5  # 5 % is 3.6 sd, 10 % is 7
    assert found.count.tolist() == [PER_SENSOR, PER_SENSOR, 0, 2 * PER_SENSOR]  # the third sensor has no record
    again, _ = tried(scorer, lambda z: z[:, 0])
    assert np.array_equal(trial.corrupted, again.corrupted)


def test_a_detector_that_could_not_be_tried_has_no_usefulness():
    trial, _ = tried(scorer, lambda z: z[:, 0])
    trial.clean[:, 1] = trial.corrupted[..., 1] = np.nan
    found = judge(trial, Cuts(3.0, 5.0, np.full(3, 5.0)), sensors=3)
    assert np.isnan(found.usefulness).tolist() == [False, True, False] and found.usefulness[0] > 0


def test_what_the_ensemble_never_catches_has_no_smallest_severity():
    _, found = tried(lambda b: np.zeros((len(b), 3)), lambda z: np.zeros(len(z)))
    assert np.isnan(found.smallest).all() and not found.usefulness.any()


def test_presumed_normal_rows_are_of_the_lower_half_of_each_sensor_and_leave_out_bad_data():
    batch = signals(n=600)
    score = np.arange(600.0)
    score[5] = np.nan
    batch.quality[7] = 1
    rows = presumed_normal_rows(batch, np.arange(600), score)
    assert {5, 7}.isdisjoint(rows) and rows.max() <= 302
    assert all((batch.sensor[rows] == s).sum() == PER_SENSOR for s in (0, 1))


def test_the_trial_stays_small_with_many_sensors():
    x = np.random.default_rng(0).normal(size=(300, 1, 16))
    batch = make_batch(x, fs=100.0, sensor=[f"s{i % 100}" for i in range(300)])
    rows = presumed_normal_rows(batch, np.arange(300), np.zeros(300))
    assert len(rows) == len(np.unique(batch.sensor[rows])) == LEAST
    rows = presumed_normal_rows(batch, np.arange(300), np.arange(300.0))
    assert (rows // 100 == 1).all()  # the middle one of the calmer half, not the calmest
