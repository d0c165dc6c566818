"""What is wrong with samples: gaps, spikes, repeated blocks, scale, clocks, rates - and what is not, on real data."""

from __future__ import annotations

import json

import numpy as np
import pytest

from vibro import cli
from vibro.data import Quality, Record
from vibro.errors import ConfigError
from vibro.ingest import IngestOptions, ingest, quality
from vibro.ingest.quality import judged, moments
from vibro.ingest.repair import filled, longest_run, refusal, runs
from vibro_plugins.readers.npz import Npz

T = np.arange(4096)
RNG = np.random.default_rng(0)
NOISE = RNG.standard_normal(4096)
SINE = np.sin(2 * np.pi * 50.3 * T / 4096)


def verdict(x):
    found = judged(np.asarray(x, np.float32).reshape(1, -1))
    return found.bits, found.words


def with_run(x, start, count, value):
    x = np.array(x)
    x[start : start + count] = value
    return x


def ringing(x, at, height=40.0):
    """An impact that rings at a fifth of the sampling rate, as bearings do."""
    x = np.array(x)
    n = np.arange(60)
    x[at : at + 60] += height * np.exp(-n / 8) * np.sin(2 * np.pi * n / 5 + 0.7)
    return x


# --- one record -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("x", "words"),
    [
        (with_run(NOISE, 500, 40, 0.0), "samples 500 to 539 are all 0 (of 4096)"),
        (with_run(NOISE, 500, 40, NOISE[499]), "samples 499 to 539 are all"),
        (with_run(SINE, 1000, 200, SINE[999]), "samples 999 to 1199 are all"),
        (with_run(np.round(NOISE * 50), 100, 30, 0.0), "are all 0"),
        (with_run(NOISE + 8, 0, 100, 8.1), "samples 0 to 99 are all 8.1"),
    ],
)
def test_a_gap_is_invalid(x, words):
    bits, text = verdict(x)
    assert bits == Quality.DROPOUT and bits & Quality.INVALID and words in text


@pytest.mark.parametrize(
    "x",
    [
        NOISE,
        SINE,
        np.round(SINE * 3),  # seven levels
        np.round(NOISE),  # a coarse converter repeats values all the time
        np.round(np.cumsum(NOISE) / 20),  # a slow channel in steps
        np.repeat(NOISE[:64], 64),  # a slow channel sampled fast
        np.round(
            50 * np.concatenate([np.zeros(3000), np.exp(-T[:1096] / 200) * np.sin(T[:1096] / 5)])
        ),  # rest, a burst
        with_run(NOISE, 500, 10, 0.0),
        np.sin(2 * np.pi * T / 4096) * 1e-3 + 5,
        ringing(NOISE, 700),
        ringing(NOISE * 0.01, 700, 4.0),
        np.sign(SINE),
        np.abs(SINE),
    ],
)
def test_slow_coarse_and_pure_signals_are_valid(x):
    assert verdict(x) == (Quality(0), "")


def test_clipping_on_one_side_and_saturation():
    assert verdict(np.minimum(NOISE, 0.8))[0] == Quality.CLIPPED
    assert verdict(np.clip(SINE * 1.3, -1, 1))[0] == Quality.CLIPPED


def test_lone_spikes_are_remarked_on():
    x = NOISE.copy()
    x[[700, 2500]] = (90, -120)
    bits, words = verdict(x)
    assert bits == Quality.SPIKES and not bits & Quality.INVALID
    assert words == "2 lone spikes, the largest -120 at sample 2500"
    x[[0, 1, 4095]] = 500  # at the ends nothing stands on one side
    assert verdict(x)[1] == "2 lone spikes, the largest -120 at sample 2500"
    assert verdict(with_run(NOISE, 700, 2, 90))[0] == Quality(0)
    assert verdict(with_run(np.tile(NOISE, 600), 10**6, 1, -90))[1] == "1 lone spike, the largest -90 at sample 1000000"


def test_a_signal_that_hardly_moves_beside_its_mean():
    bits, words = verdict(1000 + 1e-3 * SINE)
    assert bits == Quality.STILL and "of 1000" in words
    assert verdict(np.float32(3) + np.zeros(100))[0] == Quality.CONSTANT


def test_long_records_are_judged_in_parts(monkeypatch):
    monkeypatch.setattr(quality, "PART", 1000)
    monkeypatch.setattr(quality, "ENOUGH", 512)
    assert verdict(NOISE) == (Quality(0), "")
    assert verdict(with_run(NOISE, 2500, 40, 0.0))[1] == "samples 2500 to 2539 are all 0 (of 4096)"
    assert verdict(with_run(NOISE, 2500, 1, 90.0))[1] == "1 lone spike, the largest 90 at sample 2500"
    assert verdict(np.minimum(NOISE, 0.8))[0] == Quality.CLIPPED


def test_the_longest_run_is_the_first_of_equal_ones():
    for seed in range(50):
        marked = np.random.default_rng(seed).random(40) < 0.6
        found = max(runs(marked), key=lambda run: run[1] - run[0])
        assert longest_run(marked) == found


