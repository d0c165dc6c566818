"""Data sets of a benchmark: bad ones cost themselves, labels come from tables, groups and draws are told."""

from __future__ import annotations

import json

import numpy as np
import pytest

from vibro.cli import run

from .toys import bench, relabel, results


def test_draws_of_one_class_count_for_no_row(place):
    label = np.zeros(160, np.int8)
    label[[5, 6, 7, 25, 26]] = 1  # one machine only: either the pool or the test has none
    with np.load(place / "toy.npz") as file:
        signals = file["signals"] / file["signals"].std(axis=1, keepdims=True)
    relabel(place, label=label, signals=signals * (1 + label)[:, None])
    assert bench(place, "--seeds", "4") == 0
    rows = results(place)
    assert all((r["roc_auc"] == "") == (r["n_anomalous"] == "0") for r in rows)
    assert {r["status"] for r in rows if r["n_anomalous"] == "0"} == {"one class only"}
    found = json.loads((place / "out" / "benchmark.json").read_text())
    told = [text for text in found["warnings"] if "one class only" in text]
    assert told and all(text.startswith(("toy/all/pool: ", "toy/all/test: ")) for text in told)
    for r in found["rows"]:
        assert r["average_precision"] > 0.9
        assert r["n_anomalous"] < 5  # the mean over the draws, not that of the first


def test_one_data_set_without_other_draws_gives_no_interval(place):
    assert bench(place, "--split", "none") == 0  # the toys are deterministic: both seeds are one draw
    found = json.loads((place / "out" / "benchmark.json").read_text())
    paired = {p["against"]: p for p in found["tests"]["all_blocks"]["paired"]}
    assert paired["kurtosis"]["diff"] > 0 and paired["kurtosis"]["lo"] is None and paired["kurtosis"]["p"] is None
    assert found["tests"]["all_blocks"]["data_sets"] == 1
    report = (place / "out" / "report.md").read_text()
    assert "the draws of one data set" in report
    assert report.count("Fewer than 6 data sets cannot show a difference at 5%, whatever the interval.") == 2
    assert all(r["average_precision_interval"] is None for r in found["rows"])


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"label": np.zeros(160, int)}, "no anomalous record"),
        ({"label": np.array(["good"] * 160)}, "label should hold 0 (normal)"),
        ({"label": np.ones(7, int)}, "for 160 signals"),
        ({"signals": np.ones(160)}, "shape (160,)"),
        ({"signals": np.full((160, 64), np.nan)}, "no record is free of NaN"),
        ({"data_time": np.array(["yesterday"] * 160)}, "cannot be used"),
        ({}, "cannot be read"),
    ],
)
def test_a_bad_data_set_costs_itself_only(place, arrays, said):
    with np.load(place / "toy.npz") as file:
        np.savez(place / "bad.npz", **{**file, **arrays})
    if not arrays:
        (place / "bad.npz").write_bytes(b"PK\x03\x04 cut short")
    suite = place / "suite.toml"
    suite.write_text(suite.read_text().replace("[[sets]]", '[[sets]]\nname = "bad"\npath = "bad.npz"\n[[sets]]'))
    assert bench(place, "--seeds", "1", "--combinations", "1") == 0
    (failure,) = json.loads((place / "out" / "benchmark.json").read_text())["failures"]
    assert failure["trial"] == "bad" and said in failure["message"]
    assert {r["data"] for r in results(place)} == {"toy"}


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("simulate = { recrds = 60 }", "data set bad: simulate knows no recrds"),
        ('simulate = { records = "many" }', "data set bad: simulate = {'records': 'many'} cannot be used"),
        ("simulate = { records = 60.5 }", "data set bad: simulate = {'records': 60.5} cannot be used"),
        ('path = "toy.npz"\nmachine = "(.*"', "data set bad: machine = '(.*' cannot be used: missing )"),
        ('path = "toy.npz"\nmachine = "m."', "data set bad: machine = 'm.' cannot be used: it has no group"),
    ],
)
def test_a_bad_entry_of_a_suite_costs_itself_only(place, capsys, entry, said):
    suite = place / "suite.toml"
    text = suite.read_text()
    suite.write_text(text.replace("[[sets]]", f'[[sets]]\nname = "bad"\n{entry}\n[[sets]]'))
    assert bench(place, "--seeds", "1", "--combinations", "1") == 0
    (failure,) = json.loads((place / "out" / "benchmark.json").read_text())["failures"]
    assert (failure["trial"], failure["error"]) == ("bad", "ConfigError") and said in failure["message"]
    assert {r["data"] for r in results(place)} == {"toy"}
    suite.write_text(text.partition("[[sets]]")[0] + f'[[sets]]\nname = "bad"\n{entry}\n')
    capsys.readouterr()
    assert bench(place, out="alone") == 2  # nothing is left, so the hint is told too
    told = capsys.readouterr().err
    assert said in told and ("simulate takes records, units" in told or "group names" in told or "are whole" in told)


