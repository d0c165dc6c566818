"""``vibro data check | convert | labels | simulate``: what they print, write, refuse, and the exit code."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest

from vibro import cli

X = np.random.default_rng(0).standard_normal((40, 64)).astype(np.float32)


def line(i, x=None, **more):
    text = ",".join(map(str, X[i] if x is None else x))
    stamp = f"2024-03-01T{i // 60:02d}:{i % 60:02d}:00Z"
    return json.dumps({"data_time": stamp, "signal_value": text, "sensor_id": f"s{i % 2}", **more}) + "\n"


@pytest.fixture
def vibro(capsys):
    def run(*argv):
        code = cli.run(["data", *map(str, argv)])
        out, err = capsys.readouterr()
        return code, out, err

    return run


@pytest.fixture
def data(tmp_path):
    path = tmp_path / "data.jsonl"
    path.write_text("".join(line(i, fs=100, unit="g", machine_id="T1", covariates={"load": i}) for i in range(40)))
    return path


def rows(path):
    with path.open(encoding="utf-8-sig", newline="") as handle:
        return list(csv.DictReader(handle))


# --- check ------------------------------------------------------------------------------------------------------------


def test_check_tells_what_is_there(vibro, data, tmp_path):
    (tmp_path / "labels.csv").write_text("source,row,label\ndata.jsonl,3,1\ndata.jsonl,4,0\n")
    code, out, _ = vibro("check", data, "--labels", tmp_path / "labels.csv", "--json")
    found = json.loads(out)
    assert code == 0
    assert found["records"]["read"] == found["records"]["accepted"] == 40
    assert [(s["sensor_id"], s["machine_id"], s["records"], s["gaps"]) for s in found["sensors"]] == [
        ("s0", "T1", 20, 0),
        ("s1", "T1", 20, 0),
    ]
    assert found["sensors"][0]["step_seconds"] == 120 and found["time"]["last"] == "2024-03-01T00:39:00Z"
    assert found["signal"] == {
        "fs": 100.0,
        "fs_source": "data",
        "fs_check": "no comb",
        "unit": "g",
        "length": 64,
        "channels": 1,
        "mains_hz": None,
    }
    assert found["labels"]["key"] == "source + row" and found["labels"]["anomalous"] == 1
    assert found["covariates"] == {"load": 40}


def test_check_prints_tables_in_both_languages(vibro, data):
    code, out, _ = vibro("check", data)
    assert code == 0 and "read 40 = accepted 40 + quarantined 0" in out and "100 Hz (data)" in out
    assert "读入 40 = 接受 40 + 隔离 0" in vibro("check", data, "--lang", "zh")[1]


def test_check_writes_nothing_without_o(vibro, data, tmp_path):
    before = sorted(tmp_path.iterdir())
    vibro("check", data)
    assert sorted(tmp_path.iterdir()) == before


def test_check_gaps(vibro, tmp_path):
    (tmp_path / "a.jsonl").write_text("".join(line(2 * i) for i in range(20) if i not in (5, 6, 7)))
    found = json.loads(vibro("check", tmp_path / "a.jsonl", "--json")[1])
    assert found["sensors"][0]["gaps"] == 1 and found["sensors"][0]["longest_gap_seconds"] == 480


def test_check_exit_4_and_the_quarantine_table(vibro, tmp_path):
    (tmp_path / "a.jsonl").write_text(line(0) + "bad\n" + line(1) + line(2, x=[1, 2, "=1+1"]))
    code, out, err = vibro("check", tmp_path / "a.jsonl", "-o", tmp_path / "q.csv", "--csv-bom")
    assert code == 4 and "50.0%" in err and "Q002" in out and "Q006" in out
    assert (tmp_path / "q.csv").read_bytes().startswith(b"\xef\xbb\xbfsource,row,line,pointer,byte_offset")
    table = rows(tmp_path / "q.csv")
    assert [(row["row"], row["line"], row["code"], row["reason"]) for row in table] == [
        ("1", "2", "Q002", "json"),
        ("3", "4", "Q006", "bad_number"),
    ]
    assert table[1]["detail"] == "token 2 is '=1+1', not a number" and table[1]["pointer"] == "/signal_value/2"


def test_check_exit_3_still_reports(vibro, tmp_path):
    (tmp_path / "a.jsonl").write_text("bad\n")
    code, out, err = vibro("check", tmp_path / "a.jsonl", "-o", tmp_path / "q.csv", "--json")
    assert code == 3 and json.loads(out)["records"]["quarantined"] == 1 and len(rows(tmp_path / "q.csv")) == 1
    told = json.loads(err.strip().splitlines()[-1])
    assert told["message"].startswith("no record was accepted of 1 read: Q002 json x 1") and told["exit_code"] == 3


@pytest.mark.parametrize("command", ["check", "convert", "labels", "describe"])
def test_a_path_that_is_not_there_is_a_usage_error(vibro, data, tmp_path, command):
    argv = [*(["-o", tmp_path / "x.npz"] if command in ("convert", "labels") else []), "--map", "normal=0"]
    code, out, err = vibro(command, data.with_name("dota.jsonl"), *argv)
    assert code == 2 and not out and "no such file or folder" in err and f"hint: {data}?" in err.replace("\n", "")
    assert sorted(tmp_path.iterdir()) == [data]


def test_check_does_not_overwrite(vibro, data, tmp_path):
    (tmp_path / "q.csv").write_text("mine")
    code, _, err = vibro("check", data, "-o", tmp_path / "q.csv")
    assert code == 2 and "there already" in err and (tmp_path / "q.csv").read_text() == "mine"


def test_check_a_bad_label_table_is_exit_2(vibro, data, tmp_path):
    (tmp_path / "labels.csv").write_text("source,row,label\ndata.jsonl,3,7\n")
    code, _, err = vibro("check", data, "--labels", tmp_path / "labels.csv")
    assert code == 2 and "line 2" in err


def test_terminal_codes_in_the_data_do_not_reach_the_terminal(vibro, tmp_path):
    (tmp_path / "a\x1b[31m.jsonl").write_text(line(0, sensor_id="\u202e[red]x") + "\x1b[2Jbad\n")
    _, out, err = vibro("check", tmp_path)
    assert "\x1b" not in out + err and "\u202e" not in out + err and "[red]x" in out


# --- convert ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["b.npz", "b.jsonl", "b.jsonl.gz", "b.parquet"])
def test_convert_keeps_every_record_and_its_id(vibro, data, tmp_path, name):
    out = tmp_path / "out" / name
    out.parent.mkdir()
    with data.open("a") as handle:
        handle.write("bad\n")
    code, text, _ = vibro("convert", data, "-o", out)
    assert code == 0 and "40 of 41 records" in text
    assert [row["code"] for row in rows(out.with_name(name + ".quarantine.csv"))] == ["Q002"]
    first, second = (_ids(vibro, path, tmp_path) for path in (data, out))
    assert first == second and len(first) == 40


def _ids(vibro, path, tmp_path):
    """Ids, sensors, machines and covariates of a file, by way of a batch."""
    from vibro.api import Context
    from vibro.ingest import IngestOptions, ingest
    from vibro_plugins.readers.jsonl import JsonLines
    from vibro_plugins.readers.npz import Npz
    from vibro_plugins.readers.parquet import Parquet

    readers = [cls.make({}, Context()) for cls in (JsonLines, Npz, Parquet)]
    batch = ingest([path], readers, IngestOptions(), tmp_path / "work", lambda event: None).batch
    assert batch.fs == 100 and batch.unit == "g" and batch.machines == ("T1",)
    assert batch.recordings == ("data.jsonl",)
    return dict(zip(batch.ids.tolist(), batch.covariates[:, 0].tolist(), strict=True))


def test_convert_gz_is_the_same_every_time(vibro, data, tmp_path):
    for name in ("a", "b"):
        assert vibro("convert", data, "-o", tmp_path / f"{name}.jsonl.gz")[0] == 0
    assert (tmp_path / "a.jsonl.gz").read_bytes() == (tmp_path / "b.jsonl.gz").read_bytes()


def test_convert_cuts_and_resamples(vibro, tmp_path):
    t = np.arange(2000) / 1000
    np.savez(
        tmp_path / "long.npz",
        signals=np.stack([np.sin(2 * np.pi * f * t) for f in (5, 20)]),
        fs=1000.0,
        sensor_id=np.array(["a", "b"]),
        data_time=np.array(["2024-03-01T00:00:00Z"] * 2),
        label=np.array([0, 1]),
        fault_type=np.array(["", "loose"]),
    )
    out, labels = tmp_path / "cut.npz", tmp_path / "labels.csv"
    argv = ("convert", tmp_path / "long.npz", "-o", out, "--window", 200, "--hop", 100, "--resample", 500)
    code, text, _ = vibro(*argv, "--labels-out", labels, "--json")
    assert code == 0 and json.loads(text)["records"]["accepted"] == 18
    assert json.loads(text)["signal"] == {"fs": 500.0, "unit": "unknown", "length": 200, "channels": 1}
    with np.load(out) as arrays:
        assert arrays["recording"].tolist() == ["long.npz"] * 18
        assert min(arrays["data_time"]) == "2024-03-01T00:00:00.2Z"
    code, text, _ = vibro("check", out, "--labels", labels, "--json")
    found = json.loads(text)["labels"]
    assert (found["key"], found["normal"], found["anomalous"]) == ("record_id", 9, 9)
    assert {row["fault_type"] for row in rows(labels) if row["label"] == "1"} == {"loose"}


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["-o", "x.wav"], "no format"),
        (["-o", "x.npz", "--hop", "5"], "--hop needs --window"),
        (["-o", "x.npz", "--resample", "0"], "--resample"),
        (["-o", "x.npz", "--labels-out", "l.csv"], "label"),
    ],
)
def test_convert_refuses(vibro, data, tmp_path, argv, words):
    argv = [str(tmp_path / a) if a.startswith(("x.", "l.")) else a for a in argv]
    code, _, err = vibro("convert", data, *argv)
    assert code == 2 and words in err
    assert not list(tmp_path.glob("x.*")) and not (tmp_path / "l.csv").exists()


def test_convert_to_text_needs_what_text_needs(vibro, tmp_path):
    np.savez(tmp_path / "a.npz", signals=X[:3])
    code, _, err = vibro("convert", tmp_path / "a.npz", "-o", tmp_path / "b.jsonl")
    assert code == 2 and "data_time" in err and ".npz" in err and not (tmp_path / "b.jsonl").exists()
    np.savez(tmp_path / "c.npz", signals=X[:4].reshape(2, 2, 64))
    assert "2 channels" in vibro("convert", tmp_path / "c.npz", "-o", tmp_path / "b.jsonl")[2]


# --- labels, simulate -------------------------------------------------------------------------------------------------


def test_labels_of_folders(vibro, tmp_path):
    for k, name in enumerate(("正常", "不正常", "other")):
        (tmp_path / "in" / name).mkdir(parents=True)
        (tmp_path / "in" / name / "a.jsonl").write_text(line(2 * k) + line(2 * k + 1))
    out = tmp_path / "labels.csv"
    code, text, err = vibro("labels", tmp_path / "in", "-o", out, "--map", "正常=0", "--map", "不正常=1")
    assert code == 0 and "labels of 2 recordings" in text and "other (2 records)" in err
    assert sorted((row["folder"], row["label"], row["records"]) for row in rows(out)) == [
        ("不正常", "1", "2"),
        ("正常", "0", "2"),
    ]
    found = json.loads(vibro("check", tmp_path / "in", "--labels", out, "--json")[1])["labels"]
    assert (found["key"], found["normal"], found["anomalous"], found["unknown"]) == ("recording", 2, 2, 2)
    code, _, err = vibro("labels", tmp_path / "in", "-o", tmp_path / "b.csv", "--map", "常=0")
    assert code == 2 and "常" in err and not (tmp_path / "b.csv").exists()


@pytest.mark.parametrize("form", ["jsonl", "npz"])
def test_simulated_data_are_read_whole(vibro, tmp_path, form):
    argv = ("simulate", "-o", tmp_path / "sim", "--records", 30, "--fs", 1024, "--format", form, "--json")
    code, out, _ = vibro(*argv)
    assert code == 0 and json.loads(out)["records"] == 30
    tables = ("--labels", tmp_path / "sim" / "labels.csv", "--covariates", tmp_path / "sim" / "covariates.csv")
    code, out, err = vibro("check", tmp_path / "sim", *tables, "--json")
    found = json.loads(out)
    assert code == 0, err
    assert found["records"]["accepted"] == found["labels"]["matched"] == found["covariates"]["load"] == 30
    assert {entry["source"] for entry in found["ignored"]} == {"README.txt", "covariates.csv", "labels.csv"}
    code, _, err = vibro("simulate", "-o", tmp_path / "sim")
    assert code == 2 and "not an empty folder" in err


@pytest.mark.parametrize(
    ("preset", "mains", "covariate"), [("transformer-60hz", 60.0, "oil_temp"), ("bearing", None, "speed")]
)
def test_other_plants_can_be_simulated(vibro, tmp_path, preset, mains, covariate):
    argv = ("simulate", "-o", tmp_path / "sim", "--records", 40, "--preset", preset, "--fs", 4096, "--faults", 0.1)
    assert vibro(*argv)[0] == 0
    kinds = {row["label"] for row in rows(tmp_path / "sim" / "labels.csv")}
    names = rows(tmp_path / "sim" / "covariates.csv")[0].keys()
    code, out, err = vibro("check", tmp_path / "sim", "--json")
    found = json.loads(out)["signal"]
    assert code == 0, err
    assert kinds == {"0", "1"} and covariate in names
    assert found["mains_hz"] == (pytest.approx(mains, abs=0.5) if mains else None)
    assert vibro("simulate", "-o", tmp_path / "no", "--preset", "nuclear")[0] == 2
