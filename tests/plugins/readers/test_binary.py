"""Readers of WAVE, MATLAB and Parquet files: values, rates and rows as promised, damage named, nothing half read."""

from __future__ import annotations

import struct
import wave

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import dataset, parquet
from scipy.io import savemat, wavfile

from vibro.api import Context, Record, Rejected
from vibro_plugins.readers import mat5
from vibro_plugins.readers.mat import Mat
from vibro_plugins.readers.parquet import Parquet
from vibro_plugins.readers.wav import Wav

X = np.random.default_rng(0).uniform(-0.9, 0.9, (2, 500))
STAMP = "2024-03-01T00:00:00Z"


def read(cls, path, **settings):
    return list(cls.make(settings, Context()).read(path))


def one_rejected(cls, path, code, *words, **settings):
    (item,) = read(cls, path, **settings)
    assert isinstance(item, Rejected) and (item.code, item.row) == (code, -1)
    for word in words:
        assert word in item.detail
    return item


# --- wav --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "scale"), [("int16", 2**15), ("int32", 2**31), ("uint8", 2**7), ("float32", 1), ("float64", 1)]
)
def test_wav_kinds(tmp_path, kind, scale):
    x = X.T * scale if scale > 1 else X.T
    stored = (np.rint(x) + (128 if kind == "uint8" else 0)).astype(kind) if scale > 1 else x.astype(kind)
    wavfile.write(tmp_path / "a.wav", 12800, stored)
    items = read(Wav, tmp_path / "a.wav")
    found = [(item.row, item.sensor, item.channel, item.fs) for item in items]
    assert found == [(0, "", "1", 12800.0), (1, "", "2", 12800.0)]
    for channel, item in enumerate(items):
        assert item.signal.dtype == np.float32 and item.signal.shape == (1, 500) and np.isnat(item.time)
        assert np.abs(item.signal[0] - X[channel]).max() <= 0.6 / scale + 1e-7


def test_wav_24_bits(tmp_path):
    counts = np.rint(X[0] * 2**23).astype(np.int32)
    counts[:4] = [2**23 - 1, -(2**23), -1, 0]
    with wave.open(str(tmp_path / "a.wav"), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(3)
        out.setframerate(8192)
        out.writeframes(b"".join(struct.pack("<i", c)[:3] for c in counts))
    (item,) = read(Wav, tmp_path / "a.wav")
    assert np.array_equal(item.signal[0], (counts / 2**23).astype(np.float32)) and item.channel == ""


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF, 0xFFFFFFFF - 36, 0x7FFFF000])
def test_wav_of_unknown_length(tmp_path, size):
    path = tmp_path / "a.wav"
    wavfile.write(path, 8000, X.T.astype(np.float32))
    whole = path.read_bytes()
    at = whole.index(b"data") + 4
    path.write_bytes(whole[:at] + struct.pack("<I", size) + whole[at + 4 :] + b"abc")  # half a frame at the end
    reader = Wav.make({}, Context())
    items = list(reader.read(path))
    assert np.array_equal(np.concatenate([item.signal for item in items]), X.astype(np.float32))
    assert "end of the file" in reader.notes()[0]


def test_wav_of_64_bits_length(tmp_path):
    path = tmp_path / "a.wav"
    wavfile.write(path, 8000, X[0].astype(np.float32))
    whole = path.read_bytes()
    at = whole.index(b"data") + 4
    sizes = struct.pack("<QQQI", len(whole) + 28, 4 * 500, 500, 0)
    long = (
        b"RF64"
        + b"\xff" * 4
        + b"WAVEds64"
        + struct.pack("<I", 28)
        + sizes
        + whole[12:at]
        + b"\xff" * 4
        + whole[at + 4 :]
    )
    path.write_bytes(long + b"LIST" + struct.pack("<I", 4) + b"abcd")
    reader = Wav.make({}, Context())
    (item,) = reader.read(path)
    assert np.array_equal(item.signal[0], X[0].astype(np.float32)) and not reader.notes()


