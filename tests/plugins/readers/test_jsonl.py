"""jsonl: lines as promised, by the compiled way and by the checked one alike, damaged or not."""

from __future__ import annotations

import gzip
import json
import re

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from vibro.api import Context, Record, Rejected
from vibro_plugins.readers.jsonl import JsonLines
from vibro_plugins.readers.text.fast import Numbers

from .common import STAMP, line, read, same, slow


def both_ways(path):
    """Items by the checked way and by the compiled way."""
    ways = []
    for worth in (1 << 60, 0):
        reader = JsonLines.make({}, Context())
        reader._numbers = Numbers(worth)
        ways.append(list(reader.read(path)))
    return ways


def assert_equal_items(a, b):
    assert len(a) == len(b)
    for x, y in zip(a, b, strict=True):
        assert type(x) is type(y)
        if isinstance(x, Rejected):
            assert x == y
        else:
            assert same(x.signal, y.signal) and x.signal.shape == y.signal.shape
            for name in ("sensor", "fs", "unit", "machine", "recording", "covariates", "row", "line", "offset"):
                assert getattr(x, name) == getattr(y, name)
            assert x.time == y.time or (np.isnat(x.time) and np.isnat(y.time))


def test_a_line_has_everything(tmp_path):
    more = {"fs": 8192, "unit": "g", "machine_id": "T1", "recording": "r1", "covariates": {"load": 0.5, "x": None}}
    (tmp_path / "a.jsonl").write_bytes(b"\n" + line("0.5,-1.25,3e2", **more) + b"\n")
    for items in both_ways(tmp_path / "a.jsonl"):
        (item,) = items
        assert item.signal.tolist() == [[0.5, -1.25, 300.0]] and item.signal.dtype == np.float32
        assert (item.row, item.line, item.offset) == (1, 2, 1)
        assert (item.sensor, item.fs, item.unit, item.machine, item.recording) == ("s", 8192.0, "g", "T1", "r1")
        assert item.covariates == {"load": 0.5}
        assert item.time == np.datetime64("2024-03-01T00:00:00", "ns")


def test_lines_that_tempt_the_short_cut(tmp_path):
    plain = line("1,2,3")
    lines = [
        plain,
        line([1, 2, 3]),
        line("1,2,3", note='"signal_value": "9"'),
        line("1,2,3", note="signal_value"),
        line("1,2,3", signal_valu=1),
        plain.replace(b'"signal_value": "1,2,3"', b'"x": {"signal_value": "1,2,3"}'),
        plain.replace(b'"signal_value": "1,2,3"', b'"x": {"signal_value": "1,2,3"}, "\\u0073ignal_value": ""'),
        plain[:-1] + b', "signal_value": "4,5,6"}',
        plain.replace(b'": "1', b'": "1\\u002c'),
        plain.replace(b'"signal_value"', b'"\\u0073ignal_value"'),
        plain.replace(b'"1,2,3"', b'"1,2,3" "4"'),
        plain.replace(b'"1,2,3"', b"[1,2,3"),
        plain.replace(b'"1,2,3"', b'[1,2,3], "y": [4]'),
        plain.replace(b'"1,2,3"', b"[1,2,[3]]"),
        plain.replace(b'"1,2,3"', b'"1,2,3'),
        plain.replace(b"s", b"\xff"),
        b'{"data_time": "' + STAMP.encode() + b'", "sensor_id": "a\\"signal_value": "1,2", "signal_value": "3"}',
        line("1,2,\u0663"),
        line(""),
        line([]),
    ]
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"\n".join(lines))
    checked, short = both_ways(path)
    assert_equal_items(checked, short)
    assert [type(item) for item in checked[:5]] == [Record] * 5
    assert isinstance(checked[5], Rejected) and isinstance(checked[7], Rejected)
    assert checked[6].signal.size == 0  # the escaped name is the same name: its samples count, not the nested ones


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_damaged_lines_end_alike_both_ways_and_as_the_json_module_says(data, tmp_path_factory):
    """Bytes flipped, cut, doubled or moved inside a valid file: no crash, every line counted, no value invented."""
    whole = bytearray(b"\n".join(line(",".join(f"{v / 7:.4f}" for v in range(i, i + 9))) for i in range(4)) + b"\n")
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(whole) - 1))
        kind = data.draw(st.sampled_from(["flip", "cut", "double", "byte"]))
        if kind == "flip":
            whole[place] ^= 1 << data.draw(st.integers(0, 7))
        elif kind == "cut":
            del whole[place : place + data.draw(st.integers(1, 30))]
        elif kind == "double":
            whole[place:place] = whole[place : place + data.draw(st.integers(1, 30))]
        else:
            whole[place] = data.draw(st.sampled_from(b'0123456789,"{}[]:\\ \xff\x00eE+-._'))
        if not whole:
            return
    path = tmp_path_factory.mktemp("fuzz") / "a.jsonl"
    path.write_bytes(whole)
    checked, short = both_ways(path)
    assert_equal_items(checked, short)
    items = {item.row: item for item in checked if item.row >= 0}
    if len(items) != len(checked):
        return  # taken for another encoding or an archive as a whole
    for row, raw in enumerate(bytes(whole).split(b"\n")):
        if row == 0:
            raw = raw.removeprefix(b"\xef\xbb\xbf")
        expected = reference_record(raw.rstrip(b"\r"))
        if row not in items:
            assert expected is None
        elif expected is None:
            assert isinstance(items[row], Rejected), raw
        else:
            assert isinstance(items[row], Record), (items[row], raw)
            assert same(items[row].signal[0], expected)


