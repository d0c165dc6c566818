"""Readers: formats as promised, the compiled parser equal to the checked one, both equal to a slow one of another make."""

from __future__ import annotations

import gzip
import json
import math
import re

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from vibro.api import Context, Record, Rejected
from vibro_plugins.readers.csv import CsvTable
from vibro_plugins.readers.json import JsonDocument
from vibro_plugins.readers.jsonl import JsonLines
from vibro_plugins.readers.npz import Npz
from vibro_plugins.readers.text import digits, fast, strict_json
from vibro_plugins.readers.text.fast import Numbers
from vibro_plugins.readers.text.lines import excerpt
from vibro_plugins.readers.text.numbers import BadNumber, parse_list, parse_text

STAMP = "2024-03-01T00:00:00.000Z"


def read(cls, path, **settings):
    return list(cls.make(settings, Context()).read(path))


def line(signal, **more) -> bytes:
    return json.dumps({"data_time": STAMP, "signal_value": signal, "sensor_id": "s", **more}).encode()


def plain(data: bytes, start: int, stop: int, numbers: Numbers | None = None, **more):
    return (numbers or compiled()).plain(np.frombuffer(data, np.uint8), start, stop, **more)


def compiled() -> Numbers:
    numbers = Numbers(worth=0)
    numbers._compiled = digits
    return numbers


# --- numbers ----------------------------------------------------------------------------------------------------------


def slow(text: str) -> list[float] | None:
    """Another make of the grammar: one regular expression a token, exact decimal arithmetic by Python."""
    found = []
    for token in text.split(","):
        if not re.fullmatch(r"[+-]?\d+(\.\d+)?([eE][+-]?\d+)?", token.strip(" "), re.ASCII):
            return None
        with np.errstate(over="ignore"):
            value = np.float32(float(token))
        if not math.isfinite(value):
            return None
        found.append(value)
    return found


def same(a, b) -> bool:
    return np.array_equal(np.asarray(a, np.float32).view(np.uint32), np.asarray(b, np.float32).view(np.uint32))


token = st.one_of(
    st.from_regex(r"[+-]?[0-9]{1,12}(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?", fullmatch=True),
    st.floats(allow_nan=False, allow_infinity=False, width=32).map(repr),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.floats(-1, 1).map(lambda v: f"{v:.5f}"),
    st.floats(-1e6, 1e6).map(lambda v: f"{v:.3f}"),
    st.integers(-(10**18), 10**18).map(str),
    st.text("0123456789+-.eE _xnaif", max_size=9),
)


@settings(max_examples=400, deadline=None)
@given(st.lists(token, min_size=1, max_size=12))
@example(["16777217", "16777219", "0.1", "8388608.5"])
@example(["1.00000005960464477539", "1.000000059604644775390625", "1.00000017881393432617187500001"])
@example(["1.1754943508222875e-38", "1.17549435e-38", "1e-45", "1e-46", "3.4028235e38", "3.4028236e38"])
@example(["0.000000000000000000000001", "123456789.123456789", "00012.5000", "-0.0", "-0"])
@example(["9007199254740993", "9007199254740992.5", "1e22", "1e23", "1e+22", "1e-22", "1E-23"])
def test_both_parsers_agree_with_a_slow_one(tokens):
    text = ",".join(tokens)
    expected = slow(text)
    try:
        checked = parse_text(text)
    except BadNumber:
        checked = None
    if text.strip(" "):
        assert (checked is None) == (expected is None)
    if expected is not None:
        assert same(checked, expected)
    data = b" " * 24 + text.encode() + b'"'
    found = plain(data, 24, len(data) - 1)
    if found is not None:
        assert expected is not None, text
        assert same(found, expected)


@pytest.mark.parametrize("form", ["{:.5f}", "{:.3f}", "{:.7g}", "{:.9g}", "{!r}", "{:.0f}", "{:.4e}", "{:+.2f}"])
@pytest.mark.parametrize("scale", [3e-7, 0.03, 1.0, 4e4])
def test_the_compiled_parser_takes_usual_text_and_is_exact(form, scale):
    x = scale * np.random.default_rng(1).standard_normal(3000)
    tokens = [form.format(float(v)) for v in x]
    data = b" " * 24 + ",".join(tokens).encode() + b'", "sensor_id": "s"}'
    found = plain(data, 24, data.index(b'"'))
    if form == "{!r}" and scale > 1:  # 17 digits with several before the point: left to the checked parser
        return
    assert found is not None
    assert same(found, [np.float32(float(token)) for token in tokens])