def test_wav_damage(tmp_path):
    path = tmp_path / "a.wav"
    wavfile.write(path, 8000, X[0].astype(np.float32))
    whole = path.read_bytes()
    for cut in range(0, len(whole) - 1, 97):
        path.write_bytes(whole[:cut])
        one_rejected(Wav, path, "Q001")
    path.write_bytes(b"RIFX" + whole[4:])
    one_rejected(Wav, path, "Q001", "RIFX")
    path.write_bytes(whole.replace(struct.pack("<HH", 3, 1), struct.pack("<HH", 7, 1), 1))
    one_rejected(Wav, path, "Q001", "format 7")
    bad = X.T.astype(np.float32)
    bad[9, 1] = np.nan
    wavfile.write(path, 8000, bad)
    items = read(Wav, path)
    assert (
        isinstance(items[0], Record) and (items[1].code, items[1].row) == ("Q007", 1) and "sample 9" in items[1].detail
    )


def test_wav_passes_over_other_chunks(tmp_path):
    path = tmp_path / "a.wav"
    wavfile.write(path, 8000, np.arange(6, dtype=np.int16))
    whole = path.read_bytes()
    note = b"LIST" + struct.pack("<I", 3) + b"abc\0"
    path.write_bytes(whole[:12] + note + whole[12:] + note)
    (item,) = read(Wav, path)
    assert np.array_equal(item.signal[0] * 2**15, np.arange(6))


# --- mat --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("compressed", [False, True])
def test_mat_vectors(tmp_path, compressed):
    content = {"DE": X[0][:, None], "FE": X[1][None, :], "rpm": 1797.0, "Fs": 12000, "note": "text", "m": X, "e": []}
    savemat(tmp_path / "a.mat", content, do_compression=compressed)
    items = read(Mat, tmp_path / "a.mat")
    assert [(item.row, item.channel) for item in items] == [(0, "DE"), (1, "FE"), (2, "m/1"), (3, "m/2")]
    assert {(item.sensor, item.fs, item.covariates["speed"]) for item in items} == {("", 12000.0, 1797.0)}
    assert np.array_equal(np.concatenate([item.signal for item in items]), np.concatenate([X, X]).astype(np.float32))


def test_mat_channels(tmp_path):
    content = {"bearing": {"sr": 97656.0, "gs": X[0]}, "m": X, "t": X.T, "name": "x", "rate": 5.0}
    savemat(tmp_path / "a.mat", content)
    for pattern in ("bearing.gs", "*.gs", "BEARING*"):
        (item,) = read(Mat, tmp_path / "a.mat", channels=(pattern,))
        assert item.fs == 97656.0 and np.array_equal(item.signal[0], X[0].astype(np.float32))
    for pattern in ("m/*", "t/*"):
        items = read(Mat, tmp_path / "a.mat", channels=(pattern,))
        assert np.array_equal(np.concatenate([item.signal for item in items]), X.astype(np.float32))
        assert [item.channel for item in items] == [f"{pattern[0]}/1", f"{pattern[0]}/2"]
    one_rejected(Mat, tmp_path / "a.mat", "Q005", "--channels 'nothing'", "bearing.gs", channels=("nothing",))
    savemat(tmp_path / "a.mat", {"name": "x", "rate": 5.0})
    one_rejected(Mat, tmp_path / "a.mat", "Q005", "no array of samples", "name", "rate")


def test_mat_arrays_of_structs_and_cells(tmp_path):
    kind = [("Name", "O"), ("Data", "O"), ("Raster", "O")]
    t = np.arange(500) / 64000
    y = np.array([("force", X[0, :50], "slow"), ("vibration_1", X[1], "fast")], dtype=kind)
    x = np.array([("fast", t, "fast"), ("slow", t[:50] * 16, "slow")], dtype=kind)
    savemat(tmp_path / "N09_1.mat", {"N09_1": {"Info": "rig", "X": x[None], "Y": y[None]}})
    items = read(Mat, tmp_path / "N09_1.mat")
    assert [(item.channel, item.fs) for item in items] == [("force", 4000.0), ("vibration_1", 64000.0)]
    for pattern in ("*.Y[vibration_1].Data", "vibration_1"):
        (item,) = read(Mat, tmp_path / "N09_1.mat", channels=(pattern,))
        assert np.array_equal(item.signal[0], X[1].astype(np.float32)) and item.row == 1
    cell = np.empty((1, 2), object)
    cell[0, 0], cell[0, 1] = X[0], X[1]
    savemat(tmp_path / "a.mat", {"runs": cell})
    assert [item.channel for item in read(Mat, tmp_path / "a.mat")] == ["runs[0]", "runs[1]"]


