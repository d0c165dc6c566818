"""Recordings in the formats of the trade, written by the same libraries where these can write, else by hand."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from .made import FS, START, Dialect, T, X, Y, Z, raw, rows, text

BOTH = {"x": X, "y": Y}
PCM = np.round(X * 4000).astype("<i2")
SHARE = PCM.astype(np.float64) / 2**15


def dialects() -> Iterator[Dialect]:
    """Every file that is no table of text."""
    yield from sheets()
    yield from sounds()
    yield from labview()
    yield from universal()
    yield from matlab()
    yield from hdf5()
    yield from parquet()
    yield from documents()


def sheets() -> Iterator[Dialect]:
    """Excel."""

    def book(**tables: list[list[Any]]) -> Callable[[Path], object]:
        def make(path: Path) -> None:
            from openpyxl import Workbook

            made = Workbook()
            made.remove(made.active)
            for name, lines in tables.items():
                sheet = made.create_sheet(name)
                for line in lines:
                    sheet.append(line)
            made.save(path)

        return make

    body = [[float(v) for v in line] for line in zip(T, X, Y, strict=True)]
    table = [["time", "x (g)", "y (g)"], *body]
    yield Dialect("Excel", "a.xlsx", book(data=table), BOTH, FS, unit="g")
    above = [["Sampling rate", 2000], ["Sensor", "P1"], [], ["acc"], *[[line[1]] for line in body]]
    yield Dialect("Excel, remarks above", "a.xlsx", book(data=above), {"acc": X}, FS, sensor="P1")
    two = {"Info": [["a text"]], "left": [["x"], *[[v[1]] for v in body]], "right": [["x"], *[[v[2]] for v in body]]}
    yield Dialect("Excel, two sheets", "a.xlsx", book(**two), {"left/x": X, "right/x": Y})
    begun = datetime(2024, 3, 1, 8)
    dated = [["Date", "x"], *[[begun + timedelta(seconds=i), v[1]] for i, v in enumerate(body)]]
    yield Dialect("Excel, dates", "a.xlsx", book(data=dated), {"x": X}, 1.0, START, notes=("no zone",))
    texts = [["x", "y"], *[[str(v[1]).replace(".", ","), str(v[2]).replace(".", ",")] for v in body]]
    yield Dialect("Excel, numbers as texts", "a.xlsx", book(data=texts), BOTH, notes=("decimal comma",))


def wave(data: bytes, channels: int = 1, bits: int = 16, tag: int = 1, size: int | None = None) -> bytes:
    """A WAVE file; ``size`` is the length that its header gives."""
    block = channels * bits // 8
    head = struct.pack("<HHIIHH", tag, channels, int(FS), int(FS) * block, block, bits)
    size = len(data) if size is None else size
    body = b"WAVEfmt " + struct.pack("<I", 16) + head + b"data" + struct.pack("<I", size) + data
    return b"RIFF" + struct.pack("<I", min(4 + len(body), 0xFFFFFFFF)) + body


def sounds() -> Iterator[Dialect]:
    """WAVE and FLAC."""
    yield Dialect("WAVE", "a.wav", raw(wave(PCM.tobytes())), {"": SHARE}, FS)
    stereo = np.stack([PCM, -PCM], 1).tobytes()
    yield Dialect("WAVE, stereo", "a.wav", raw(wave(stereo, 2)), {"1": SHARE, "2": -SHARE}, FS)
    only = {"channels": ("2",)}
    yield Dialect("WAVE, one channel of two", "a.wav", raw(wave(stereo, 2)), {"2": -SHARE}, FS, settings=only)
    floats = wave(X.astype("<f4").tobytes(), bits=32, tag=3)
    yield Dialect("WAVE, float", "a.wav", raw(floats), {"": X}, FS)
    for name, size in (("piped", 0xFFFFFFFF), ("power lost", 0)):
        content = raw(wave(PCM.tobytes(), size=size))
        yield Dialect(f"WAVE, {name}", "a.wav", content, {"": SHARE}, FS, notes=("end of the file",))

    def flac(path: Path) -> None:
        import soundfile

        soundfile.write(path, np.stack([PCM, -PCM], 1), int(FS), subtype="PCM_16")

    yield Dialect("FLAC", "a.flac", flac, {"1": SHARE, "2": -SHARE}, FS)


def lvm(*segments: str, decimal: str = ".", columns: str = "One", separator: str = "Tab") -> str:
    """A file of LabVIEW of segments as ``segment`` writes them."""
    head = (
        f"LabVIEW Measurement\t\nWriter_Version\t2\nReader_Version\t2\nSeparator\t{separator}\nDecimal_Separator\t{decimal}\n"
        f"Multi_Headings\tYes\nX_Columns\t{columns}\nTime_Pref\tAbsolute\nDate\t2024/03/01\nTime\t08:00:00\n"
        "***End_of_Header***\t\n\t\n"
    )
    return head + "\t\n".join(segments)


def segment(names: str, body: str, step: str = "0.0005", start: str = "08:00:00.0") -> str:
    """One block of two channels."""
    return (
        f"Channels\t2\t\t\t\nSamples\t64\t64\t\t\nDate\t2024/03/01\t2024/03/01\t\t\nTime\t{start}\t{start}\t\t\n"
        f"Y_Unit_Label\tg\tg\t\t\nX_Dimension\tTime\tTime\t\t\nX0\t0\t0\t\t\nDelta_X\t{step}\t{step}\t\t\n"
        f"***End_of_Header***\t\t\t\t\n{names}\n{body}"
    )


def labview() -> Iterator[Dialect]:
    """LVM and TDMS."""
    names = "X_Value\tx\ty\tComment"
    block = segment(names, rows(T, X, Y, mark="\t"))
    told = {"time": START, "unit": "g", "notes": ("no zone",)}
    yield Dialect("LVM", "a.lvm", text(lvm(block)), BOTH, FS, **told)
    comma = segment(names, rows(T, X, Y, mark="\t", decimal=","), "0,0005", "08:00:00,0")
    yield Dialect("LVM, decimal comma", "a.lvm", text(lvm(comma, decimal=",")), BOTH, FS, **told)
    bare = segment(names, rows([""] * len(X), X, Y, ["a remark"] * len(X), mark="\t"))
    yield Dialect("LVM, no X column, remarks", "a.lvm", text(lvm(bare, columns="No")), BOTH, FS, **told)
    commas = lvm(block, separator="Comma").replace("\t", ",")
    yield Dialect("LVM, commas", "a.lvm", text(commas), BOTH, FS, **told)
    short = rows(T, X, Y, mark="\t").splitlines()
    short = [line if i < 60 else line.rpartition("\t")[0] + "\t" for i, line in enumerate(short)]
    uneven = segment(names, "\n".join(short) + "\n").replace("Samples\t64\t64", "Samples\t64\t60")
    yield Dialect("LVM, channels of two lengths", "a.lvm", text(lvm(uneven)), {"x": X, "y": Y[:60]}, FS, **told)

    def tdms(path: Path) -> None:
        from nptdms import ChannelObject, RootObject, TdmsWriter

        about = {"wf_increment": 1 / FS, "wf_start_time": START.astype("datetime64[us]"), "unit_string": "m/s^2"}
        with path.open("wb") as stream, TdmsWriter(stream) as writer:
            made = [ChannelObject("rig", "x", X, about), ChannelObject("rig", "y", Y.astype(np.float32), about)]
            writer.write_segment([RootObject({"name": "a test"}), *made, ChannelObject("rig", "note", ["a", "b"])])

    yield Dialect("TDMS", "a.tdms", tdms, BOTH, FS, START, unit="m/s^2")

    def groups(path: Path) -> None:
        from nptdms import ChannelObject, TdmsWriter

        with path.open("wb") as stream, TdmsWriter(stream) as writer:
            for half in (slice(0, 32), slice(32, 64)):  # two segments of one file
                parts = [("a", "x", X), ("b", "x", Y), ("b", "Time", T)]
                writer.write_segment([ChannelObject(group, name, values[half]) for group, name, values in parts])

    yield Dialect("TDMS, groups and a time channel", "a.tdms", groups, {"a/x": X, "b/x": Y}, FS)


def universal() -> Iterator[Dialect]:
    """UFF 58 and 58b."""

    def uff(binary: int, *sets: dict[str, Any]) -> Callable[[Path], object]:
        def make(path: Path) -> None:
            import pyuff

            plain = {"binary": binary, "func_type": 1, "rsp_dir": 1, "ref_node": 0, "ref_dir": 0, "x": T}
            made = [pyuff.prepare_58(**{**plain, "abscissa_inc": 1 / FS, **values}) for values in sets]
            for each in made:
                each["orddenom_spec_data_type"] = 0  # which pyuff leaves out and then misses
            pyuff.UFF(str(path)).write_sets(made, "add")

        return make

    one = {"data": X, "rsp_node": 12, "abscissa_spacing": 1, "ordinate_axis_units_lab": "g", "id1": "a"}
    two = {"data": Y, "rsp_node": 13, "rsp_dir": -3, "abscissa_spacing": 1, "ordinate_axis_units_lab": "g", "id1": "b"}
    found = {"12+X": X, "13-Z": Y}
    yield Dialect("UFF 58b", "a.uff", uff(1, one, two), found, FS, unit="g")
    yield Dialect("UFF 58", "a.unv", uff(0, one, two), found, FS, unit="g")
    spectrum = {**two, "data": Y + 1j * Z, "func_type": 4}
    yield Dialect(
        "UFF, a spectrum among them", "a.uff", uff(1, one, spectrum), {"12+X": X}, FS, unit="g", notes=("left out",)
    )


def matlab() -> Iterator[Dialect]:
    """MATLAB up to 7.2 and 7.3."""
    from scipy.io import savemat

    def mat(**variables: Any) -> Callable[[Path], object]:
        return lambda path: savemat(path, variables)

    cwru = mat(X097_DE_time=X[:, None], X097_FE_time=Y[:, None], X097RPM=1796.0)
    found = {"X097_DE_time": X, "X097_FE_time": Y}
    yield Dialect("CWRU", "97_Normal_0.mat", cwru, found, covariates={"speed": 1796.0})
    some = {"channels": ("*_DE_time",)}
    drive = {"X097_DE_time": X}
    yield Dialect("CWRU, one channel", "97.mat", cwru, drive, covariates={"speed": 1796.0}, settings=some)
    mfpt = mat(bearing={"sr": FS, "gs": X[:, None], "load": 270.0, "rate": 25.0})
    yield Dialect("MFPT", "baseline_1.mat", mfpt, {"gs": X}, FS, covariates={"load": 270.0})
    kind = [(name, "O") for name in ("Name", "Data", "Raster")]
    y = np.array([("force", Z[:16], "slow"), ("vibration_1", X, "fast")], dtype=kind)
    x = np.array([("fast", T, "fast"), ("slow", T[:16] * 4, "slow")], dtype=kind)
    rig = mat(N09_K001_1={"Info": "rig", "X": x[None], "Y": y[None]})
    one = {"channels": ("*.Y[vibration_1].Data",)}
    yield Dialect("Paderborn", "N09_K001_1.mat", rig, {"vibration_1": X}, FS, settings=one)
    yield Dialect("a matrix", "a.mat", mat(data=np.stack([X, Y], 1), fs=FS), {"data/1": X, "data/2": Y}, FS)
    cell = np.empty((1, 2), object)
    cell[0, 0], cell[0, 1] = X, Y
    yield Dialect("a cell", "a.mat", mat(runs=cell), {"runs[0]": X, "runs[1]": Y})
    yield Dialect("a time axis", "a.mat", mat(t=T, acc=X), {"acc": X}, FS)

    def new(path: Path) -> None:
        import h5py

        with h5py.File(path, "w", userblock_size=512) as file:
            for name, value in (("acc", X[None]), ("fs", [[FS]])):
                file[name] = value
                file[name].attrs["MATLAB_class"] = np.bytes_("double")
            rig = file.create_group("rig")
            for name, values in (("Name", ["left", "right"]), ("Data", [X, Y])):
                refs = rig.create_dataset(name, (2, 1), h5py.ref_dtype)
                for i, value in enumerate(values):
                    data = np.frombuffer(value.encode("utf-16-le"), "<u2")[:, None] if name == "Name" else value[None]
                    inner = file.create_dataset(f"#refs#/{name}{i}", data=data)
                    inner.attrs["MATLAB_class"] = np.bytes_("char" if name == "Name" else "double")
                    refs[i, 0] = inner.ref
        with path.open("r+b") as stream:
            stream.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\x00\x02IM")

    yield Dialect("MATLAB 7.3", "a.mat", new, {"acc": X, "left": X, "right": Y}, FS)


def hdf5() -> Iterator[Dialect]:
    """HDF5."""

    def make(path: Path) -> None:
        import h5py

        with h5py.File(path, "w") as file:
            group = file.create_group("run1")
            group.attrs["sampling_rate"] = FS
            for name, values in BOTH.items():
                group.create_dataset(name, data=values, chunks=True, compression="gzip").attrs["unit"] = "g"
            file["elsewhere"] = h5py.SoftLink("/run1/x")

    yield Dialect("HDF5", "a.h5", make, BOTH, FS, unit="g")

    def matrix(path: Path) -> None:
        import h5py

        with h5py.File(path, "w") as file:
            file["vibration"] = np.stack([X, Y], 1)
            file["time"] = T
            file.attrs["start"] = "2024-03-01T08:00:00Z"

    yield Dialect("HDF5, a matrix and a time axis", "a.hdf5", matrix, {"vibration/1": X, "vibration/2": Y}, FS, START)


def parquet() -> Iterator[Dialect]:
    """Parquet."""

    def write(table: Callable[[], Any]) -> Callable[[Path], object]:
        def make(path: Path) -> None:
            from pyarrow import parquet as pq

            pq.write_table(table(), path)

        return make

    def down() -> Any:
        import pyarrow as pa

        stamps = START + (T * 1e9).round().astype("timedelta64[ns]")
        return pa.table({"timestamp": pa.array(stamps, pa.timestamp("ns", "UTC")), "x [g]": X, "y [g]": Y})

    yield Dialect("Parquet, samples down the rows", "a.parquet", write(down), BOTH, FS, START, unit="g")
    given = {"sensor_id": ["s"], "data_time": [START.astype(np.int64) // 10**6], "fs": [FS]}
    told = {"time": START, "sensor": "s", "notes": ("ms since 1970",)}

    def nested() -> Any:
        import pyarrow as pa

        return pa.table({**given, "signal_value": [[X.tolist(), Y.tolist()]]})

    yield Dialect("Parquet, channels in a list", "a.parquet", write(nested), {"": [X, Y]}, FS, **told)

    def axes() -> Any:
        import pyarrow as pa

        return pa.table({**given, "x": [X.tolist()], "y": [Y.tolist()]})

    yield Dialect("Parquet, axes as columns", "a.parquet", write(axes), {"": [X, Y]}, FS, **told)


def documents() -> Iterator[Dialect]:
    """JSON, JSON lines and tables of records."""
    head = {"sensor_id": "s", "data_time": "2024-03-01T08:00:00Z", "fs": FS}
    told = {"fs": FS, "time": START, "sensor": "s"}
    lists = {name: values.tolist() for name, values in (("x", X), ("y", Y), ("z", Z))}
    three = {"": [X, Y, Z]}
    for name, signal in (
        ("a list of lists", {"signal_value": list(lists.values())}),
        ("an object of lists", {"signal_value": lists}),
        ("keys x, y, z", lists),
    ):
        content = text(json.dumps({**head, **signal}) + "\n")
        yield Dialect(f"JSON lines, {name}", "a.jsonl", content, three, **told)
        yield Dialect(f"JSON, {name}", "a.json", content, three, **told)
    axis = text(json.dumps({**head, **lists}) + "\n")
    yield Dialect("JSON lines, one axis", "a.jsonl", axis, {"y": Y}, **told, settings={"channels": ("y",)})
    stamp = START.astype(np.int64)
    for unit, count in (("s", stamp / 10**9), ("ms", stamp // 10**6), ("us", stamp // 10**3), ("ns", stamp)):
        number = float(count) if unit == "s" else int(count)
        content = text(json.dumps({**head, "data_time": number, "signal_value": X.tolist()}) + "\n")
        yield Dialect(f"JSON lines, time in {unit}", "a.jsonl", content, {"": X}, **told, notes=(f"{unit} since 1970",))
    names = {"t": "2024-03-01T08:00:00Z", "acc": X.tolist(), "id": "s", "fs": FS}
    columns = {"columns": {"time": "t", "signal": "acc", "sensor": "id"}}
    yield Dialect("JSON lines, other names", "a.jsonl", text(json.dumps(names)), {"": X}, **told, settings=columns)
    alone = {"fs": FS, "unit": "g", "channels": {"x": X.tolist(), "y": Y.tolist()}}
    found = {"channels.x": X, "channels.y": Y}
    yield Dialect("JSON, a recording", "a.json", text(json.dumps(alone)), found, FS, unit="g")
    cell = ",".join(map(repr, map(float, X)))
    table = f'id;t;acc;fs\ns;1709280000;"{cell}";{FS}\n'
    yield Dialect(
        "a table of records, other names",
        "a.csv",
        text(table),
        {"": X},
        **told,
        notes=("s since 1970",),
        settings=columns,
    )
    chinese = f'sensor_id,data_time,signal_value,fs\n一号泵,2024-03-01T08:00:00Z,"{cell}",{FS}\n'
    gbk = {"encoding": "gbk"}
    pump = {**told, "sensor": "一号泵"}
    yield Dialect("a table of records in GBK", "a.csv", text(chinese, "gbk"), {"": X}, **pump, settings=gbk)
