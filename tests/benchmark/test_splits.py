"""Splits that leak nothing, pools of the wished share, sets of real recordings as batches."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from vibro.benchmark.datasets import Labelled, SetEntry, add_noise, load_set
from vibro.benchmark.splits import draw_pool, keep_labels, make_split, siblings
from vibro.data import make_batch
from vibro.errors import ConfigError, DataError


@pytest.fixture(scope="module")
def plant():
    """240 records: 4 machines with 2 sensors each, 3 recordings a machine; machine 3 is anomalous."""
    n = 240
    machine = np.arange(n) // 60
    recording = [f"m{m}-r{i // 20 % 3}" for i, m in enumerate(machine)]
    batch = make_batch(
        np.random.default_rng(0).standard_normal((n, 16)),
        fs=100,
        sensor=[f"m{m}-s{i % 2}" for i, m in enumerate(machine)],
        machine=[f"m{m}" for m in machine],
        recording=recording,
        time=np.datetime64("2024-01-01", "ns") + np.arange(n) * np.timedelta64(60, "s"),
    )
    y = np.where(machine == 3, 1, 0).astype(np.int16)
    y[:20] = 1  # one anomalous recording on machine 0
    fault = np.where(y == 1, np.where(machine == 3, "loose", "worn"), "")
    return Labelled("toy", batch, y, fault, np.full(n, ""))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("kind", ["machine", "recording", "time"])
def test_no_group_is_on_both_sides(plant, kind, seed):
    split = make_split(plant, kind, seed)
    assert not (split.train & split.test).any()
    assert (split.train | split.test).all()
    assert all((plant.y[part] == 0).any() for part in (split.train, split.test))
    batch = plant.batch
    if kind == "time":
        for key in {(s, r) for s, r in zip(batch.sensor, batch.recording, strict=True)}:
            mine = (batch.sensor == key[0]) & (batch.recording == key[1])
            assert batch.time[mine & split.train].max() < batch.time[mine & split.test].min()
    else:
        code = batch.machine if kind == "machine" else batch.recording
        assert not set(code[split.train]) & set(code[split.test])


def test_default_split_prefers_machines_and_record_split_warns(plant):
    assert "machine" in make_split(plant, None, 0).strategy
    assert make_split(plant, "record", 0).warnings
    one = plant.take(np.flatnonzero(plant.batch.machine == 1))
    assert "recording" in make_split(one, None, 0).strategy
    with pytest.raises(ConfigError, match="one machine only"):
        make_split(one, "machine", 0)
    with pytest.raises(ConfigError, match="unknown split"):
        make_split(plant, "window", 0)


def test_pools_have_the_wished_share(plant):
    everything = np.ones(240, bool)
    pool = draw_pool(plant, everything, 0.1, 0)
    y = plant.y[pool]
    assert (y == 0).sum() == 160 and (y == 1).sum() == 18
    assert not np.array_equal(pool, draw_pool(plant, everything, 0.1, 1))
    assert np.array_equal(pool, draw_pool(plant, everything, 0.1, 0))
    small = plant.y[draw_pool(plant, everything, 0.1, 0, limit=100)]
    assert (small == 0).sum() == 90 and (small == 1).sum() == 10
    episode = draw_pool(plant, everything, 0.1, 0, variant="episode")
    assert len(np.unique(plant.batch.recording[episode[plant.y[episode] == 1]])) == 1
    light = draw_pool(plant, everything, 0.05, 0, variant="light", light=("worn",))
    assert set(plant.fault_type[light[plant.y[light] == 1]]) == {"worn"}
    assert len(draw_pool(plant, everything, None, 0)) == 240
    with pytest.raises(ConfigError, match="no anomalous record"):
        draw_pool(plant, everything, 0.05, 0, variant="light", light=("none",))


def test_few_labels_a_class(plant):
    known = keep_labels(plant, np.ones(240, bool), 5, 0)
    assert (known == 0).sum() == 5 and (known == 1).sum() == 5 and (known == -1).sum() == 230
    assert (plant.y[known >= 0] == known[known >= 0]).all()
    recordings = {label: len(set(plant.batch.recording[known == label])) for label in (0, 1)}
    assert recordings[0] <= 4 and recordings[1] <= 2  # of 8 and 4: the others are left to judge
    assert (keep_labels(plant, np.ones(240, bool), 200, 0) == plant.y).sum() == 240  # all there are


def test_siblings_are_of_the_same_recording_where_there_are_several(plant):
    chosen = np.zeros(240, bool)
    chosen[[3, 65]] = True
    assert np.array_equal(np.flatnonzero(siblings(plant, chosen)), [*range(20), *range(60, 80)])
    one = plant.take(np.arange(20))
    assert np.array_equal(siblings(one, chosen[:20]), chosen[:20])
    batch = replace(plant.batch, recording=np.arange(240, dtype=np.int32))
    assert np.array_equal(siblings(replace(plant, batch=batch), chosen), chosen)


def test_added_noise_has_the_wished_level(plant):
    loud = add_noise(plant.batch, 0.0, 0)
    assert loud.x.var() == pytest.approx(2 * plant.batch.x.var(), rel=0.05)


def test_windows_of_a_record_follow_each_other(tmp_path):
    signals = np.arange(40, dtype=np.float32).reshape(2, 20)
    np.savez(
        tmp_path / "a.npz", signals=signals, label=[0, 1], fs=10.0, source_file=["p", "q"], sensor_id=["b-x", "b-y"]
    )
    data = load_set(SetEntry("a", "a.npz", window=8, machine="(b)"), tmp_path)
    assert data.batch.x.shape == (4, 1, 8)
    assert list(data.batch.x[:, 0, 0]) == [0, 8, 20, 28]
    assert list(data.y) == [0, 0, 1, 1] and data.batch.machines == ("b",)
    assert list(np.array(data.batch.recordings)[data.batch.recording]) == ["p", "p", "q", "q"]


def test_machines_are_named_by_the_pattern_then_by_the_file(tmp_path):
    arrays = {
        "signals": np.ones((2, 8)),
        "label": [0, 1],
        "fs": 1.0,
        "sensor_id": ["a-x", "c"],
        "machine_id": ["m", "n"],
    }
    np.savez(tmp_path / "a.npz", **arrays)
    assert load_set(SetEntry("a", "a.npz"), tmp_path).batch.machines == ("m", "n")
    assert load_set(SetEntry("a", "a.npz", machine="(a)-"), tmp_path).batch.machines == ("a", "n")


def test_series_become_windows_with_labels(tmp_path):
    label = np.zeros(30, np.int8)
    label[12:20] = 1
    np.savez(tmp_path / "s.npz", values=np.zeros((30, 2)), anomaly=label, source_file=["run"] * 30, fs=1.0)
    entry = SetEntry("s", "s.npz", window=10, signals="values", label="anomaly", series=True)
    data = load_set(entry, tmp_path)
    assert data.batch.x.shape == (3, 2, 10)
    assert list(data.y) == [0, 1, 0]


def test_a_set_that_cannot_be_read_is_named(tmp_path):
    np.savez(tmp_path / "a.npz", signals=np.zeros((2, 8)), label=[0, 1])
    with pytest.raises(ConfigError, match="sampling rate"):
        load_set(SetEntry("a", "a.npz"), tmp_path)
    with pytest.raises(DataError, match=r"b\.npz is missing"):
        load_set(SetEntry("b", "b.npz"), tmp_path)
    with pytest.raises(DataError, match="no array 'truth'"):
        load_set(SetEntry("a", "a.npz", label="truth", fs=1.0), tmp_path)
    with pytest.raises(ConfigError, match="folder of recordings"):
        load_set(SetEntry("a", "a.npz"), None)


@pytest.mark.parametrize(
    ("entry", "pool"),
    [
        (SetEntry("adi_motor", "adi_motor/adi_motor.npz", window=4096, machine="(adi-motor)"), (80, 8)),
        (SetEntry("mfpt", "mfpt/mfpt.npz"), (78, 8)),
        (SetEntry("ecg5000", "ecg5000/ecg5000.npz", fs=125), (2000, 200)),
        (SetEntry("pronostia", "pronostia/pronostia.npz", machine="(.*)-[hv]$"), (1467, 147)),
    ],
    ids=lambda value: value.name if isinstance(value, SetEntry) else "",
)
def test_real_sets_give_the_pools_of_the_protocol(test_data, entry, pool):
    data = load_set(entry, test_data)
    rows = draw_pool(data, np.ones(len(data.y), bool), 0.1, 0, limit=2000)
    assert (len(rows), int((data.y[rows] == 1).sum())) == pool
