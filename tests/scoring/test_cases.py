"""Cases: what belongs together is one case, with the right times and records, and the machine's alarm comes first."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from vibro.data import NO_TIME, make_batch
from vibro.scoring.cases import case_rows
from vibro.scoring.machines import machine_rows
from vibro.scoring.thresholds import Cuts
from vibro.scoring.verdict import ScoreMatrix, decide

CUTS = Cuts(2.0, 4.0, np.array([3.0]))
START, HOUR = np.datetime64("2024-05-01T00:00:00", "ns"), np.timedelta64(3600 * 10**9, "ns")


def judged(tables: dict[str, np.ndarray]):
    """A batch and its verdict from scores (instants, sensors) of each machine, an hour apart."""
    rows = [
        (m, f"{m}-{j}", START + i * HOUR, table[i, j])
        for m, table in tables.items()
        for i in range(len(table))
        for j in range(table.shape[1])
    ]
    machine, sensor, time, score = (list(column) for column in zip(*rows, strict=True))
    x = np.random.default_rng(0).standard_normal((len(rows), 8))
    batch = make_batch(x, fs=100.0, sensor=sensor, machine=machine, time=np.array(time))
    z = np.array(score, float)[:, None]
    matrix = ScoreMatrix(("a",), batch.ids, z, z)
    return batch, decide(matrix, z[:, 0], np.ones(1), CUTS, np.arange(50.0) / 50, batch.valid, 0.5)


def found(tables):
    batch, verdict = judged(tables)
    return case_rows(batch, verdict, machine_rows(batch, verdict, CUTS))


def test_alarms_with_few_instants_between_are_one_case_and_others_are_not():
    table = np.zeros((40, 3))
    table[[3, 8], 0] = 9.0  # five instants apart
    table[20, 1] = 12.0
    first, second = found({"m": table})
    assert (first["case"], first["record_id"] != second["record_id"], first["score"]) == (1, True, 12.0)
    assert second["since"] == START + 3 * HOUR and second["until"] == START + 8 * HOUR
    assert (second["instants"], second["instants_total"], second["records"]) == (2, 6, 2)
    assert second["sensors"] == ["m-0"] and not second["open"]


def test_the_case_of_the_machines_alarm_comes_first_whatever_its_score():
    lasting, single = np.zeros((40, 3)), np.zeros((40, 3))
    lasting[30:, :2] = 6.0
    single[2, 0] = 30.0
    first, second = found({"a": single, "b": lasting})
    assert (first["machine_id"], first["level"], first["open"]) == ("b", "alarm", True)
    assert first["since"] == START + 30 * HOUR and first["records"] == 20 and set(first["sensors"]) == {"b-0", "b-1"}
    assert (second["machine_id"], second["level"], second["instants"]) == ("a", "attention", 1)


def test_without_times_a_machine_has_one_case():
    table = np.zeros((20, 2))
    table[[1, 18], 0] = 9.0
    batch, verdict = judged({"m": table})
    batch = replace(batch, time=np.full(len(batch), NO_TIME))
    (case,) = case_rows(batch, verdict, machine_rows(batch, verdict, CUTS))
    assert np.isnat(case["since"]) and case["instants"] is None and case["records"] == 2


def test_no_alarm_no_case():
    assert found({"m": np.full((20, 2), 3.0)}) == []


def test_sensors_that_measure_at_uneven_times_share_the_case_of_their_machines_alarm():
    rng = np.random.default_rng(3)
    for _ in range(20):
        table = np.zeros((40, 2))
        table[30:, :] = 9.0
        table[30, rng.integers(2)] = 0.0  # one of both begins an instant later
        batch, _ = judged({"m": table})
        late = np.where(batch.sensor == 1, 900, 0) + rng.integers(0, 300, len(batch))
        batch = replace(batch, time=batch.time + late.astype("timedelta64[s]"))
        matrix = ScoreMatrix(("a",), batch.ids, table.reshape(-1, 1), table.reshape(-1, 1))
        verdict = decide(matrix, table.ravel(), np.ones(1), CUTS, np.arange(50.0) / 50, batch.valid, 0.5)
        machines = machine_rows(batch, verdict, CUTS)
        (case,) = case_rows(batch, verdict, machines)
        assert machines[0]["level"] == case["level"] == "alarm"
        assert machines[0]["since"] == case["since"] == batch.time[verdict.score > 4].min()
