"""Recordings: pieces between leaps of the clock, large files by blocks, packages that are missing, and nothing unpickled."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vibro.api import Context, Record, Rejected
from vibro_plugins.readers import flac, hdf5, lvm, mat, tdms, uff
from vibro_plugins.readers import table as table_reader
from vibro_plugins.readers.parquet import Parquet
from vibro_plugins.readers.sheet import Sheet
from vibro_plugins.readers.table import Table
from vibro_plugins.readers.text import digits
from vibro_plugins.readers.text.digits import UNSURE
from vibro_plugins.readers.text.fast import Numbers
from vibro_plugins.readers.waveform import parsing, reader
from vibro_plugins.readers.waveform.clock import clock_of_numbers
from vibro_plugins.readers.waveform.encoding import found
from vibro_plugins.readers.waveform.names import covariate, parted, rate, rounded_rate, time_column

RNG = np.random.default_rng(3)


def read(cls, path, **settings):
    made = cls.make(settings, Context())
    return list(made.read(path)), " ".join(made.notes())


def table(path: Path, times, *columns) -> Path:
    rows = zip(times, *columns, strict=True)
    head = ",".join(["time", *(f"c{i}" for i in range(len(columns)))])
    path.write_text("\n".join([head, *(",".join(map(str, row)) for row in rows), ""]))
    return path


# --- clocks -----------------------------------------------------------------------------------------------------------


def test_a_leap_parts_a_recording(tmp_path):
    x, y = RNG.normal(size=(2, 300)).round(4)
    times = np.arange(300) / 1000
    times[100:] += 2.5
    times[220:] -= 1.0  # the clock jumps back
    items, notes = read(Table, table(tmp_path / "a.csv", times.round(6), x, y))
    assert [(item.row, item.channel, item.signal.shape[1]) for item in items] == [
        (0, "c0", 100), (1, "c0", 120), (2, "c0", 80), (3, "c1", 100), (4, "c1", 120), (5, "c1", 80),
    ]  # fmt: skip
    assert np.array_equal(np.concatenate([item.signal[0] for item in items[:3]]), x.astype(np.float32))
    assert {item.fs for item in items} == {1000.0} and [item.line for item in items[:3]] == [2, 102, 222]
    assert "leaps by 2.501 s behind sample 99" in notes and "1 more times" in notes and "--window" in notes


def test_pieces_begin_when_their_clock_says(tmp_path):
    seconds = np.arange(200) / 100
    seconds[150:] += 60
    start = np.datetime64("2024-03-01T08:00:00", "ns")
    stamps = [f"{start + np.timedelta64(round(s * 1e9), 'ns')}Z" for s in seconds]
    items, _ = read(Table, table(tmp_path / "a.csv", stamps, RNG.normal(size=200)))
    assert [item.time for item in items] == [start, start + np.timedelta64(61_500_000_000, "ns")]
    assert {item.fs for item in items} == {100.0}


@pytest.mark.parametrize("fs", [8, 50, 1000, 3000, 4096, 12800, 20480, 25600, 48828.125, 51200, 65536, 97656.25])
@pytest.mark.parametrize("digits", [6, 9])
def test_rates_come_out_as_they_are_meant(fs, digits):
    times = np.round(np.arange(4096) / fs + 17.0, digits)
    got = clock_of_numbers(times, 1.0, "t").fs
    assert got == fs or (digits == 6 and abs(got - fs) < 2e-6 * fs * max(1.0, fs / 4096))


def test_a_clock_that_trembles_gives_the_rate_that_is_meant():
    times = np.arange(5000) / 1000 + RNG.normal(0, 2e-5, 5000)
    assert clock_of_numbers(times, 1.0, "t").fs == 1000.0


def test_a_count_is_no_time():
    clock = clock_of_numbers(np.arange(100.0), 0.0, "time")
    assert clock.fs == 0.0 and "--fs" in clock.notes[0]


# --- words ------------------------------------------------------------------------------------------------------------


def test_names_units_and_rates():
    assert parted("acc_x (m/s2)") == ("acc_x", "m/s2") and parted("Channel (left)") == ("Channel (left)", "")
    assert parted("加速度（g）") == ("加速度", "g") and parted("Zeit, s") == ("Zeit", "s")
    assert time_column("t_ms") == (True, "ms") and time_column("Time [s]") == (True, "s")
    assert time_column("temperature") == (False, "") and time_column("time (V)")[0] is False
    assert rate({"Sampling Rate": "25.6 kHz"}) == 25600.0 and rate({"dt": 1 / 48000}) == 48000.0
    assert rate({"采样频率": "12800 Hz"}) == 12800.0 and rate({"fs": "fast"}) == 0.0 and rate({"fs": -5}) == 0.0
    assert rounded_rate(2.08333e-05, 5e-6) != rounded_rate(2.08333e-05) and round(rounded_rate(1 / 25600)) == 25600
    assert [covariate(name) for name in ("X097RPM", "speed_rpm", "load", "rate", "x1")] == [
        "speed",
        "speed",
        "load",
        "",
        "",
    ]


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("gb18030", "时间,加速度"), ("gb18030", "正常;内圈故障"), ("gb18030", "采样频率: 25600 Hz"),
        ("latin-1", "time,µm"), ("latin-1", "Größe;für"), ("latin-1", "Température °C;Accélération m/s²"),
        ("utf-8", "时间;Größe"), ("utf-16", "时间;x"), ("utf-16-le", "time;x"), ("utf-16-be", "time;x"),
    ],
)  # fmt: skip
def test_encodings_by_the_bytes_of_one_line(encoding, text):
    assert found(text.encode(encoding) + "\n".encode(encoding.removesuffix("-sig")))[0].startswith(encoding)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(st.floats(-1e9, 1e9), st.floats(-9, 9)), min_size=1, max_size=9),
    st.sampled_from(["{!r}", "{:.6f}", "{:.3e}"]),
)
def test_a_column_in_float64_is_exact_or_left_to_others(pairs, form):
    cells = [[form.format(value) for value in pair] for pair in pairs]
    table = Numbers(worth=0)
    table.expect(Path(__file__))
    found = table.table("\n".join(map(",".join, cells)).encode(), 2)
    for place in range(2) if found else ():
        exact = found.exact(place)
        assert exact is None or exact.tolist() == [float(row[place]) for row in cells]
        if form == "{:.6f}":
            assert exact is not None


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.lists(st.text("0123456789", min_size=1, max_size=20), min_size=1, max_size=4), min_size=1, max_size=40)
)
def test_lines_are_counted_only_where_all_have_the_same_width(rows):
    width = len(rows[0])
    text = np.frombuffer(bytearray("\n".join(map(",".join, rows)).encode() + b" "), np.uint8)
    found = digits.lines(text, 0, len(text) - 1, width)
    even = all(len(row) == width for row in rows)
    assert found == (len(rows) if even else UNSURE)
    if even:
        assert text.tobytes()[:-1].decode() == ",".join(cell for row in rows for cell in row)


@pytest.mark.parametrize("form", ["csv", "gappy.csv", "xlsx", "parquet"])
def test_columns_named_by_the_user(tmp_path, form):
    x = RNG.normal(size=(500, 2)).astype(np.float32).astype(np.float64)
    rows = [("uptime_s", "dms", "acc_x"), *zip(*(np.arange(500) / 250 + 7, *x.T), strict=True)]
    path = tmp_path / f"a.{form}"
    if form == "xlsx":
        openpyxl = pytest.importorskip("openpyxl")
        book = openpyxl.Workbook()
        for row in rows:
            book.active.append(list(row))
        book.save(path)
    elif form == "parquet":
        import pyarrow as pa
        from pyarrow import parquet

        columns = dict(zip(rows[0], zip(*rows[1:], strict=True), strict=True))
        parquet.write_table(pa.table(columns), path)
    else:
        more = "9,nan,1\n" * form.startswith("gappy")
        path.write_text("\n".join(",".join(map(str, row)) for row in rows) + "\n" + more)
    cls = {"xlsx": Sheet, "parquet": Parquet}.get(form, Table)
    (item,), _ = read(cls, path, columns={"time": "uptime_s", "signal": "acc_x"})
    assert (item.channel, item.fs) == ("acc_x", 250.0)
    assert np.array_equal(item.signal[0, :500], x[:, 1].astype(np.float32))
    items, notes = read(cls, path, columns={"time": "uptime_s", "unit": "u"}, gaps=True)
    assert [item.channel for item in items] == ["dms", "acc_x"] and "--columns unit=u has no effect" in notes
    (refused,), _ = read(cls, path, columns={"time": "clock"})
    assert refused.code == "Q005" and "no column clock (columns: uptime_s, dms, acc_x)" in refused.detail
    (refused,), _ = read(cls, path, columns={"signal": "z"})
    assert refused.code == "Q005" and "acc_x" in refused.detail


# --- large and foreign files ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mark", [",", "  "])
def test_large_tables_are_parsed_by_blocks(tmp_path, monkeypatch, mark):
    x = RNG.normal(size=(9000, 3)).round(6)
    path = tmp_path / "a.txt"
    path.write_text("a b c\n".replace(" ", mark) + "\n".join(mark.join(map(repr, map(float, row))) for row in x) + "\n")
    for module in (parsing, table_reader):
        monkeypatch.setattr(module, "BLOCK", 100_000)
    items, _ = read(Table, path)
    assert np.array_equal(np.stack([item.signal[0] for item in items], 1), x.astype(np.float32))
    lines = path.read_text().split("\n")
    lines[8000] = lines[8000].replace(".", ",", 1) + "x"
    path.write_text("\n".join(lines))
    items, _ = read(Table, path)
    assert isinstance(items[0], Rejected) and "line 8001" in items[0].detail


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("labels.csv", "recording,label\na.wav,0\nb.wav,1\n"),
        ("labels.csv", "source,row,label\na.npz,0,1\na.npz,1,0\n"),
        ("cov.csv", "data_time,load,speed\n2024-03-01T00:00:00Z,1.5,2\n2024-03-01T00:10:00Z,1.5,2\n"),
        ("machines.csv", "sensor_id,machine_id\n1,2\n3,4\n"),
        ("README.txt", "Bearing 1 and 2\n\nsampled at 25600 Hz\n3 channels\n"),
        ("notes.md", "1,2\n3,4\n"), ("a.py", "1\n2\n3\n"), ("data.toml", "1\n2\n"), ("a.dat", "\0\1\2\3" * 200),
    ],
)  # fmt: skip
def test_other_files_are_left_alone(tmp_path, name, content):
    path = tmp_path / name
    path.write_text(content)
    assert not Table.accepts(path, path.read_bytes()[:512])


class Hostile:
    """Leaves a file where it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_lvm_neither_unpickles_nor_writes(tmp_path):
    name, content, _, _ = next(iter(lvm.Lvm.examples()))
    folder = tmp_path / "data"
    folder.mkdir()
    path = folder / name
    path.write_bytes(content)
    mark = tmp_path / "unpickled"
    (folder / f"{name}.pkl").write_bytes(pickle.dumps(Hostile(mark)))
    before = {p.name: (p.stat().st_mtime_ns, p.read_bytes()) for p in folder.iterdir()}
    items, _ = read(lvm.Lvm, path)
    assert [type(item) for item in items] == [Record, Rejected]
    assert {p.name: (p.stat().st_mtime_ns, p.read_bytes()) for p in folder.iterdir()} == before and not mark.exists()


@pytest.mark.parametrize(
    ("cls", "package"),
    [(tdms.Tdms, "nptdms"), (uff.Uff, "pyuff"), (flac.Flac, "soundfile"), (hdf5.Hdf5, "h5py"), (mat.Mat, "h5py")],
)
def test_a_missing_package_is_named_with_its_extra(cls, package, tmp_path, monkeypatch):
    monkeypatch.setattr(reader, "find_spec", lambda name: None)
    path = tmp_path / f"a{cls.extensions[0]}"
    path.write_bytes(b"MATLAB 7.3 MAT-file" + b" " * 600)
    (item,), _ = read(cls, path)
    assert item.code == "Q020" and package in item.detail and 'pip install "vibro[formats]"' in item.detail


def test_hdf5_follows_no_link_to_another_file(tmp_path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "secret.h5", "w") as file:
        file["x"] = np.arange(100.0)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["y"] = RNG.normal(size=100)
        file["x"] = h5py.ExternalLink("secret.h5", "/x")
    items, _ = read(hdf5.Hdf5, tmp_path / "a.h5")
    assert [item.channel for item in items] == ["y"]
