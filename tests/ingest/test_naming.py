"""What is what: sensor, machine and time by rule from path and channel, or by the patterns that the user gives."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.io import savemat

from vibro import cli
from vibro.data import Record, parse_time
from vibro.errors import ConfigError
from vibro.ingest.naming import Namer, channel_name
from vibro.ingest.options import IngestOptions, check_options
from vibro.ingest.patterns import PathPattern
from vibro.ingest.stamps import stamp_in
from vibro.ingest.states import names_state, without_state

RNG = np.random.default_rng(0)


def table(path, columns=2, rows=64, names=None):
    """A recording as a table, one more each time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    head = (",".join(names) + "\n") if names else ""
    path.write_text(
        head + "".join(",".join(f"{v:.4f}" for v in row) + "\n" for row in RNG.normal(size=(rows, columns)))
    )


@pytest.fixture
def check(capsys):
    def run(*argv):
        code = cli.run(["data", "check", "--json", *map(str, argv)])
        out, err = capsys.readouterr()
        assert code == 0, err
        found = json.loads(out)
        return {s["sensor_id"]: s for s in found["sensors"]}, found["warnings"]

    return run


def named(source, sensor="", channel="", **options):
    """Sensor, machine and time of the one record of a file."""
    record = Record(np.zeros((1, 4), np.float32), sensor, channel=channel)
    (item,) = [i for i in Namer(IngestOptions(**options), "data").named([record], source) if not isinstance(i, str)]
    return item.sensor, item.machine, None if np.isnat(item.time) else str(item.time)[:19]


# --- by rule ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "channel", "sensor", "machine"),
    [
        ("1.csv", "", "", ""),
        ("1.csv", "x", "x", "data"),
        ("Bearing1_1/1.csv", "h", "Bearing1_1:h", "Bearing1_1"),
        ("fan/id_00/normal/0.wav", "", "fan/id_00", "fan/id_00"),
        ("fan/id_00/abnormal/0.wav", "", "fan/id_00", "fan/id_00"),
        ("pump/正常/0.wav", "1", "pump:1", "pump"),
        ("pump/train/内圈故障/0.wav", "1", "pump:1", "pump"),
        ("InnerRace/0.mat", "x", "x", "data"),
        ("outer pump/0.mat", "x", "outer pump:x", "outer pump"),
        ("year=2026/month=11/0.parquet", "x", "x", "data"),
        ("machine_id=m1/date=2026-11-30/0.parquet", "x", "m1:x", "m1"),
    ],
)
def test_a_channel_is_a_sensor_and_the_path_without_states_a_machine(source, channel, sensor, machine):
    assert named(source, channel=channel) == (sensor, machine, None)


def test_what_a_file_states_stays():
    assert named("fan/a.jsonl", sensor="s1") == ("s1", "", None)


@pytest.mark.parametrize(
    ("channel", "stem", "name"),
    [
        ("X097_DE_time", "97_Normal_0", "DE_time"),
        ("X097_DE_time", "Normal_0", "DE_time"),
        ("N09_M07_F10_K001_1.Y.vibration_1", "N09_M07_F10_K001_1", "Y.vibration_1"),
        ("acc_x", "acc", "x"),
        ("acc_x", "acc_x", "acc_x"),
        ("accel", "acc", "accel"),
        ("x1", "a", "x1"),
    ],
)
def test_a_channel_is_not_named_after_its_file(channel, stem, name):
    assert channel_name(channel, stem) == name


@pytest.mark.parametrize(
    ("folder", "state"),
    [
        (n, True)
        for n in ("normal", "Abnormal", "0_normal", "InnerRace", "inner race", "OR007@6", "12k_DE_fault", "正常")
    ]
    + [(n, True) for n in ("不正常", "轴承内圈故障", "train", "source_test", "Normal-Baseline", "ball", "测试集")]
    + [(n, True) for n in ("1 - Three Baseline Conditions", "4 - Seven Inner Race Fault Conditions")]
    + [(n, False) for n in ("fan", "Bearing1_1", "id_00", "007", "outer pump", "fan_normal", "35Hz12kN", "ball mill")]
    + [(n, False) for n in ("1号变压器", "变压器正常", "轴承", "abnormality meter", "data")],
)
def test_words_that_tell_a_state(folder, state):
    assert names_state(folder) is state