def test_the_compiled_parser_on_floats_next_to_midpoints():
    rng = np.random.default_rng(2)
    low = rng.integers(0x00800000, 0x7F000000, 4000).astype(np.uint32).view(np.float32)
    middle = (low.astype(np.float64) + np.nextafter(low, np.float32(np.inf)).astype(np.float64)) / 2
    tokens = [repr(float(v)) for m in middle for v in (np.nextafter(m, 0), m, np.nextafter(m, np.inf))]
    tokens += [f"{m:.25f}"[:19] for m in middle[(middle > 1e-3) & (middle < 1e3)]]
    numbers = compiled()
    for token_ in tokens:
        data = b" " * 24 + token_.encode() + b'"' + b" " * 40
        found = plain(data, 24, data.index(b'"'), numbers)
        if found is not None:
            assert found[0] == np.float32(float(token_)), token_


def test_the_compiled_parser_never_reads_beyond_its_text():
    for n in range(1, 40):
        for tail in (b'"', b'",', b'"' + b"9" * 40):
            data = b" " * 24 + b"1" * n + tail
            found = plain(data, 24, 24 + n)
            if found is not None:
                assert same(found, [np.float32(float("1" * n))])


def test_commas_and_blanks():
    numbers = compiled()
    for text, expected in {
        "1, 2,  3": [1, 2, 3],
        "1,,2": None,
        ",1": None,
        "1,": None,
        "1 ,2": None,
        " ": None,
    }.items():
        data = b" " * 24 + text.encode() + b'"' + b" " * 40
        found = plain(data, 24, data.index(b'"', 24), numbers)
        assert (found is None) == (expected is None), text
        if expected:
            assert same(found, expected)
    assert same(parse_text("1 , 2 ,3 "), [1, 2, 3])


def test_json_numbers_are_kept_strict():
    numbers = compiled()
    for text, good in {
        "1.5,2": True,
        "+1.5,2": False,
        "01.5,2": False,
        "-01,2": False,
        "0.5,0": True,
        "0,1": True,
    }.items():
        data = b" " * 24 + text.encode() + b"]" + b" " * 40
        assert (plain(data, 24, 24 + len(text), numbers, as_json=True) is not None) == good, text


def test_the_room_follows_the_data():
    numbers = compiled()
    for n in (10, 5000, 3, 9000, 8192, 8192):
        data = b" " * 24 + ",".join(["0.25"] * n).encode() + b'"'
        assert plain(data, 24, len(data) - 1, numbers).tolist() == [0.25] * n


def test_runs_of_different_widths():
    rng = np.random.default_rng(4)
    forms = ["{:.4f}", "{:.9f}", "{:.0f}", "{:.3e}", "{!r}", "{:.12f}", "{:+.2f}"]
    for first in range(0, 520, 37):
        tokens = [f"{v:.5f}" for v in rng.standard_normal(700)]
        for k in range(first, first + 9):
            tokens[k] = forms[k % len(forms)].format(float(rng.standard_normal()))
        data = b" " * 24 + ",".join(tokens).encode() + b'"'
        assert same(plain(data, 24, len(data) - 1), [np.float32(float(token)) for token in tokens])


@pytest.mark.parametrize("good", ["0.12345", "-0.123456789", "0.12345678901234567", "12.5", "1234"])
def test_one_wrong_character_anywhere_is_seen(good):
    for place in (0, 255, 256, 300, 599):
        for at in range(len(good)):
            for c in range(32, 127):
                if chr(c) in '0123456789,"' or chr(c) == good[at] or c == 32:
                    continue
                wrong = good[:at] + chr(c) + good[at + 1 :]
                if slow(wrong) is not None:
                    continue
                tokens = [*[good] * place, wrong, *[good] * (600 - place)]
                data = b" " * 24 + ",".join(tokens).encode() + b'"' + b"1.5," * 20
                assert plain(data, 24, data.index(b'"')) is None, wrong
            if place:  # every character is tried once, every place with a few of them
                break