def test_records_that_the_pattern_does_not_name_keep_their_machine(place):
    suite = place / "suite.toml"
    suite.write_text(suite.read_text() + 'machine = "m[01]|(m2)"\n')
    assert bench(place, "--seeds", "1", "--combinations", "1", "--split", "none") == 0
    assert json.loads((place / "out" / "benchmark.json").read_text())["data"][0]["machines"] == 4


def test_records_with_samples_that_are_no_numbers_are_left_out(place):
    with np.load(place / "toy.npz") as file:
        signals = file["signals"]
    signals[[3, 50], 7] = np.nan, np.inf
    relabel(place, signals=signals)
    assert bench(place, "--seeds", "1", "--split", "none") == 0
    found = json.loads((place / "out" / "benchmark.json").read_text())
    assert any("toy: 2 of 160 records are left out" in text for text in found["warnings"])
    assert found["data"][0]["records"] == 158


@pytest.mark.parametrize("group", ["machine", "sensor", "recording"])
def test_labels_that_follow_from_the_group_are_told(place, group):
    label = (np.arange(160) // 20 % 4 == 1).astype(np.int8)
    mixed = np.array([f"x{i % 4}" for i in range(160)])
    names = {"machine": "machine_id", "sensor": "sensor_id", "recording": "source_file"}
    arrays = dict.fromkeys(names.values(), mixed) | {names[group]: np.array([f"g{i // 20}" for i in range(160)])}
    relabel(place, label=label, **arrays)
    assert bench(place, "--split", "none", "--seeds", "1", "--combinations", "1") == 0
    (told,) = (
        w for w in json.loads((place / "out" / "benchmark.json").read_text())["warnings"] if "all normal or" in w
    )
    assert told.startswith(f"toy: every {group} is all normal or all anomalous")


def test_a_suite_finds_its_sets_beside_itself_and_reads_those_with_a_label_table(place, monkeypatch):
    monkeypatch.setenv("VIBRO_TEST_DATA", str(place / "elsewhere"))
    with np.load(place / "toy.npz") as file:
        times = np.datetime64("2024-01-01T00:00:00") + 60 * np.arange(160)
        lines = [
            {"data_time": f"{t}Z", "signal_value": ",".join(f"{v:.5f}" for v in x), "sensor_id": "s"}
            for t, x in zip(times, file["signals"], strict=True)
        ]
        label = file["label"]
    (place / "own").mkdir()
    (place / "own" / "plain.jsonl").write_text("\n".join(map(json.dumps, lines)))
    rows = "\n".join(f"plain.jsonl,{i},{v}" for i, v in enumerate(label))
    (place / "own" / "truth.csv").write_text(f"source,row,label\n{rows}\n")
    suite = (place / "suite.toml").read_text()
    more = '[[sets]]\nname = "plain"\npath = "own/plain.jsonl"\nfs = 100.0\nlabels = "own/truth.csv"\n'
    bare = '[[sets]]\nname = "bare"\npath = "own/plain.jsonl"\n'
    (place / "suite.toml").write_text(suite + more + bare)
    assert bench(place, "--split", "none", "--seeds", "1", "--combinations", "1") == 0
    assert {(r["data"], r["n"], r["n_anomalous"]) for r in results(place)} == {
        ("toy", "160", "8"),
        ("plain", "160", "8"),
    }
    (failure,) = json.loads((place / "out" / "benchmark.json").read_text())["failures"]
    assert failure["message"] == "data set bare: plain.jsonl holds no labels"


def test_data_of_the_user_with_a_label_table(place, capsys):
    table = place / "own.csv"
    with np.load(place / "toy.npz") as file:
        table.write_text("source,row,label\n" + "".join(f"toy.npz,{i},{v}\n" for i, v in enumerate(file["label"])))
    common = ["--ensemble", str(place / "toy_ensemble.toml"), "--quiet", "--seeds", "1"]
    command = ["benchmark", "run", str(place / "toy.npz"), "-o", str(place / "own"), *common]
    assert run(command) == 2  # no labels
    assert "--labels" in capsys.readouterr().err
    assert run([*command, "--labels", str(table)]) == 2  # toy detectors are in no registry
    detectors = ["--ensemble", "quick", "--detectors", "mahalanobis"]
    assert (
        run(
            [
                "benchmark",
                "run",
                str(place / "toy.npz"),
                "-o",
                str(place / "own"),
                "--labels",
                str(table),
                "--seeds",
                "1",
                "--quiet",
                *detectors,
            ]
        )
        == 0
    )
    assert {r["data"] for r in results(place, "own")} == {"toy"}


def test_labels_that_match_nothing_are_an_error(place, capsys):
    table = place / "other.csv"
    table.write_text("source,row,label\nelsewhere.npz,0,1\nelsewhere.npz,1,0\n")
    command = ["benchmark", "run", str(place / "toy.npz"), "-o", str(place / "own"), "--labels", str(table), "--quiet"]
    assert run(command) in (2, 3)
    text = capsys.readouterr().err
    assert "no row of other.csv matches a record" in text and "Traceback" not in text
