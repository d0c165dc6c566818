"""Transients: most sensors at once, impulsive, gone at the next instant; faults that last are none."""

from __future__ import annotations

import numpy as np
import pytest

from vibro.data import NO_TIME, make_batch
from vibro.scoring.transients import IMPULSIVE, find_transients, standing_out

START = np.datetime64("2024-05-01T00:00:00", "ns")
HOUR = np.timedelta64(3600, "s")
REFERENCE = np.random.default_rng(7).normal(size=2000)  # stands out from 3 on, and without a burst from 6
FAR, BURST = 9.0, 4 * IMPULSIVE


def machine(table, burst=None, *, times=None, jitter=0, timed=True):
    """Batch, scores and impulses of (instants, sensors) tables; NaN = no record; ``burst`` = the same instants, or a table."""
    table = np.asarray(table, float)
    burst = np.where(table >= FAR, BURST, 0.0) if burst is None else np.asarray(burst, float)
    i, j = np.nonzero(~np.isnan(table))
    begin = START + np.arange(len(table)) * HOUR if times is None else np.asarray(times)
    time = begin[i] + (j * jitter).astype("timedelta64[s]")
    x = np.arange(float(len(i)))[:, None] + np.zeros((1, 4))
    batch = make_batch(
        x, fs=100.0, sensor=[f"s{b}" for b in j], machine=["m"] * len(i), time=time if timed else [NO_TIME] * len(i)
    )
    return batch, table[i, j], burst[i, j]


def found(table, burst=None, judged=None, **how):
    batch, score, impulse = machine(table, burst, **how)
    judged = np.ones(len(batch), bool) if judged is None else judged
    return batch, find_transients(batch, score, impulse, REFERENCE, judged)


def instants(batch, events):
    return sorted({int((e.time - START) / HOUR) for e in events})


def calm(instants=40, sensors=5):
    return np.random.default_rng(0).normal(0, 0.8, (instants, sensors)).clip(-2, 2)


def test_a_burst_on_most_sensors_that_is_gone_at_the_next_instant_is_a_transient():
    table = calm()
    table[10, :4] = FAR
    batch, told = found(table)
    (event,) = told.events
    assert (event.machine, event.time, event.sensors) == ("m", START + 10 * HOUR, 4) and told.pending == ()
    mask = told.mask(len(batch))
    assert mask.sum() == 4 and set(batch.time[mask]) == {START + 10 * HOUR}


@pytest.mark.parametrize("last", [2, 3, 6])
def test_a_fault_that_lasts_is_none_even_if_it_is_impulsive(last):
    table = calm()
    table[10 : 10 + last] = FAR
    assert found(table)[1].events == ()


def test_a_single_instant_that_is_not_impulsive_is_none():
    table = calm()
    table[10] = FAR
    assert found(table, np.zeros_like(table))[1].events == ()


def test_an_unusual_load_beside_an_event_does_not_make_it_last():
    table = calm()
    table[5:15] = 4.5  # a little out on all sensors, without a burst
    table[10] = FAR
    batch, told = found(table)
    assert instants(batch, told.events) == [10]
    table[5:15] = 8.0
    assert found(table, np.where(table == FAR, BURST, 0))[1].events == ()


def test_few_sensors_or_a_machine_of_two_make_none():
    table = calm()
    table[10, :2] = FAR
    assert found(table)[1].events == ()
    two = calm(sensors=2)
    two[10] = FAR
    assert found(two)[1].events == ()


def test_a_sensor_that_stays_out_is_no_part_of_the_event():
    table = calm()
    table[10] = FAR
    table[8:14, 0] = FAR  # its own trouble; one of five may stand out beside the event
    batch, told = found(table)
    (event,) = told.events
    assert event.sensors == 4 and "s0" not in {batch.sensors[s] for s in batch.sensor[event.rows]}


def test_the_newest_instant_waits_for_the_next():
    table = calm()
    table[-1] = FAR
    _, told = found(table)
    assert told.events == () and [e.time for e in told.pending] == [START + 39 * HOUR]
    _, later = found(np.vstack([table, calm(1)]))
    assert [e.time for e in later.events] == [START + 39 * HOUR] and later.pending == ()
    _, lasting = found(np.vstack([table, np.full((1, 5), FAR)]))
    assert lasting.events == () and lasting.pending == ()  # at the next instant it is still there


def test_without_times_nothing_is_a_transient():
    table = calm()
    table[10] = FAR
    _, told = found(table, timed=False)
    assert told.events == () and told.pending == ()


def test_irregular_times_missing_records_and_sensors_that_are_read_in_turn():
    table = calm()
    table[[10, 25]] = FAR
    table[11, 2] = table[24, 0] = np.nan
    gaps = np.random.default_rng(1).uniform(0.6, 2.5, len(table)) * 3600
    times = START + np.cumsum(gaps).astype("timedelta64[s]")
    _, told = found(table, times=times, jitter=60)
    assert [e.time for e in told.events] == [times[10], times[25]]


def test_a_long_gap_does_not_show_that_an_event_was_short():
    table = calm()
    table[10] = FAR
    times = START + np.arange(len(table)) * HOUR
    times[11:] += np.timedelta64(30, "D")
    _, told = found(table, times=times)
    assert told.events == () and told.pending == ()


def test_records_that_do_not_count_are_left_out():
    table = calm()
    table[10, :3] = FAR
    batch, score, impulse = machine(table)
    judged = ~((batch.time == START + 10 * HOUR) & (batch.sensor == 0))
    assert len(find_transients(batch, score, impulse, REFERENCE, np.ones(len(batch), bool)).events) == 1
    assert find_transients(batch, score, impulse, REFERENCE, judged).events == ()


def test_two_in_a_row_count_only_where_single_ones_are_frequent_and_alike():
    rare = calm(400)
    rare[[50, 300, 301]] = FAR
    batch, told = found(rare)
    assert instants(batch, told.events) == [50]  # a pair among two single ones is a surprise: it may be a fault
    frequent = calm(400)
    single = list(range(20, 380, 30))
    frequent[[*single, 391, 392]] = FAR
    batch, told = found(frequent)
    assert instants(batch, told.events) == [*single, 391, 392]
    weak = np.where(frequent > 5, BURST, 0.0)
    weak[391:393] = weak[80] = 1.2 * IMPULSIVE  # a rattle beside the machine's tap changes
    batch, told = found(frequent, weak)
    assert instants(batch, told.events) == [i for i in single if i != 80]


def test_standing_out_is_told_by_the_body_of_the_reference():
    rng = np.random.default_rng(3)
    body = rng.normal(size=2000)
    cut = standing_out(body)
    assert 2.7 < cut < 3.3
    spoilt = np.concatenate([body, np.full(300, 50.0), [np.nan]])
    assert standing_out(spoilt) < 4.2
    assert standing_out(np.zeros(0)) == np.inf
    assert standing_out(np.full(50, 2.0)) == 2.0  # a constant score stands out of nothing: it is not above itself