def test_names_given_by_the_user_tell_a_state_too():
    assert names_state("K001", frozenset(["K001"]))
    assert named("rig/K001/a.mat", channel="v", states=("K001",))[:2] == ("rig:v", "rig")


def test_folders_that_differ_by_a_state_alone_are_told():
    assert [without_state(n) for n in ("pump_normal", "fan 1 faulty", "变压器正常", "normal")] == [
        "pump",
        "fan 1",
        "变压器",
        "normal",
    ]
    namer = Namer(IngestOptions(), "data")
    for source in ("pump_normal/a.csv", "pump_abnormal/a.csv", "fan/a.csv"):
        list(namer.named([Record(np.zeros((1, 4), np.float32), "", channel="x")], source))
        namer.saw(source)
    (told,) = namer.told()
    assert "pump_abnormal and pump_normal" in told and "both are pump" in told and "--machine-from" in told


def test_identities_in_names_of_files_are_told():
    namer = Namer(IngestOptions(), "data")
    for name in ("normal_id_00_0001.wav", "anomaly_id_02_0001.wav", "section_00_a.wav", "video_1.wav"):
        list(namer.named([Record(np.zeros((1, 4), np.float32), "")], f"fan/test/{name}"))
        namer.saw(f"fan/test/{name}")
    (told,) = [text for text in namer.told() if "names of files" in text]
    assert "hold id 00, 02, which are one sensor now: --sensor-from '*id_{sensor}_*'" in told
    assert PathPattern("*id_{sensor}_*").match("fan/test/normal_id_00_0001.wav") == {"sensor": "00"}


def test_files_of_a_rig_case_02(check, tmp_path):
    for machine in ("Bearing1_1", "Bearing1_2"):
        for i in (1, 2, 10):
            table(tmp_path / "in" / machine / f"{i}.csv", names=["Horizontal", "Vertical"])
    sensors, warnings = check(tmp_path / "in", "--fs", 25600)
    assert {name: (s["machine_id"], s["records"]) for name, s in sensors.items()} == {
        f"{machine}:{axis}": (machine, 3)
        for machine in ("Bearing1_1", "Bearing1_2")
        for axis in ("Horizontal", "Vertical")
    }
    assert any("named after their folder and channel" in text for text in warnings)


def test_files_come_in_natural_order(tmp_path):
    from vibro.ingest.files import natural

    names = ["10.csv", "2.csv", "1.csv", "a/2.csv", "a/10.csv", "02.csv"]
    assert sorted(names, key=natural) == ["1.csv", "02.csv", "2.csv", "10.csv", "a/2.csv", "a/10.csv"]


def test_clips_of_one_name_case_10(check, tmp_path):
    for machine in ("fan/id_00", "pump/id_02"):
        for state in ("normal", "abnormal"):
            for i in range(2):
                table(tmp_path / "in" / machine / state / f"0000000{i}.csv", columns=1)
    sensors, warnings = check(tmp_path / "in", "--fs", 4096)
    assert {name.partition(":")[0] for name in sensors} == {"fan/id_00", "pump/id_02"}
    assert [(s["machine_id"], s["records"]) for s in sensors.values()] == [("fan/id_00", 4), ("pump/id_02", 4)]
    assert not [text for text in warnings if "no machine_id" in text]  # the folders name the machines
    assert any("tell a state name no machine: abnormal, normal" in text for text in warnings)


