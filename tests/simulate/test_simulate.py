"""Simulated records: the same for the same seed, true to their physics, and the same again after a trip through files."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest

from vibro.data import record_id
from vibro.errors import ConfigError
from vibro.simulate import PRESETS, simulate, to_batch, write


@pytest.fixture(scope="module")
def plant():
    return simulate(records=2000, seed=0)


def line(x, hz, fs=8192):
    """Amplitude of one line of (n, T)."""
    spectrum = np.abs(np.fft.rfft(x * np.hanning(x.shape[1]).astype(np.float32), axis=1)) * 4 / x.shape[1]
    return spectrum[:, round(hz * x.shape[1] / fs) + np.arange(-2, 3)].max(axis=1)


def test_same_seed_same_bytes_and_another_seed_other_bytes():
    a, b, c = simulate(records=60, seed=4), simulate(records=60, seed=4), simulate(records=60, seed=5)
    assert a.x.tobytes() == b.x.tobytes()
    assert list(a.fault_type) == list(b.fault_type)
    assert a.x.tobytes() != c.x.tobytes()


def test_shares_of_the_default_set(plant):
    assert plant.x.shape == (2000, 1, 8192) and plant.x.dtype == np.float32
    assert 80 <= plant.label.sum() <= 115
    assert 15 <= (plant.kind == "benign").sum() <= 25
    assert set(np.unique(plant.kind)) == {"normal", "benign", "machine", "sensor"}
    assert len(np.unique(plant.fault_type)) == 11  # ten classes and none
    assert np.array_equal(plant.label == 1, plant.severity > 0)
    idle = plant.covariates["load"] < 0.031
    assert 0.03 < idle.mean() < 0.06
    healthy = plant.x[plant.label == 0, 0]
    assert 0.02 < np.median(healthy.std(axis=1)) < 0.045  # reference: about 0.03 g, peak about 0.065 g
    assert 0.045 < np.median(np.abs(healthy).max(axis=1)) < 0.1


def test_tap_changes_have_the_share_that_is_asked_for_and_by_default_that_of_before():
    def share(**more):
        made = simulate(records=1000, units=1, faults=0, fs=1024, **more)
        return made, (made.kind == "benign").mean()

    default, asked, none = share(), share(tap_changes=0.012), share(tap_changes=0)
    assert default[0].x.tobytes() == asked[0].x.tobytes() and 0.005 < default[1] < 0.015
    assert none[1] == 0 and share(tap_changes=0.04)[1] == pytest.approx(0.04)
    for wrong in ({"tap_changes": 0.6}, {"tap_changes": -0.1}, {"tap_changes": 0.01, "preset": "bearing"}):
        with pytest.raises(ConfigError, match="tap change"):
            simulate(records=10, **wrong)


def test_machine_faults_take_a_unit_and_sensor_faults_one_sensor(plant):
    instant = list(zip(plant.time.astype(str), plant.machine, strict=True))
    for kind, width in (("machine", 5), ("sensor", 1)):
        rows = np.flatnonzero(plant.kind == kind)
        for key in {instant[i] for i in rows}:
            same = [i for i in rows if instant[i] == key]
            classes = {plant.fault_type[i] for i in same}
            assert len(same) == width * len(classes) or kind == "sensor"


def test_lines_follow_load_voltage_and_dc_bias(plant):
    x, normal = plant.x[:, 0], plant.kind == "normal"
    a100 = line(x, 100)
    fits = []
    for sensor in np.unique(plant.sensor):
        mine = normal & (plant.sensor == sensor)
        fits.append(abs(np.corrcoef(a100[mine], plant.covariates["load"][mine] ** 2)[0, 1]))
    assert np.median(fits) > 0.8  # winding vibration goes with the square of the current
    bias, a150 = plant.fault_type == "dc_bias", line(x, 150)
    for sensor in np.unique(plant.sensor[bias]):
        mine = plant.sensor == sensor
        assert np.median(a150[mine & bias]) > 2 * np.median(a150[mine & normal])


def test_sixty_hertz_preset_moves_the_lines():
    x = simulate(records=50, preset="transformer-60hz", faults=0).x[:, 0].astype(float)
    assert np.median(line(x, 120) / line(x, 100)) > 5


def test_faults_of_the_field_look_like_what_they_are():
    sim = simulate(records=1500, faults=0.3, preset="transformer-field", seed=1)
    x, fault, strong = sim.x[:, 0].astype(float), sim.fault_type, sim.severity > 0.3
    assert {"oltc_wear", "s_emi", "s_rate"} < set(np.unique(fault))
    assert set(sim.kind[fault == "s_emi"]) == set(sim.kind[fault == "s_rate"]) == {"sensor"}
    assert set(sim.kind[fault == "oltc_wear"]) == {"machine"}
    normal = (sim.kind == "normal") & (sim.covariates["load"] > 0.2)

    high = np.abs(np.diff(x, axis=1)).max(axis=1)
    assert np.median(high[(fault == "oltc_wear") & strong]) > 1.5 * np.median(high[sim.kind == "benign"])
    assert np.median(high[sim.kind == "benign"]) > np.median(high[normal])
    pickup = line(x, 150) / line(x, 100)
    assert np.median(pickup[(fault == "s_emi") & strong]) > 3 * np.median(pickup[normal])
    on_grid = line(x, 100) / x.std(axis=1)
    assert np.median(on_grid[(fault == "s_rate") & strong]) < 0.5 * np.median(on_grid[normal])


def test_damaged_outer_race_makes_impulses():
    sim = simulate(records=600, preset="bearing", faults=0.2, seed=1)
    x = sim.x[:, 0].astype(float)
    high = np.fft.irfft(np.fft.rfft(x, axis=1) * (np.fft.rfftfreq(8192, 1 / 8192) > 1500), axis=1)
    kurtosis = (high**4).mean(axis=1) / (high**2).mean(axis=1) ** 2
    severe = (sim.fault_type == "outer_race") & (sim.severity > 0.4)
    assert severe.any()
    assert np.median(kurtosis[severe]) > 1.5 * np.median(kurtosis[sim.label == 0])


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("records", [1, 7, 33])
def test_any_number_of_records(preset, records):
    sim = simulate(records=records, preset=preset, fs=2000, length=256, seed=2)
    assert sim.x.shape == (records, 1, 256) and np.isfinite(sim.x).all()
    assert all(len(column) == records for column in sim.covariates.values())


@pytest.mark.parametrize("wrong", [{"preset": "engine"}, {"records": 0}, {"faults": 0.9}, {"fs": 10.0}])
def test_senseless_arguments_are_refused(wrong):
    with pytest.raises(ConfigError):
        simulate(**wrong)


def test_jsonl_reads_back_as_the_same_float32(tmp_path):
    sim = simulate(records=30, seed=3)
    write(sim, tmp_path, "jsonl")
    ids = []
    for text in (tmp_path / "data.jsonl").read_text().splitlines():
        record = json.loads(text)
        signal = np.array([float(v) for v in record["signal_value"].split(",")]).astype(np.float32)
        ids.append(record_id(record["sensor_id"], np.datetime64(record["data_time"][:-1], "ns"), signal))
    with (tmp_path / "labels.csv").open(newline="") as file:
        labels = list(csv.DictReader(file))
    assert [row["record_id"] for row in labels] == ids == list(to_batch(sim).ids)
    assert [int(row["label"]) for row in labels] == list(sim.label)
    with (tmp_path / "covariates.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    assert [float(row["oil_temp"]) for row in table] == list(sim.covariates["oil_temp"])
    assert "no real machine" in (tmp_path / "README.txt").read_text()


def test_npz_holds_the_same_records(tmp_path):
    sim = simulate(records=20, seed=3)
    write(sim, tmp_path, "npz")
    with np.load(tmp_path / "data.npz", allow_pickle=False) as arrays:
        assert np.array_equal(arrays["signals"], sim.x[:, 0])
        assert float(arrays["fs"]) == 8192
        assert list(arrays["machine_id"]) == list(sim.machine)
    with pytest.raises(ConfigError):
        write(sim, tmp_path, "xlsx")


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("fs", [1000.0, 2048.0, 51200.0])
def test_any_rate_can_be_simulated(preset, fs):
    sim = simulate(records=200, units=1, sensors=4, preset=preset, fs=fs, length=256)
    assert sim.x.shape == (200, 1, 256) and np.isfinite(sim.x).all() and (sim.x.std(axis=2) > 0).all()


def test_each_machine_may_have_its_own_share_and_simulations_names_of_their_own():
    made = simulate(records=1200, units=3, sensors=2, faults=(0.0, 0.4, 0.1), fs=1024, name="north-")
    share = [float(made.label[made.machine == f"north-U{u}"].mean()) for u in (1, 2, 3)]
    assert share[0] == 0 and 0.3 < share[1] <= 0.42 and 0.05 < share[2] < 0.13
    assert set(made.sensor) == {f"north-U{u}-S{s}" for u in (1, 2, 3) for s in (1, 2)}
    plain = simulate(records=600, units=3, sensors=2, fs=1024)
    assert plain.x.tobytes() == simulate(records=600, units=3, sensors=2, fs=1024, name="x").x.tobytes()
    for wrong, message in (((0.1, 0.2), "2 shares of faults for 3 machines"), ((0.1, 0.2, 0.7), "0..0.5, not 0.7")):
        with pytest.raises(ConfigError, match=message):
            simulate(records=60, units=3, faults=wrong)


@pytest.mark.parametrize("preset", ["transformer", "bearing"])
def test_samples_in_a_file_are_the_same_and_need_no_memory_of_their_own(tmp_path, preset):
    settings = {"records": 130, "units": 2, "sensors": 3, "faults": 0.2, "preset": preset, "length": 512, "fs": 4096}
    here, there = simulate(**settings), simulate(**settings, scratch=tmp_path)
    assert isinstance(there.x.base, np.memmap) or isinstance(there.x, np.memmap)
    assert np.array_equal(here.x, there.x) and there.x.tobytes() == here.x.tobytes()
    for name in ("jsonl", "npz"):
        write(here, tmp_path / "here", name)
        write(there, tmp_path / "there", name)
    for path in (tmp_path / "here").iterdir():
        assert path.read_bytes() == (tmp_path / "there" / path.name).read_bytes()