def test_the_worst_channel_speaks():
    x = np.stack([NOISE, with_run(NOISE, 500, 40, 0.0)]).astype(np.float32)
    found = judged(x)
    assert found.bits == Quality.DROPOUT and found.words.startswith("channel 1: samples 500")
    assert found.level == pytest.approx(np.sqrt(x.var(axis=1).mean()), rel=1e-5)


@pytest.mark.parametrize(
    "x", [NOISE, NOISE * 1e30, NOISE * 1e-30, 1e6 + NOISE, np.full(300_000, 7.0), RNG.normal(size=300_000)]
)
def test_moments_are_those_of_float64(x):
    x = x.astype(np.float32)
    wide = x.astype(np.float64)
    assert moments(x) == pytest.approx((wide.mean(), wide.std()), rel=1e-9, abs=1e-9 * wide.std())


@pytest.mark.parametrize("name", ["adi_motor", "mfpt", "cwru_0hp", "pronostia", "ecg5000", "itsc_current"])
def test_no_valid_record_of_real_data_is_lost(real, tmp_path, name):
    arrays = real(name)
    n = len(arrays["signals"])
    hours = np.datetime64("2024-01-01T00:00:00") + np.arange(n) * np.timedelta64(1, "h")
    times = np.char.add(hours.astype(str), "Z")
    sensors = arrays["sensor_id"]
    np.savez(tmp_path / "a.npz", signals=arrays["signals"], fs=arrays["fs"] or 1.0, sensor_id=sensors, data_time=times)
    got = take(tmp_path)
    assert len(got.batch) == n and got.batch.valid.all()
    assert set(got.accounting.total.others) <= {"Q013", "Q017"}, got.accounting.total


def test_slow_channels_of_real_data(real):
    values = real("skab")["values"]
    for length in (128, 512):
        windows = [row[i : i + length] for row in values.T for i in range(0, len(row) - length, length)]
        bad = sum(bool(verdict(x)[0] & (Quality.CLIPPED | Quality.DROPOUT | Quality.SPIKES)) for x in windows)
        assert bad <= 0.003 * len(windows)


# --- repeated blocks (case 08), scale, clocks, rates ------------------------------------------------------------------


def take(folder, **options):
    options.setdefault("need_fs", False)
    got = ingest([folder / "a.npz"], [Npz.make({}, None)], IngestOptions(**options), folder / "work", lambda e: None)
    got.accounting.check()
    return got


def save(folder, x, minutes=10.0, start="2024-01-01T00:00:00", **more):
    step = np.timedelta64(round(minutes * 60e3), "ms")
    times = np.datetime64(start, "ms") + np.arange(len(x)) * step
    more.setdefault("sensor_id", "a")
    more.setdefault("fs", 4096.0)
    np.savez(folder / "a.npz", signals=x.astype(np.float32), data_time=np.char.add(times.astype(str), "Z"), **more)


def blocks(n, length=256):
    return np.random.default_rng(3).standard_normal((n, length))


def test_the_same_samples_at_other_times_are_stale_case_08(tmp_path):
    x = blocks(40)
    x[10:40] = x[10]
    save(tmp_path, x)
    got = take(tmp_path)
    assert got.batch.quality.tolist() == [0] * 11 + [Quality.STALE] * 29
    assert "30 records of sensor a hold the same samples (Q021)" in got.warnings
    row = next(iter(got.accounting.rows()))
    assert (row["code"], row["disposition"], row["row"]) == ("Q021", "invalid", 11)
    assert row["detail"] == "the samples of a.npz:10 under another time"
    strict = take(tmp_path, strict_quality=True)
    assert len(strict.batch) == 11 and strict.accounting.by_code == {"Q021": 29}


def test_equal_samples_that_are_not_stale(tmp_path):
    x = blocks(4)
    x[1] = x[0]
    save(tmp_path, x, sensor_id=np.array(["a", "b", "a", "b"]))  # another sensor
    assert not take(tmp_path).batch.quality.any()
    save(tmp_path, np.tile(np.sin(np.arange(512) * 2 * np.pi * 8 / 512), (6, 1)))  # a computed tone
    assert not take(tmp_path).batch.quality.any()
    save(tmp_path, np.round(np.tile(np.sin(np.arange(512) / 9), (6, 1)) * 3))  # few levels
    assert not take(tmp_path).batch.quality.any()


def test_a_thousand_times_too_large_is_asked_about(tmp_path):
    x = np.array([np.convolve(row, [1, 1.5, 1], "same") for row in blocks(30)])
    x[[4, 9]] *= 1000
    x[17] /= 1000
    x[22] = 1000 * np.random.default_rng(5).standard_normal(256)  # another signal
    save(tmp_path, x)
    got = take(tmp_path)
    assert np.flatnonzero(got.batch.quality & Quality.SCALE).tolist() == [4, 9, 17]
    assert got.batch.valid.all() and got.accounting.total.others == {"Q024": 3}
    assert any("3 records stand at about 1,000 times" in text for text in got.warnings)