# --- times in names ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "time"),
    [
        ("2004.02.12.10.02.39", "2004-02-12T10:02:39"),
        ("20240212T100239Z.csv", "2024-02-12T10:02:39Z"),
        ("rec_2024-02-12_10-02-39.250.csv", "2024-02-12T10:02:39.250"),
        ("2024-02-12 10h02m39.csv", "2024-02-12T10:02:39"),
        ("20240212100239_123.csv", "2024-02-12T10:02:39"),
        ("20240230_100239.csv", None),
        ("12-02-2024_10-02-39.csv", None),
        ("acc_00001.csv", None),
        ("1707732159.csv", None),
        ("20240212.csv", None),
        ("120240212100239.csv", None),
    ],
)
def test_the_time_in_a_files_name(name, time):
    found = stamp_in(name)
    assert (found and found[0]) == time


def test_files_named_by_their_time_case_03(check, tmp_path):
    for minute in (2, 12, 22):
        table(tmp_path / "in" / f"2004.02.12.10.{minute:02d}.39", columns=4)
    sensors, warnings = check(tmp_path / "in", "--fs", 20480)
    assert len(sensors) == 4
    assert {(s["records"], s["first"], s["last"]) for s in sensors.values()} == {
        (3, "2004-02-12T10:02:39Z", "2004-02-12T10:22:39Z")
    }
    assert any("times name no zone and were read as UTC; --tz ZONE" in text for text in warnings)
    sensors, warnings = check(tmp_path / "in", "--fs", 20480, "--tz", "Europe/Berlin")
    assert {s["first"] for s in sensors.values()} == {"2004-02-12T09:02:39Z"}
    assert any("are in Europe/Berlin" in text for text in warnings)
    assert {s["first"] for s in check(tmp_path / "in", "--fs", 20480, "--time-from", "none")[0].values()} == {None}


def test_a_file_of_many_records_has_no_time_in_its_name(tmp_path, check):
    np.savez(tmp_path / "20240212_100239.npz", signals=RNG.normal(size=(3, 32)), fs=100.0)
    np.savez(tmp_path / "20240213_100239.npz", signals=RNG.normal(size=(1, 32)), fs=100.0)
    sensors, _ = check(tmp_path)
    assert [(s["records"], s["first"], s["last"]) for s in sensors.values()] == [
        (4, "2024-02-13T10:02:39Z", "2024-02-13T10:02:39Z")
    ]


