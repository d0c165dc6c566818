"""Label, covariate and sensor tables: keys in their order, errors that name column and row, nothing guessed."""

from __future__ import annotations

import numpy as np
import pytest

from vibro.data import make_batch
from vibro.errors import ConfigError
from vibro.ingest.accounting import QUARANTINED, Accounting, Finding
from vibro.ingest.tables import machines_unnamed, read_covariates, read_labels, read_sensors, with_recordings
from vibro.ingest.truth import labels_of_folders, parse_mapping

N = 6
TIMES = [f"2024-03-01T00:{i:02d}:00" for i in range(N)]


@pytest.fixture
def batch():
    x = np.random.default_rng(0).standard_normal((N, 16)).astype(np.float32)
    sensors = ["a", "b"] * (N // 2)
    return make_batch(x, fs=100.0, sensor=sensors, time=TIMES, source=["d/x.jsonl"] * N, row=range(N))


@pytest.fixture
def table(tmp_path):
    def write(*rows: str):
        path = tmp_path / "table.csv"
        path.write_text("\n".join(rows) + "\n", encoding="utf-8")
        return path

    return write


def fails(call, *words):
    with pytest.raises(ConfigError) as error:
        call()
    text = f"{error.value.message} {error.value.hint}"
    assert error.value.exit_code == 2
    for word in words:
        assert word in text, text


# --- labels -----------------------------------------------------------------------------------------------------------


def test_every_key(batch, table):
    by_id = read_labels(table("record_id,label", f"{batch.ids[2]},1", f"{batch.ids[0]},0"), batch)
    assert by_id.key == "record_id" and by_id.y.tolist() == [0, -1, 1, -1, -1, -1]
    by_time = read_labels(table("label,sensor_id,data_time", "1,a,2024-03-01T08:02:00+08:00"), batch)
    assert by_time.key == "sensor_id + data_time" and by_time.y.tolist() == [-1, -1, 1, -1, -1, -1]
    by_row = read_labels(table("source,row,label", "d/x.jsonl,5,1"), batch)
    assert by_row.key == "source + row" and by_row.y.tolist() == [-1] * 5 + [1]


def test_a_key_that_matches_nothing_gives_way_to_the_next(batch, table):
    found = read_labels(table("record_id,sensor_id,data_time,label", f"r0000,a,{TIMES[0]}Z,1"), batch)
    assert found.key == "sensor_id + data_time" and found.y[0] == 1 and (found.matched, found.unmatched) == (1, 0)


def test_texts_beside_the_label(batch, table):
    rows = [f"a,{TIMES[0]}Z,1,loose,train,r1", f"b,{TIMES[1]}Z,,,test,"]
    found = read_labels(table("sensor_id,data_time,label,fault_type,split,recording", *rows), batch)
    assert found.fault_type.tolist() == ["loose", "", "", "", "", ""]
    assert found.split.tolist() == ["train", "test", "", "", "", ""]
    again = with_recordings(batch, found)
    assert [again.recordings[r] for r in again.recording] == ["r1"] + ["d/x.jsonl"] * 5
    assert read_labels(table("source,row,label", "d/x.jsonl,0,0"), batch).recording is None


def test_label_values(batch, table):
    cells = ["0", "1", "", "-1", "1.0", " 0 "]
    found = read_labels(table("source,row,label", *(f"d/x.jsonl,{i},{cell}" for i, cell in enumerate(cells))), batch)
    assert found.y.tolist() == [0, 1, -1, -1, 1, 0]
    for cell in ("2", "normal", "0.5", "True", "nan", "１"):
        fails(lambda cell=cell: read_labels(table("source,row,label", f"d/x.jsonl,0,{cell}"), batch), "line 2", "label")


def test_rows_that_match_nothing(batch, table):
    path = table("source,row,label", "d/x.jsonl,0,0", "d/x.jsonl,77,1")
    fails(lambda: read_labels(path, batch), "1 row of", "matches", "line 3", "--labels-partial")
    found = read_labels(path, batch, partial=True)
    assert found.unmatched == 1 and found.matched == 1 and "line 3" in found.warnings[0]
    fails(lambda: read_labels(table("source,row,label", "y,0,0"), batch, partial=True), "no row", "matches a record")


def test_rows_of_quarantined_records_are_no_error(batch, table, tmp_path):
    books = Accounting(tmp_path)
    books.open_file("d/x.jsonl")
    books.decide(
        Finding("d/x.jsonl", 9, 10, "", 0, "", "a", "2024-03-01T00:09:00Z", "Q006", QUARANTINED, "token 3", "")
    )
    for header, row in (("source,row", "d/x.jsonl,9"), ("sensor_id,data_time", "a,2024-03-01T01:09:00+01:00")):
        good = "d/x.jsonl,0" if header.startswith("source") else f"a,{TIMES[0]}Z"
        path = table(f"{header},label", f"{good},0", f"{row},1")
        found = read_labels(path, batch, accounting=books)
        assert (found.matched, found.unmatched) == (1, 0)
        fails(lambda path=path: read_labels(path, batch), "line 3")


def test_two_rows_that_disagree(batch, table):
    fails(
        lambda: read_labels(table("source,row,label", "d/x.jsonl,0,0", "d/x.jsonl,1,1", "d/x.jsonl,0,1"), batch),
        "lines 2 and 4",
        "disagree",
    )
    agreeing = read_labels(table("source,row,label", "d/x.jsonl,0,1", "d/x.jsonl,0,1"), batch)
    assert agreeing.y[0] == 1


def test_tables_that_are_none(batch, table, tmp_path):
    fails(lambda: read_labels(tmp_path / "nowhere.csv", batch), "nowhere.csv", "no such file")
    fails(lambda: read_labels(tmp_path, batch), "is a folder")
    fails(lambda: read_labels(table("record_id,lable", "x,1"), batch), "lacks column label", "lable")
    fails(lambda: read_labels(table("record_id;label", "x;1"), batch), "commas")
    fails(lambda: read_labels(table("name,label", "x,1"), batch), "no key column")
    fails(lambda: read_labels(table("source,row,label", "d/x.jsonl,0"), batch), "line 2", "2 cells")
    fails(lambda: read_labels(table("source,row,label,label", "d/x.jsonl,0,1,1"), batch), "label twice")
    fails(lambda: read_labels(table('source,row,label\n"open'), batch), "table.csv")
    bad_time = table("sensor_id,data_time,label", f"a,{TIMES[0]}Z,0", "b,yesterday,1")
    fails(lambda: read_labels(bad_time, batch), "line 3", "yesterday")
    (tmp_path / "l.csv").write_bytes("source,row,label\n变压器,0,1".encode("gb18030"))
    fails(lambda: read_labels(tmp_path / "l.csv", batch), "UTF-8")


def test_byte_order_mark_and_empty_lines(batch, tmp_path):
    (tmp_path / "l.csv").write_text("\ufeffsource,row,label\r\n\r\nd/x.jsonl,0,1\r\n\r\n", encoding="utf-8")
    assert read_labels(tmp_path / "l.csv", batch).y[0] == 1


# --- covariates -------------------------------------------------------------------------------------------------------


def test_covariates_by_key(batch, table):
    rows = [f"a,{TIMES[0]}Z,0.5,20", f"b,{TIMES[1]}Z,0.6,", f"a,{TIMES[4]}Z,,22"]
    joined, warnings = read_covariates(table("sensor_id,data_time,load,oil_temp", *rows), batch)
    assert joined.covariate_names == ("load", "oil_temp")
    expected = np.full((N, 2), np.nan)
    expected[[0, 0, 1, 4], [0, 1, 0, 1]] = [0.5, 20, 0.6, 22]
    assert np.array_equal(joined.covariates, expected.astype(np.float32), equal_nan=True)
    assert "3 of 6 records" in warnings[0]


def test_covariates_by_time_alone(batch, table):
    rows = ["2024-03-01T00:03:30Z,3", "2024-03-01T00:00:00Z,1", "2024-03-01T00:01:30Z,2"]
    joined, _ = read_covariates(table("data_time,load", *rows), batch, tolerance=75)
    assert joined.covariates[:, 0].tolist()[:3] == [1, 1, 2]
    assert np.isnan(joined.covariates[3, 0])  # 90 s old
    assert joined.covariates[4:, 0].tolist() == [3, np.nan] or np.isnan(joined.covariates[5, 0])
    joined, _ = read_covariates(table("data_time,load", *rows), batch, tolerance=600)
    assert joined.covariates[:, 0].tolist() == [1, 1, 2, 2, 3, 3]


def test_covariates_of_record_and_table_are_merged(batch, table):
    from dataclasses import replace

    own = np.stack([np.arange(N), np.full(N, 9.0)], axis=1).astype(np.float32)
    with_own = replace(batch, covariates=own, covariate_names=("load", "fan"))
    joined, _ = read_covariates(table("source,row,load,speed", "d/x.jsonl,1,100,7", "d/x.jsonl,2,,8"), with_own)
    assert joined.covariate_names == ("load", "fan", "speed")
    assert joined.covariates[:, 0].tolist() == [0, 100, 2, 3, 4, 5]  # an empty cell takes nothing away
    assert joined.covariates[1:3, 2].tolist() == [7, 8] and np.isnan(joined.covariates[0, 2])


def test_covariate_tables_that_are_none(batch, table):
    fails(lambda: read_covariates(table("data_time,load", f"{TIMES[0]}Z,high"), batch), "line 2", "load", "high")
    fails(lambda: read_covariates(table("data_time,load", f"{TIMES[0]}Z,nan"), batch), "line 2", "load")
    fails(lambda: read_covariates(table("data_time,load", f"{TIMES[0]}Z,1_0"), batch), "line 2", "load")
    fails(lambda: read_covariates(table("data_time,load", "noon,1"), batch), "line 2", "data_time")
    fails(lambda: read_covariates(table("data_time", f"{TIMES[0]}Z"), batch), "no column besides")
    fails(lambda: read_covariates(table("load", "1"), batch), "no key column")
    fails(lambda: read_covariates(table("data_time,load", "2020-01-01T00:00:00Z,1"), batch), "no row")
    two = [f"{TIMES[0]}Z,1", f"{TIMES[0]}Z,2"]
    fails(lambda: read_covariates(table("data_time,load", *two), batch), "lines 2 and 3")
    two = ["d/x.jsonl,1,1", "d/x.jsonl,1,2"]
    fails(lambda: read_covariates(table("source,row,load", *two), batch), "lines 2 and 3")


# --- sensors ----------------------------------------------------------------------------------------------------------


def test_sensors_belong_to_machines(batch, table):
    joined, warnings = read_sensors(table("sensor_id,machine_id,position,note", "a,T1,top,x", "z,T9,,"), batch)
    assert [joined.machines[m] for m in joined.machine] == ["T1", "b"] * 3
    assert "z" in warnings[0] and "b" in warnings[1]
    assert np.array_equal(joined.sensor, batch.sensor)


def test_machines_are_called_unnamed_only_where_nothing_names_them(batch, table):
    assert "--sensors" in machines_unnamed(batch, unnamed=True)[0]
    assert machines_unnamed(batch, unnamed=False) == []  # a folder that names machine and sensor alike
    joined, _ = read_sensors(table("sensor_id,machine_id", "a,T1", "b,T1"), batch)
    assert machines_unnamed(joined, unnamed=True) == []


def test_sensor_tables_that_are_none(batch, table):
    fails(lambda: read_sensors(table("sensor_id,machine_id", "a,T1", "a,T2"), batch), "line 3", "T1", "T2")
    fails(lambda: read_sensors(table("sensor_id,machine_id", ",T1"), batch), "line 2", "sensor_id")
    fails(lambda: read_sensors(table("sensor_id,machine_id,unit", "a,T1,bananas"), batch), "bananas", "mm/s")
    fails(lambda: read_sensors(table("sensor_id,machine_id,fs", "a,T1,fast"), batch), "line 2", "fs")
    fails(lambda: read_sensors(table("sensor_id,machine", "a,T1"), batch), "machine_id")
    _, warnings = read_sensors(table("sensor_id,machine_id,fs,unit", "a,T1,200,g", "b,T1,100,"), batch)
    assert any("fs" in text for text in warnings) and any("is in g" in text for text in warnings)


# --- labels from folders ----------------------------------------------------------------------------------------------


def test_folder_names_are_compared_whole():
    sources = ["normal/a.jsonl", "abnormal/b.jsonl", "正常/c.jsonl", "不正常/d.jsonl", "x/normal/e.jsonl", "f.jsonl"]
    recordings = {(source, source): 1 for source in sources}
    rows, left = labels_of_folders(recordings, parse_mapping(["normal=0", "不正常=1", "正常=0"]))
    by_folder = {(row["folder"], row["label"]) for row in rows}
    assert len(rows) == 4 and by_folder == {("normal", 0), ("正常", 0), ("不正常", 1)}
    assert left == {"abnormal": 1, ".": 1}
    fails(lambda: labels_of_folders(recordings, {"norm": 0}), "norm", "folders:")
    fails(lambda: labels_of_folders(recordings, {"x": 1, "normal": 0}), "different labels")


@pytest.mark.parametrize("pairs", [["normal"], ["=0"], ["normal=2"], ["normal=0", "normal=1"], ["normal=zero"]])
def test_mappings_that_are_none(pairs):
    fails(lambda: parse_mapping(pairs), "--map")