def test_mat_many_lines_are_recordings_of_one_channel(tmp_path):
    rows = np.random.default_rng(1).normal(size=(40, 500)).astype(np.float32)
    savemat(tmp_path / "a.mat", {"clips": rows})
    items = read(Mat, tmp_path / "a.mat")
    assert np.array_equal(np.concatenate([item.signal for item in items]), rows)
    assert {item.channel for item in items} == {"clips"} and [item.row for item in items] == list(range(40))


@pytest.mark.parametrize("compressed", [False, True])
def test_mat_large_variables_are_read_part_by_part(tmp_path, monkeypatch, compressed):
    rng = np.random.default_rng(0)
    n = 300_000
    variables = {
        "a": rng.normal(size=(n, 1)),
        "b": rng.normal(size=(2, n)).astype(np.float32),
        "c": rng.integers(-3000, 3000, (1, n)).astype(np.int16),
        "fs": 2000.0,
        "s": {"inner": rng.normal(size=(n, 1))},
        "t": np.arange(n)[:, None] / 2000,
        "z": rng.normal(size=(n, 1)) + 1j,
    }
    path = tmp_path / "a.mat"
    savemat(path, variables, do_compression=compressed)
    whole = read(Mat, path)
    monkeypatch.setattr("vibro_plugins.readers.mat.LARGE", 1 << 18)
    _, large = mat5.split(path, 1 << 18, 1 << 30)
    assert set(large) == {"a", "b", "c", "t"}
    assert {name: values.dtype.name for name, values in large.items() if name in "at"} == {
        "a": "float32",
        "t": "float64",
    }
    again = read(Mat, path)
    assert [item.channel for item in again] == [item.channel for item in whole] and len(again) == 5
    for one, other in zip(again, whole, strict=True):
        assert one.fs == other.fs == 2000.0 and np.array_equal(one.signal, other.signal)
    path.write_bytes(path.read_bytes()[:-1000])
    (refused,) = read(Mat, path)
    assert refused.code == "Q001" and "-v7" in refused.detail


def test_mat_damage(tmp_path):
    path = tmp_path / "a.mat"
    path.write_bytes(b"MATLAB 7.3 MAT-file" + b" " * 600)
    one_rejected(Mat, path, "Q001", "no HDF5 file")
    for content in (b"", b"hello", b"MATLAB 5.0 MAT-file" + b" " * 200):
        path.write_bytes(content)
        one_rejected(Mat, path, "Q001")
    savemat(path, {"x": X[0]}, do_compression=True)
    whole = path.read_bytes()
    for cut in range(130, len(whole) - 1, 211):
        path.write_bytes(whole[:cut])
        items = read(Mat, path)
        assert len(items) == 1 and isinstance(items[0], Rejected)
    savemat(path, {"x": np.where(X == X[0, 3], np.inf, X)[0], "y": X[1]})
    items = read(Mat, path)
    assert (items[0].code, items[0].row, items[0].pointer) == ("Q007", 0, "/x/3") and isinstance(items[1], Record)
    savemat(path, {"x": X[0] + 1j})
    one_rejected(Mat, path, "Q005")


# --- parquet ----------------------------------------------------------------------------------------------------------


def table(**columns):
    n = len(next(iter(columns.values())))
    return pa.table({"sensor_id": ["s"] * n, "data_time": [STAMP] * n, **columns})


@pytest.mark.parametrize("kind", [pa.float32(), pa.float64(), pa.int32()])
def test_parquet_lists(tmp_path, kind):
    values = pa.array([[1, 2, 3], [4, 5, 6]], pa.list_(kind))
    parquet.write_table(table(signal_value=values, fs=[50.0, None], other=[1, 2]), tmp_path / "a.parquet")
    items = read(Parquet, tmp_path / "a.parquet")
    assert [item.signal.tolist() for item in items] == [[[1, 2, 3]], [[4, 5, 6]]]
    assert [(item.row, item.fs) for item in items] == [(0, 50.0), (1, 0.0)]
    assert items[0].time == np.datetime64("2024-03-01", "ns")