def reference_record(raw: bytes) -> list[float] | None:
    """The samples of a line by an independent, slow reading of the rules; None = it is no record."""

    def unique(pairs):
        if len({key for key, _ in pairs}) != len(pairs):
            raise ValueError
        return dict(pairs)

    def refuse(name):
        raise ValueError

    try:
        table = json.loads(raw.decode(), object_pairs_hook=unique, parse_constant=refuse)
        sensor, stamp, signal = table["sensor_id"], table["data_time"], table["signal_value"]
        if type(sensor) not in (str, int) or sensor == "" or any(ord(c) < 32 or ord(c) == 127 for c in str(sensor)):
            return None
        str(sensor).encode()
        match = re.fullmatch(
            r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d(:\d\d([.,]\d{1,9})?)?)(Z|z|[+-]\d\d(:?\d\d)?)?", stamp, re.ASCII
        )
        np.datetime64(f"{match[1]}T{match[2].replace(',', '.')}", "ns")
        if not 1678 <= int(stamp[:4]) <= 2261:
            return None
        zone = match[5]
        if zone and zone not in "Zz" and (int(zone[1:3]) > 14 or int(zone[3:].lstrip(":") or 0) > 59):
            return None
        fs = table.get("fs")
        if fs is not None and (type(fs) not in (int, float) or fs < 0):
            return None
    except (ValueError, KeyError, TypeError):
        return None
    if isinstance(signal, str):
        return slow(signal) if signal.strip(" ") else []
    if isinstance(signal, list) and all(type(v) in (int, float) for v in signal):
        return [np.float32(v) for v in signal]
    return None


def test_gz_and_plain_give_the_same(tmp_path):
    content = b"\n".join(line(f"{i},2,3") for i in range(5))
    (tmp_path / "a.jsonl").write_bytes(content)
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(content))
    assert_equal_items(read(JsonLines, tmp_path / "a.jsonl"), read(JsonLines, tmp_path / "a.jsonl.gz"))


def test_notes_speak_of_the_last_file_only(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(b"\xef\xbb\xbf" + line("1", data_time="2024-03-01 00:00:00"))
    (tmp_path / "b.jsonl").write_bytes(line("1"))
    reader = JsonLines.make({}, Context())
    record = next(reader.read(tmp_path / "a.jsonl"))
    assert isinstance(record, Record) and not record.zoned
    assert len(reader.notes()) == 1 and "byte-order mark" in reader.notes()[0]
    list(reader.read(tmp_path / "b.jsonl"))
    assert reader.notes() == []


def test_offsets_are_bytes(tmp_path):
    content = line("1", sensor_id="变压器") + b"\n\n" + b"bad\n" + line("2")
    (tmp_path / "a.jsonl").write_bytes(content)
    items = read(JsonLines, tmp_path / "a.jsonl")
    assert [content[item.offset :].split(b"\n")[0][:3] for item in items] == [b'{"d', b"bad", b'{"d']
    assert [item.line for item in items] == [1, 3, 4] and [item.row for item in items] == [0, 2, 3]
