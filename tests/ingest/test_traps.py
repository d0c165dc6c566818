"""Known traps of reading data: T2 to T7, T9 and T12; T8 and T11 stand in test_ingest.py."""

from __future__ import annotations

import json

import numpy as np
import pytest

from vibro.api import Context
from vibro.ingest import IngestOptions, ingest
from vibro_plugins.readers.json import JsonDocument
from vibro_plugins.readers.jsonl import JsonLines

X = np.random.default_rng(0).uniform(-1, 1, (6, 20)).round(4)


def record(i, **changes):
    text = ",".join(f"{v:.4f}" for v in X[i])
    return {"data_time": f"2024-03-01T00:{i:02d}:00Z", "signal_value": text, "sensor_id": "a", **changes}


def line(i, **changes):
    return json.dumps({k: v for k, v in record(i, **changes).items() if v is not ...}).encode()


@pytest.fixture
def take(tmp_path):
    def read(content: bytes, name="a.jsonl"):
        (tmp_path / name).write_bytes(content)
        readers = [cls.make({}, Context()) for cls in (JsonLines, JsonDocument)]
        options = IngestOptions(need_fs=False)
        got = ingest([tmp_path / name], readers, options, tmp_path / "work", lambda event: None)
        got.accounting.check()
        return got

    return read


def test_trap_02_one_bad_line_costs_that_line_only(take):
    got = take(b"\n".join([line(0), b'{"signal_value": "1,2', line(1), line(2)]))
    assert np.array_equal(got.batch.x[:, 0], X[:3].astype(np.float32))
    (row,) = got.accounting.rows()
    assert (row["line"], row["byte_offset"], row["code"]) == (2, len(line(0)) + 1, "Q002")


def test_trap_03_no_digit_is_dropped(take):
    wrong = line(1).replace(b"0.", b"0.1\xff0", 1)
    got = take(b"\n".join([line(0), wrong, line(2)]))
    assert len(got.batch) == 2 and got.accounting.by_code == {"Q001": 1}


@pytest.mark.parametrize("token", ["nan", "inf", "1e999", "1_000", "１", "NaN"])
def test_trap_04_what_float_takes_is_not_taken(take, token):
    float(token)  # Python would
    got = take(b"\n".join([line(0), line(1, signal_value="0.5," * 19 + token), line(2)]))
    assert len(got.batch) == 2 and got.accounting.total.quarantined == 1
    assert "token 19" in next(got.accounting.rows())["detail"]


def test_trap_04_json_with_nan_or_a_key_twice(take):
    twice = line(1)[:-1] + b', "sensor_id": "b"}'
    got = take(b"\n".join([line(0), line(1, signal_value=[float("nan")] * 20), twice, line(2)]))
    assert len(got.batch) == 2 and got.accounting.by_code == {"Q003": 1, "Q007": 1}


def test_trap_05_an_empty_token_shifts_nothing(take):
    got = take(b"\n".join([line(0), line(1, signal_value="0.5,,0.5"), line(2)]))
    (row,) = got.accounting.rows()
    assert (row["code"], row["detail"]) == ("Q006", "token 1 is empty, not a number")


def test_trap_06_nothing_is_filled_padded_or_cut(take):
    short = line(1, signal_value=",".join(["0.5"] * 19))
    long = line(2, signal_value=",".join(["0.5"] * 21))
    got = take(b"\n".join([line(0), short, long, line(3, signal_value=...), line(4), line(5)]))
    assert np.array_equal(got.batch.x[:, 0], X[[0, 4, 5]].astype(np.float32))
    found = [(row["code"], row["detail"]) for row in got.accounting.rows()]
    assert found == [
        ("Q008", "19 samples, wanted 20"),
        ("Q008", "21 samples, wanted 20"),
        ("Q005", "signal_value is missing"),
    ]


@pytest.mark.parametrize(
    "shape",
    [
        lambda records: records,
        lambda records: {"anything": records},
        lambda records: {"a": records[:2], "b": records[2:]},
        lambda records: {"meta": {"list": records}, "count": 3},
    ],
)
def test_trap_07_lists_under_any_key_are_read(take, shape):
    got = take(json.dumps(shape([record(i) for i in range(3)])).encode(), "a.json")
    assert np.array_equal(got.batch.x[:, 0], X[:3].astype(np.float32)) and got.batch.row.tolist() == [0, 1, 2]


def test_trap_09_identity_is_not_a_position(take):
    first = take(b"\n".join(line(i) for i in range(4))).batch
    second = take(b"\n".join(line(i) for i in (3, 5, 1, 0))).batch
    both = {str(a): first.x[i] for i, a in enumerate(first.ids)}
    shared = [i for i, a in enumerate(second.ids) if str(a) in both]
    assert len(shared) == 3 and all(np.array_equal(second.x[i], both[str(second.ids[i])]) for i in shared)


def test_trap_12_sensor_and_time_are_read_and_checked(take):
    got = take(
        b"\n".join([line(0), line(1, sensor_id=...), line(2, data_time="2024-02-30T00:00:00Z"), line(3, sensor_id="b")])
    )
    assert got.accounting.by_code == {"Q005": 1, "Q010": 1}
    assert got.batch.sensors == ("a", "b") and got.batch.time[1] == np.datetime64("2024-03-01T00:03:00", "ns")