def test_one_wrong_token_anywhere_is_seen():
    good = ["0.12345"] * 600
    wrongs = (
        "",
        "x",
        "0..1234",
        "0.123.5",
        "-",
        "--0.123",
        "0.12\x7f45",
        "1_0.123",
        "0/12345",
        "0:12345",
        ".12345",
        "0.12 ",
    )
    for place in (0, 1, 255, 256, 300, 511, 512, 598, 599):
        for wrong in wrongs:
            tokens = [*good[:place], wrong, *good[place + 1 :]]
            data = b" " * 24 + ",".join(tokens).encode() + b'"' + b"1.5," * 20
            assert plain(data, 24, data.index(b'"')) is None, (place, wrong)


def test_every_number_is_found_whatever_the_room_and_its_neighbours():
    rng = np.random.default_rng(3)
    odd = ["1e-05", "12.5", "-0.25", "7", "-100", "0.03425000205409304", "1234567.5", "16777217", "9.9999999", "-0.0"]
    for n in (1, 7, 8, 9, 15, 16, 17, 40):
        for tail in (b'"', b'", "sensor_id": "s"}' + b" " * 40):
            tokens = [str(odd[i]) if i < len(odd) else f"{rng.normal():.5f}" for i in rng.integers(0, 30, n)]
            data = b" " * 24 + ",".join(tokens).encode() + tail
            text, stop = np.frombuffer(data, np.uint8), data.index(b'"')
            expected = [np.float32(float(token)) for token in tokens]
            for room in range(n + 3):
                guarded = np.full(room + 8, 7, np.float32)
                count = digits.parse(text, 24, stop, True, guarded[:room])
                assert count == (n if room >= n else digits.FULL), (n, room)
                assert np.all(guarded[room:] == 7)
                assert count < 0 or same(guarded[:n], expected), tokens


def test_one_odd_token_among_eight_is_refused_where_it_stands():
    good = ["0.01234", "-0.5", "1.25", "-3.75", "0.1", "2.5", "-0.00001", "9.5"]
    bad = ["", "-", ".5", "5.", "1.2.3", "--1", "+-1", "0x1", "1_0", "nan", "1e", "01.5", "1:5", "1/5", "1.5 ", "1.-5"]
    for width in ("", "0" * 8, "0" * 14):
        line_ = [token + width if "." in token else token for token in good]
        for place in range(8):
            for wrong in bad:
                tokens = [*line_[:place], wrong, *line_[place + 1 :]]
                data = b" " * 24 + ",".join(tokens).encode() + b'"' + b" " * 40
                assert plain(data, 24, data.index(b'"'), as_json=True) is None, (place, wrong)


def test_lists_name_their_bad_element():
    for values, code, index in (
        ([1, True], "Q006", 1),
        ([1.5, None], "Q006", 1),
        (["1"], "Q006", 0),
        ([0, 1, 10**400], "Q007", 2),
        ([1e39], "Q007", 0),
        ([0.0, math.inf], "Q007", 1),
    ):
        with pytest.raises(BadNumber) as error:
            parse_list(values)
        assert (error.value.code, error.value.index) == (code, index)


def test_the_compiled_parser_is_loaded_for_large_input_only(tmp_path, monkeypatch):
    path = tmp_path / "a.jsonl"
    path.write_bytes(line("1,2") + b"\n")
    numbers = Numbers()
    numbers.expect(path)
    assert numbers._compiled is None
    monkeypatch.setattr(fast, "WORTH", 1)
    numbers = Numbers(worth=10)
    numbers.expect(path)
    assert numbers._compiled is digits


# --- jsonl ------------------------------------------------------------------------------------------------------------


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
    assert isinstance(next(reader.read(tmp_path / "a.jsonl")), Record)
    assert len(reader.notes()) == 2 and "UTC" in reader.notes()[0]
    list(reader.read(tmp_path / "b.jsonl"))
    assert reader.notes() == []


def test_offsets_are_bytes(tmp_path):
    content = line("1", sensor_id="变压器") + b"\n\n" + b"bad\n" + line("2")
    (tmp_path / "a.jsonl").write_bytes(content)
    items = read(JsonLines, tmp_path / "a.jsonl")
    assert [content[item.offset :].split(b"\n")[0][:3] for item in items] == [b'{"d', b"bad", b'{"d']
    assert [item.line for item in items] == [1, 3, 4] and [item.row for item in items] == [0, 2, 3]