def test_parquet_in_a_partitioned_folder(tmp_path):
    values = pa.array([[1.0, 2.0], [3.0, 4.0]], pa.list_(pa.float32()))
    keys = {"sensor_id": ["pump 1/a", "b"], "machine_id": ["m", None], "year": [2026, 2026]}
    whole = pa.table({"data_time": [STAMP] * 2, "signal_value": values, **keys})
    dataset.write_dataset(
        whole, tmp_path / "set", format="parquet", partitioning=list(keys), partitioning_flavor="hive"
    )
    files = sorted((tmp_path / "set").rglob("*.parquet"))
    items = [item for file in files for item in read(Parquet, file)]
    assert [(item.sensor, item.machine) for item in items] == [("b", ""), ("pump 1/a", "m")]
    place = tmp_path / "sensor_id=other" / "a.parquet"
    place.parent.mkdir()
    parquet.write_table(table(signal_value=values), place)
    assert {item.sensor for item in read(Parquet, place)} == {"s"}  # what the file itself states counts


def test_parquet_texts_timestamps_and_covariates(tmp_path):
    columns = {
        "sensor_id": ["s"],
        "data_time": pa.array([1709251200123456789], pa.timestamp("ns", tz="UTC")),
        "signal_value": ["1,2.5"],
        "covariates": pa.array(
            [{"load": 0.5, "fan": None}], pa.struct([("load", pa.float64()), ("fan", pa.float64())])
        ),
        "machine_id": ["T1"],
        "recording": ["r"],
        "unit": ["g"],
    }
    parquet.write_table(pa.table(columns), tmp_path / "a.parquet")
    (item,) = read(Parquet, tmp_path / "a.parquet")
    assert item.signal.tolist() == [[1, 2.5]] and item.covariates == {"load": 0.5}
    assert item.time == np.datetime64("2024-03-01T00:00:00.123456789", "ns")
    assert (item.machine, item.recording, item.unit) == ("T1", "r", "g")


def test_parquet_bad_rows_cost_themselves(tmp_path):
    values = pa.array([[1, 2], None, [1, None], [1, float("nan")], [3, 1e300], [], [5, 6]], pa.list_(pa.float64()))
    parquet.write_table(table(signal_value=values), tmp_path / "a.parquet")
    items = read(Parquet, tmp_path / "a.parquet")
    assert [getattr(item, "code", "") for item in items] == ["", "Q005", "Q006", "Q007", "Q007", "", ""]
    assert items[2].pointer == "/signal_value/1" and items[5].signal.shape == (1, 0)
    texts = table(signal_value=["1,2", "1,x", None])
    parquet.write_table(texts, tmp_path / "b.parquet")
    assert [getattr(i, "code", "") for i in read(Parquet, tmp_path / "b.parquet")] == ["", "Q006", "Q005"]
    parquet.write_table(table(signal_value=[True, False]), tmp_path / "c.parquet")
    assert {item.code for item in read(Parquet, tmp_path / "c.parquet")} == {"Q006"}


def test_parquet_damage(tmp_path):
    path = tmp_path / "a.parquet"
    parquet.write_table(table(signal_value=[[1.0, 2.0]] * 300), path, compression="zstd")
    whole = path.read_bytes()
    for content in (b"", b"hello", whole[:100], whole[:-3], whole[200:]):
        path.write_bytes(content)
        one_rejected(Parquet, path, "Q001")
    parquet.write_table(pa.table({"x": ["a"]}), path)
    one_rejected(Parquet, path, "Q005", "sensor_id")


@pytest.mark.parametrize("cls", [Wav, Mat, Parquet])
def test_a_missing_file_is_an_os_error(cls, tmp_path):
    with pytest.raises(OSError):
        read(cls, tmp_path / f"nowhere{cls.extensions[0]}")