def test_clocks_that_jump_back_or_were_never_set(tmp_path):
    stamps = ["2024-01-01T00:00:00Z", "2024-01-01T00:10:00Z", "2023-12-31T23:50:00Z", "1970-01-01T00:00:05Z"]
    np.savez(tmp_path / "a.npz", signals=blocks(4), data_time=np.array(stamps), fs=4096.0, sensor_id="a")
    got = take(tmp_path)
    told = [(row["code"], row["detail"]) for row in got.accounting.rows()]
    assert [code for code, _ in told] == ["Q025", "Q025"] and len(got.batch) == 4
    assert "goes back from 2024-01-01T00:10:00Z to 2023-12-31T23:50:00Z at row 2, 2 times in all" in told[0][1]
    assert "1 record has a time in 1970 or before" in told[1][1]


def test_a_rate_that_cannot_be(tmp_path):
    save(tmp_path, blocks(20, 1024), fs=0.0)
    with pytest.raises(ConfigError, match=r"at 5 Hz last 204.8 s, but follow each other every 10 s") as error:
        save(tmp_path, blocks(20, 1024), minutes=1 / 6, fs=0.0)
        take(tmp_path, fs=5.0, need_fs=True)
    assert "--fs 5000" in error.value.hint and "--time-from none" in error.value.hint
    assert any("check fs" in text for text in take(tmp_path, fs=5.0).warnings)
    assert not any("fs" in text for text in take(tmp_path, fs=4096.0).warnings)
    save(tmp_path, blocks(20, 1024), fs=12.0)
    assert any("if 12000 Hz is meant, --fs 12000" in text for text in take(tmp_path).warnings)
    save(tmp_path, blocks(20, 1024), fs=12e6)
    assert any("if 12000 Hz is meant" in text for text in take(tmp_path).warnings)
    save(tmp_path, blocks(20, 1024), fs=1.0)
    assert not any("is meant" in text for text in take(tmp_path).warnings)


def test_times_before_those_of_the_model_are_told(tmp_path, capsys):
    save(tmp_path, blocks(40), start="2024-02-01T00:00:00")
    out = tmp_path / "OUT"
    run = ["ensemble", "run", str(tmp_path / "a.npz"), "-o", str(out), "--detectors", "mahalanobis", "--no-report"]
    assert cli.run(run) == 0
    save(tmp_path, blocks(6) + 1, start="1999-02-01T00:00:00")
    capsys.readouterr()
    assert (
        cli.run(["score", str(out), str(tmp_path / "a.npz"), "-o", str(tmp_path / "S"), "--no-report", "--json"]) == 0
    )
    told = json.loads(capsys.readouterr().out)["warnings"]
    assert any("6 records lie before 2024-02-01T00:00:00" in text for text in told)


# --- repair -----------------------------------------------------------------------------------------------------------


def holed(*spans, channels=1):
    x = np.tile(np.arange(20, dtype=np.float32), (channels, 1))
    for start, stop in spans:
        x[channels - 1, start:stop] = np.nan
    return Record(x, "s", row=3, line=7)


def test_short_gaps_are_filled_in_a_straight_line():
    record = filled(holed((3, 5), (10, 18), channels=2), 8)
    np.testing.assert_array_equal(record.signal, np.tile(np.arange(20), (2, 1)))
    assert refusal(record) is None


@pytest.mark.parametrize(
    ("spans", "detail"),
    [
        ([(10, 19)], "samples 10 to 18 are not finite"),
        ([(0, 1)], "sample 0 is nan, not a finite float32"),
        ([(19, 20)], "sample 19 is nan"),
    ],
)
def test_longer_gaps_and_ends_are_refused_by_their_place(spans, detail):
    refused = refusal(filled(holed(*spans), 8))
    assert refused.code == "Q007" and detail in refused.detail and (refused.row, refused.line) == (3, 7)
    whole = holed((3, 4))
    assert filled(whole, 0) is whole


def test_a_window_with_a_gap_costs_only_itself(tmp_path, capsys):
    x = NOISE.copy()
    x[1500:1600] = np.nan
    x[3000:3004] = np.nan
    (tmp_path / "a.csv").write_text("acc\n" + "".join(f"{v:.5f}\n" for v in x))
    argv = ["data", "check", str(tmp_path / "a.csv"), "--fs", "4096", "--window", "1024", "--json"]
    assert cli.run(argv) == 4
    refused = json.loads(capsys.readouterr().out)
    assert refused["refused"][0]["code"] == "Q007" and "--repair interpolate:8" in refused["refused"][0]["way"]
    assert cli.run([*argv, "--repair", "interpolate:8"]) == 4
    found = json.loads(capsys.readouterr().out)
    assert found["records"]["accepted"] == 3 and found["records"]["by_code"] == {"Q007": 2}
    assert any("had gaps that were interpolated" in text for text in found["warnings"])
