"""csv: both layouts, and no table of labels."""

from __future__ import annotations

from vibro_plugins.readers.csv import CsvTable

from .common import STAMP, read


def test_csv_both_layouts(tmp_path):
    (tmp_path / "a.csv").write_text(f'sensor_id,data_time,signal_value,fs,unit\ns,{STAMP},"1, 2,3.5",100,g\n')
    (tmp_path / "b.csv").write_text(f"data_time,v0,v1,v2,sensor_id\n{STAMP},1,2,3.5,s\n")
    a, b = read(CsvTable, tmp_path / "a.csv")[0], read(CsvTable, tmp_path / "b.csv")[0]
    assert a.signal.tolist() == b.signal.tolist() == [[1, 2, 3.5]]
    assert (a.fs, a.unit, a.row, a.line) == (100.0, "g", 0, 2)


def test_csv_leaves_tables_of_labels_alone(tmp_path):
    head = b"record_id,sensor_id,data_time,label\nx"
    assert not CsvTable.accepts(tmp_path / "labels.csv", head)
    for head in (
        b"sensor_id,data_time,v0,v1\n",
        b'"sensor_id","signal_value"\n',
        b"\xef\xbb\xbfsignal_value,x\r\n",
        b"",
    ):
        assert CsvTable.accepts(tmp_path / "data.csv", head)
