"""Pseudo-labels: agreement, persistence, quiet instants, quotas and abstention, on scores whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest

from vibro.data import make_batch
from vibro.scoring.pseudolabels import Consensus, by_consensus, by_cuts, lasting, mad_cut
from vibro.scoring.thresholds import Cuts
from vibro.scoring.verdict import REASONS, ScoreMatrix, decide

INSTANTS = 60


def plant(sensors=("m-a", "m-b", "n-a"), seed=0):
    """Records of three sensors on two machines at the same instants, and z of three detectors: standard normal."""
    rng = np.random.default_rng(seed)
    time = np.datetime64("2026-01-01", "ns") + np.arange(INSTANTS) * np.timedelta64(1, "h")
    names = [name for name in sensors for _ in range(INSTANTS)]
    batch = make_batch(
        rng.standard_normal((len(names), 8)),
        fs=100.0,
        sensor=names,
        machine=[name[0] for name in names],
        time=np.tile(time, len(sensors)),
    )
    return batch, rng.standard_normal((len(names), 3))


def labelled(batch, z, rule=None, reason=None, weights=(1.0, 1.0, 1.0), fitted=None):
    matrix = ScoreMatrix(("a", "b", "c"), batch.ids, z, z)
    cuts = Cuts(2.0, 3.0, np.full(3, 3.0))
    fused = np.nanmean(z, axis=1)
    verdict = decide(matrix, fused, np.array(weights), cuts, fused, batch.valid, 0.5)
    everything = np.ones(len(batch), np.bool_)
    if reason is not None:
        verdict.reason[:] = reason
    return by_consensus(
        batch, matrix, np.array(weights), verdict, everything if fitted is None else fitted, rule or Consensus()
    )


def test_records_that_all_detectors_find_low_are_normal_and_few_others():
    batch, z = plant()
    found = labelled(batch, z)
    assert set(np.unique(found.label)) == {-1, 0}
    low = (z <= np.array([np.quantile(z[batch.sensor == s], 0.8, axis=0) for s in range(3)])[batch.sensor]).all(axis=1)
    assert np.array_equal(found.label == 0, low)
    assert (found.weight[found.label == 0] == 0.5).all() and (found.weight[found.label < 0] == 0).all()


def test_an_anomaly_must_last_and_the_machine_is_not_normal_at_its_instants():
    batch, z = plant()
    z[10:14] = 9.0  # sensor m-a, four instants in a row
    z[30] = 9.0  # one instant
    found = labelled(batch, z)
    assert np.flatnonzero(found.label == 1).tolist() == [10, 11, 12, 13]
    assert found.label[30] == -1
    beside = INSTANTS + np.array([10, 11, 12, 13, 30])  # sensor m-b of the same machine
    assert (found.label[beside] == -1).all()
    z[beside] = -3.0
    assert (labelled(batch, z).label[beside] == -1).all()
    assert (labelled(batch, np.where(np.arange(len(z))[:, None] == beside[0] + INSTANTS, -3.0, z)).label == 0).any()
    assert labelled(batch, z, Consensus(persist=1)).label[30] == 1


@pytest.mark.parametrize("reason", ["transient", "unseen_state", "benign", "data"])
def test_what_the_run_has_a_reason_for_is_neither(reason):
    batch, z = plant()
    z[10:14] = 9.0
    found = labelled(batch, z, reason=REASONS.index(reason))
    assert (found.label == -1).all()


def test_detectors_count_by_their_weight_and_only_where_they_have_a_score():
    batch, z = plant()
    z[10:14] = [9.0, 9.0, 0.0]
    assert (labelled(batch, z).label[10:14] == 1).all()
    assert (labelled(batch, z, Consensus(anomaly_share=0.7)).label[10:14] == -1).all()
    silent = z.copy()
    silent[10:14, 2] = np.nan
    found = labelled(batch, silent, Consensus(anomaly_share=0.7))
    assert (found.label[10:14] == 1).all() and (found.weight[10:14] == 0.5).all()
    assert (labelled(batch, z, Consensus(anomaly_share=0.7), weights=(1.0, 1.0, 0.1)).label[10:14] == 1).all()


def test_records_without_a_held_out_score_and_with_bad_data_abstain():
    batch, z = plant()
    z[:20] = np.nan
    batch.quality[20:40] = 1
    assert (labelled(batch, z).label[:40] == -1).all()


def test_a_quota_keeps_records_all_over_the_time_of_a_sensor():
    batch, z = plant()
    found = labelled(batch, z, Consensus(max_per_sensor=4))
    for s in range(3):
        rows = np.flatnonzero((batch.sensor == s) & (found.label == 0))
        assert len(rows) == 4 and np.ptp(rows) > INSTANTS / 2


def test_lasting_follows_time_and_not_the_order_of_rows():
    batch, _ = plant(("s",))
    order = np.random.default_rng(0).permutation(INSTANTS)
    raised = np.isin(np.arange(INSTANTS), [5, 6, 7, 20, 21])
    assert np.flatnonzero(lasting(batch, raised, 3)).tolist() == [5, 6, 7]
    assert sorted(order[lasting(batch.take(order), raised[order], 3)]) == [5, 6, 7]


def test_the_rules_of_the_reference_judge_by_the_fused_score_alone():
    batch, z = plant()
    score = z[:, 0]
    found = by_cuts(batch, score, -1.0, 2.0)
    assert np.array_equal(found.label == 1, score > 2) and np.array_equal(found.label == 0, score <= -1)
    assert mad_cut(np.random.default_rng(0).standard_normal(100_000)) == pytest.approx(4.0, abs=0.05)


def test_what_is_low_is_judged_by_records_that_were_fitted():
    """Later records that are all worse are not normal because others of them are worse still."""
    batch, z = plant()
    late = np.arange(len(z)) % INSTANTS >= 30
    z[late] = np.abs(z[late]) + 1.0
    everything, first = labelled(batch, z), labelled(batch, z, fitted=~late)
    assert (first.label[late] == 0).sum() < 0.2 * (everything.label[late] == 0).sum()
    assert (first.label[~late] == 0).any()


def test_sensors_that_were_not_fitted_abstain():
    batch, z = plant()
    z[10:14] = 9.0
    first = batch.sensor == batch.sensors.index("m-a")
    found = labelled(batch, z, fitted=~first)
    assert (found.label[first] == -1).all() and (found.label[~first] == 0).any()


def test_of_a_machine_that_is_raised_too_often_no_record_is_taken_for_normal():
    batch, z = plant()
    first = batch.machine == batch.machines.index("m")
    z[first & (np.arange(len(z)) % 4 == 0)] = 9.0  # at the same instants on both sensors
    found = labelled(batch, z)
    assert list(found.often) == [batch.machines.index("m")] and found.often[batch.machines.index("m")] > 0.2
    assert not (found.label[first] == 0).any() and (found.label[~first] == 0).any()
    z[first & (np.arange(len(z)) % 8 == 0)] = 0.0
    assert not labelled(batch, z).often