def test_an_excerpt_is_short_and_printable():
    assert excerpt(b"\x1b[31m" + b"x" * 500) == "\\x1b[31m" + "x" * 109 + "..."
    assert len(excerpt("\u202e" * 500)) <= 120


def test_json_depth_is_32():
    assert strict_json.parse("[" * 32 + "]" * 32) is not None
    with pytest.raises(strict_json.BadJson):
        strict_json.parse("[" * 33 + "]" * 33)


# --- json, csv, npz ---------------------------------------------------------------------------------------------------


def test_documents_have_pointers(tmp_path):
    good = {"data_time": STAMP, "signal_value": [1, 2], "sensor_id": "s"}
    document = {"a/b": [good, {**good, "sensor_id": None}], "c~": {"d": [{**good, "signal_value": "1,x"}]}}
    (tmp_path / "a.json").write_text(json.dumps(document))
    items = read(JsonDocument, tmp_path / "a.json")
    assert [item.row for item in items] == [0, 1, 2]
    assert items[1].pointer == "/a~1b/1/sensor_id" and items[2].pointer == "/c~0/d/0/signal_value/1"
    assert "sensor_id" in items[1].excerpt


def test_a_broken_document_says_where(tmp_path):
    (tmp_path / "a.json").write_text('[\n{"sensor_id": "变"},\n{"x": }]', encoding="utf-8")
    (item,) = read(JsonDocument, tmp_path / "a.json")
    content = (tmp_path / "a.json").read_bytes()
    assert item.line == 3 and content[item.offset :].startswith(b"}]") and item.row == -1


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


def test_npz_columns(tmp_path):
    x = np.arange(12, dtype=np.float32).reshape(3, 4)
    np.savez(
        tmp_path / "a.npz",
        signals=x,
        fs=50.0,
        sensor_id=np.array(["a", "b", "c"]),
        data_time=np.array([STAMP, "", "2024-03-01T01:00:00"]),
        machine_id=np.array([1, 2, 3]),
        source_file=np.array(["f1", "f1", "f2"]),
        covariates=np.array([[1, np.nan]] * 3, np.float32),
        covariate_names=np.array(["load", "speed"]),
        unit="g",
        label=np.array([0, 1, 0]),
    )
    reader = Npz.make({}, Context())
    items = list(reader.read(tmp_path / "a.npz"))
    assert np.array_equal(np.concatenate([item.signal for item in items]), x)
    assert [item.sensor for item in items] == ["a", "b", "c"]
    assert [item.machine for item in items] == ["1", "2", "3"]
    assert [item.recording for item in items] == ["f1", "f1", "f2"]
    assert np.isnat(items[1].time) and not np.isnat(items[0].time)
    assert {item.fs for item in items} == {50.0} and {item.unit for item in items} == {"g"}
    assert all(item.covariates == {"load": 1.0} for item in items)
    assert reader.notes() == ["1 times name no zone and were read as UTC"]


def test_npz_is_streamed(tmp_path, monkeypatch):
    from vibro_plugins.readers import npz

    monkeypatch.setattr(npz, "CHUNK", 100)
    x = np.random.default_rng(0).standard_normal((7, 2, 9)).astype(np.float32)
    np.savez_compressed(tmp_path / "a.npz", signals=x)
    np.savez(tmp_path / "b.npz", signals=np.asfortranarray(x))
    for name in ("a.npz", "b.npz"):
        items = read(Npz, tmp_path / name)
        assert np.array_equal(np.stack([item.signal for item in items]), x)
        assert [item.row for item in items] == list(range(7))


def test_a_pickle_is_never_loaded(tmp_path):
    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "touched"), "w"))

    np.savez(tmp_path / "a.npz", signals=np.zeros((2, 3)), sensor_id=np.array([Trap(), Trap()], dtype=object))
    (item,) = read(Npz, tmp_path / "a.npz")
    assert isinstance(item, Rejected) and item.code == "Q001"
    assert not (tmp_path / "touched").exists()


@pytest.mark.parametrize("cls", [JsonLines, JsonDocument, CsvTable, Npz])
def test_a_missing_file_is_an_os_error(cls, tmp_path):
    with pytest.raises(OSError):
        read(cls, tmp_path / f"nowhere{cls.extensions[0]}")