@pytest.mark.parametrize("how", [(), ("--time-from", "{time:%Y%m%dT%H%M%S}.csv")])
def test_pieces_of_a_recording_begin_at_the_time_of_its_name_and_later(tmp_path, capsys, how):
    (tmp_path / "in").mkdir()
    times = np.arange(128) / 1000 + (np.arange(128) >= 64) * 3.0
    rows = "".join(f"{t:.3f},{x:.4f}\n" for t, x in zip(times, RNG.normal(size=128), strict=True))
    (tmp_path / "in" / "20240212T100239.csv").write_text("time,x\n" + rows)
    assert cli.run(["data", "convert", str(tmp_path / "in"), "-o", str(tmp_path / "out.npz"), *how, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["records"]
    assert (found["accepted"], found["quarantined"]) == (2, 0)
    with np.load(tmp_path / "out.npz") as out:
        assert [str(time)[:23] for time in out["data_time"]] == ["2024-02-12T10:02:39Z", "2024-02-12T10:02:42.064"]


def test_recordings_of_one_channel_do_not_share_the_time_of_the_name(tmp_path, capsys):
    (tmp_path / "in").mkdir()
    savemat(tmp_path / "in" / "20240212T100239.mat", {"x": RNG.normal(size=(40, 256))})
    assert cli.run(["data", "check", str(tmp_path / "in"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["records"]["accepted"] == 40 and found["time"]["first"] is None


def test_one_time_in_all_files_is_a_clock_that_stands(check, tmp_path):
    for i in range(3):
        table(tmp_path / "in" / str(i) / "2024-02-12_10-02-39.csv", names=["x", "y"])
    sensors, _ = check(tmp_path / "in", "--fs", 100)
    assert {s["first"] for s in sensors.values()} == {"2024-02-12T10:02:39Z"}  # three machines at one time are fine
    sensors, warnings = check(tmp_path / "in", "--fs", 100, "--machine-from", "{}/*.csv", "--map", "0=0,1=0,2=0")
    assert {(s["records"], s["first"]) for s in sensors.values()} == {(3, None)}
    assert any("one and the same time, which is left out" in text for text in warnings)


# --- by patterns ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "source", "fields"),
    [
        (
            "{machine}/{sensor}/{time:%Y%m%d_%H%M%S}.csv",
            "x/fan/a/20240212_100239.csv",
            {"machine": "fan", "sensor": "a", "time": "2024-02-12T10:02:39"},
        ),
        (
            "{machine}/{time:%Y-%m-%d}/{time:%H%M%S}",
            "a/2024-01-02/101112.wav",
            {"machine": "a", "time": "2024-01-02T10:11:12"},
        ),
        ("{machine}_{state}/*.csv", "x/pump_normal/1.csv", {"machine": "pump", "state": "normal"}),
        ("N{}_M{}_F{}_{machine}_{}.mat", "N09_M07_F10_K001_1.mat", {"machine": "K001"}),
        ("{time:%d.%m.%Y %H-%M}.csv", "01.02.2024 10-11.csv", {"time": "2024-02-01T10:11:00"}),
        ("{machine}/*.csv", "1.csv", None),
        ("{time:%Y%m%d}.csv", "20240231.csv", None),
        ("{sensor}+{channel}.csv", "a+b.csv", {"sensor": "a", "channel": "b"}),
    ],
)
def test_patterns_on_a_path(pattern, source, fields):
    assert PathPattern(pattern).match(source) == fields


@pytest.mark.parametrize(
    "pattern",
    [
        *("{machine", "{machine}{sensor}.csv", "{machine}*.csv", "{colour}.csv", "{time}.csv", "{time:%Q}.csv"),
        *(
            "../{machine}.csv",
            "/{machine}.csv",
            "http://{machine}/x",
            "{machine}/{machine}.csv",
            "{machine}" + "x" * 400,
        ),
    ],
)
def test_patterns_that_are_none(pattern):
    with pytest.raises(ConfigError) as error:
        check_options(IngestOptions(sensor_from=pattern))
    assert error.value.hint


def test_a_pattern_is_matched_in_one_pass():
    pattern = PathPattern("{machine}_{sensor}_{channel}_{recording}_{state}_x.csv")
    assert pattern.match("_" * 4000 + ".csv") is None


def test_sensor_machine_and_time_by_a_pattern(check, tmp_path):
    for machine in ("A", "B"):
        for minute in (0, 1):
            table(tmp_path / "in" / machine / f"left_2024.02.01 10-{minute:02d}.csv", columns=1, names=["acc"])
    pattern = "{machine}/{sensor}_{time:%Y.%d.%m %H-%M}.csv"
    sensors, _ = check(tmp_path / "in", "--fs", 100, "--sensor-from", pattern)
    assert {name: (s["machine_id"], s["first"]) for name, s in sensors.items()} == {
        "A/left:acc": ("A", "2024-01-02T10:00:00Z"),
        "B/left:acc": ("B", "2024-01-02T10:00:00Z"),
    }
    _, warnings = check(tmp_path / "in", "--fs", 100, "--sensor-from", "{sensor}.wav")
    assert any("does not fit --sensor-from {sensor}.wav" in text for text in warnings)


# --- zones ------------------------------------------------------------------------------------------------------------


def test_times_without_a_zone_are_in_the_zone_that_is_named():
    from zoneinfo import ZoneInfo

    berlin = ZoneInfo("Europe/Berlin")
    for text, utc in (
        ("2024-07-01T12:00:00", "2024-07-01T10:00:00"),
        ("2024-01-01T12:00:00.25", "2024-01-01T11:00:00.25"),
        ("2024-10-27T02:30:00", "2024-10-27T00:30:00"),  # passed twice: the first time
        ("2024-07-01T12:00:00Z", "2024-07-01T12:00:00"),
        ("2024-07-01T12:00:00+01:00", "2024-07-01T11:00:00"),
    ):
        assert parse_time(text, berlin)[0] == np.datetime64(utc)
    with pytest.raises(ConfigError, match="no time zone"):
        check_options(IngestOptions(tz="Berlin"))
