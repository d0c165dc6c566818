"""Bearings: the right part is named with its lines, noise and other periods are not, and what is missing is said."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binom

from vibro.diagnosis.case import Baseline, Case
from vibro.diagnosis.knowledge import Machine, machine_of
from vibro.diagnosis.lines import find_lines, find_series
from vibro.diagnosis.rolling import FALSE_WEAK, bearing_faults

from .made import FS, SHAFT, bearing, noise

KNOWN = machine_of({"rpm": "1800", "bearing": "6205"}, "here")
RATES = KNOWN.rates(SHAFT)


def first(x, machine=KNOWN, shaft=SHAFT, baseline=None):
    found = bearing_faults(Case(x, FS, machine, shaft, baseline=baseline))
    return found, found.hypotheses[0] if found.hypotheses else None


@pytest.mark.parametrize(
    ("part", "name"), [("outer", "outer race"), ("inner", "inner race"), ("ball", "rolling element")]
)
@pytest.mark.parametrize("slip", [-0.015, 0.015])
def test_a_damaged_part_is_named_although_it_slips(part, name, slip):
    x = bearing(1, RATES[part] * (1 + slip), turn=SHAFT if part == "inner" else None)
    found, h = first(x)
    assert (h.name, h.grade) == (f"bearing: {name}", "strong")
    hz = np.array([m.hz for m in h.marks if m.where == "envelope"])
    assert np.abs(hz - RATES[part] * (1 + slip)).min() < 2
    assert f"expected {RATES[part]:.4g} Hz" in h.evidence[0]
    assert [o.grade for o in found.hypotheses[1:]].count("strong") == 0


def test_an_inner_race_shows_side_bands_at_shaft_speed():
    _, h = first(bearing(2, RATES["inner"], turn=SHAFT))
    assert any(line.startswith("side bands at shaft speed (30 Hz)") for line in h.evidence)


def test_noise_is_named_no_more_often_than_stated():
    """200 records of noise, four parts each: binomial bound at the stated probability, one in ten thousand to fail."""
    named = sum(first(noise(seed, 0.25))[1].grade != "none" for seed in range(200))
    assert named <= binom.isf(1e-4, 200, FALSE_WEAK)


def test_lines_of_noise_are_exponential():
    lines = find_lines(np.random.default_rng(0).normal(size=200_000), 1000.0)
    ratio = lines.ratio[400:-400:8]
    assert np.mean(ratio) == pytest.approx(1.0, abs=0.05)
    assert np.mean(ratio > -np.log(0.01)) == pytest.approx(0.01, abs=0.003)


def test_another_period_is_no_bearing():
    _, h = first(bearing(3, 47.3))
    assert h.grade == "none"


def test_one_line_is_no_series():
    t = np.arange(4096) / 1000
    x = np.random.default_rng(0).normal(size=4096) + 3 * np.sin(2 * np.pi * 60 * t)
    series = find_series(find_lines(x, 1000.0), 60, 0.02)
    assert series.there == [1] and series.probability > 1e-3


def test_what_normal_records_show_too_is_held_against_it():
    x = bearing(4, RATES["outer"])
    base = Baseline(np.stack([bearing(seed, RATES["outer"]) for seed in range(10, 16)]))
    _, h = first(x, baseline=base)
    assert h.grade == "weak" and any("normal records of the sensor show it too" in line for line in h.against)
    clean = Baseline(np.stack([noise(seed) for seed in range(20, 26)]))
    assert first(x, baseline=clean)[1].grade == "strong"


def test_normal_records_at_another_speed_are_searched_at_the_frequencies_of_theirs():
    x = bearing(4, RATES["outer"])
    faster = np.stack([bearing(seed, 1.2 * RATES["outer"]) for seed in range(10, 16)])
    assert first(x, baseline=Baseline(faster, np.full(6, 1.2 * SHAFT)))[1].grade == "weak"
    assert first(x, baseline=Baseline(faster, np.full(6, SHAFT)))[1].grade == "strong"


def test_without_geometry_the_period_is_named_and_what_is_missing():
    found, h = first(bearing(5, 91.0), Machine(), SHAFT)
    assert h.name == "repeating impacts" and any(abs(m.hz - 91) < 2 for m in h.marks)
    assert found.unsaid == ("bearing parts cannot be told apart: bearing geometry not given in the sensor table",)
    found, h = first(noise(6), Machine(), None)
    assert h is None and "shaft speed and bearing geometry" in found.unsaid[0]


def test_a_period_of_the_shaft_needs_no_bearing():
    quiet = Baseline(np.stack([noise(seed) for seed in range(20, 26)]))
    found, h = first(bearing(7, SHAFT), Machine(), SHAFT, quiet)
    assert h.name == "shaft: impacts once a revolution" and h.grade == "weak"
    assert "1 times the shaft speed" in found.unsaid[1]
    usual = Baseline(np.stack([bearing(seed, SHAFT) for seed in range(30, 36)]))
    assert first(bearing(7, SHAFT), Machine(), SHAFT, usual)[1] is None
    assert first(bearing(7, SHAFT), Machine(), SHAFT)[1] is None


def test_a_short_record_knows_the_speed_no_better_than_its_lines_are_wide():
    quiet = Baseline(np.stack([noise(seed, 0.3) for seed in range(20, 26)]))
    found, h = first(bearing(7, 0.967 * SHAFT, seconds=0.3), Machine(), SHAFT, quiet)
    assert any("1 times the shaft speed" in line for line in found.unsaid)
    assert h is None or h.name != "repeating impacts"


def test_swings_once_a_revolution_must_be_deeper_than_usual():
    """All normal records swing at shaft speed, a few of them too little for the search to see it."""
    usual = Baseline(np.stack([bearing(seed, SHAFT, size) for seed, size in zip(range(30, 36), (1, 6, 6, 6, 6, 6))]))
    assert first(bearing(7, SHAFT), Machine(), SHAFT, usual)[1] is None
    assert first(bearing(7, SHAFT, 18.0), Machine(), SHAFT, usual)[1].name == "shaft: impacts once a revolution"


def test_two_parts_that_a_record_is_too_short_to_tell_apart_are_weak():
    near = Machine(rpm=1800, bpfi=221.0, bsf=107.5)  # the rolling element strikes at 215 Hz
    _, h = first(bearing(9, 218.0, seconds=0.12), near)
    assert h.grade == "weak" and any("too short to tell it from" in line and "2" in line for line in h.against)
    _, h = first(bearing(9, 221.0, seconds=1.0), near)
    assert (h.name, h.grade) == ("bearing: inner race", "strong")


def test_too_short_and_too_slow_records_say_so():
    found, _ = first(bearing(8, RATES["outer"], seconds=0.05))
    assert any(
        "cage at 11.95 Hz cannot be judged: the record holds 0.6 of its periods" in line for line in found.unsaid
    )
    slow = bearing_faults(Case(np.random.default_rng(0).normal(size=4000), 500.0, KNOWN, SHAFT))
    assert any(line.endswith("fs is too low for three lines") for line in slow.unsaid)


@pytest.mark.skipif("VIBRO_TEST_DATA" not in os.environ, reason="VIBRO_TEST_DATA is not set")
def test_measured_bearings_are_named_right():
    path = Path(os.environ["VIBRO_TEST_DATA"]) / "mfpt" / "mfpt.npz"
    if not path.is_file():
        pytest.skip("VIBRO_TEST_DATA holds no mfpt")
    with np.load(path, allow_pickle=False) as data:
        x, kind, fs = data["signals"][::5], data["fault_type"][::5], float(data["fs"])
    cells = {"rpm": "1500", "bpfo": "81.125", "bpfi": "118.875", "bsf": "63.91", "ftf": "14.8375"}
    machine = machine_of(cells, "mfpt")
    named = []
    for record in x:
        h = bearing_faults(Case(record.astype(float), fs, machine, 25.0)).hypotheses[0]
        named.append(h.name.removeprefix("bearing: ").replace(" ", "_") if h.grade != "none" else "normal")
    right = np.array(named) == kind
    assert right[kind != "normal"].mean() >= 0.92 and right[kind == "normal"].mean() >= 0.98
