"""Recordings as loggers, oscilloscopes and spreadsheets leave them."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path

import numpy as np

from .made import FS, START, Dialect, T, X, Y, clock, rows, text

K = np.arange(len(X)) * 1e-3
XY = {"x": X, "y": Y}


def dialects() -> Iterator[Dialect]:
    """Every file of a logger."""
    yield from times()
    yield from instruments()
    yield from archives()
    yield from sounds()


def times() -> Iterator[Dialect]:
    """Columns of times that look like something else."""
    x = {"x": X}
    thousandths = rows([f"{t:.6f}" for t in K], X, Y, mark="\t", decimal=",")
    comma = {"notes": ("decimal comma", "column 1 rises evenly")}
    yield Dialect(
        "LabVIEW: seconds that have no spare decimals",
        "a.txt",
        text(thousandths.replace(".", ",")),
        {"2": X, "3": Y},
        1000.0,
        **comma,
    )
    days = [f"{45292 + 1 / 3 + k / 86400:.10f}" for k in K]
    begun = np.datetime64("1899-12-30", "ns") + np.timedelta64(round(float(days[0]) * 86400e9), "ns")
    said = ("as Excel does", "no zone")
    yield Dialect("days of a spreadsheet", "a.csv", text("Time,x\n" + rows(days, X)), x, 1000.0, begun, notes=said)
    slow = [f"{45292 + k / 86400:.10f}" for k in range(len(X))]
    midnight = np.datetime64("2024-01-01", "ns")
    yield Dialect(
        "days of a spreadsheet, 1 Hz", "a.csv", text("Time,x\n" + rows(slow, X)), x, 1.0, midnight, notes=said
    )
    late = "Time (s),x\n" + rows([f"{36000 + t:.5f}" for t in T], X)
    yield Dialect("seconds of the day", "a.csv", text(late), x, FS)
    late = "Time,x\n" + rows([f"{36000 + t / 3.2:.7f}" for t in T], X)
    yield Dialect("seconds of the day, no unit", "a.csv", text(late), x, 6400.0)
    minutes = [f"{(3598 + t) // 60 % 60:02.0f}:{(3598 + t) % 60:04.1f}" for t in np.arange(len(X)) / 10]
    yield Dialect("minutes and seconds, past the hour", "a.csv", text("Time,x\n" + rows(minutes, X)), x, 10.0)
    colons = [f"10:00:00:{k:03d}" for k in range(len(X))]
    no_day = {"notes": ("without a day",)}
    yield Dialect("milliseconds behind a colon", "a.csv", text("Time,x\n" + rows(colons, X)), x, 1000.0, **no_day)
    slashes = [f"03/01/2024 {s}" for s in clock("{time}")]
    left = {"notes": ("03/01/2024 may name the day or the month first", "without a day")}
    yield Dialect("dates, day or month first", "a.csv", text("Timestamp,x\n" + rows(slashes, X)), x, FS, **left)
    yield Dialect(
        "microseconds",
        "a.csv",
        text("Time[us],x[g]\n" + rows([f"{i * 500}" for i in range(len(X))], X)),
        x,
        FS,
        unit="g",
    )


def instruments() -> Iterator[Dialect]:
    """Headers of instruments."""
    measured = (
        "LabVIEW Measurement\t\nSeparator\tTab\nDecimal_Separator\t.\nX_Columns\tOne\n***End_of_Header***\t\n\t\n"
    )
    block = (
        "Channels\t2\t\nY_Unit_Label\tg\tg\nDelta_X\t0.0005\t0.0005\n***End_of_Header***\t\t\nX_Value\tx\ty\tComment\n"
    )
    yield Dialect("LabVIEW, called .txt", "a.txt", text(measured + block + rows(T, X, Y, mark="\t")), XY, FS, unit="g")
    pairs = "Title1:\tPump 7\nDate:\t2024-03-01\nTime:\t08:00:00\nX-axis delta:\t0.0005\nY-axis unit:\tm/s²\nSignal name:\tDE\n\n"
    counted = rows([str(i + 1) for i in range(len(X))], [f"{t:.10e}" for t in T], X, mark="\t")
    told = {"unit": "m/s²", "notes": ("column 2 rises evenly", "no zone")}
    yield Dialect(
        "analyser: pairs above number, time, sample", "a.txt", text(pairs + counted), {"DE": X}, FS, START, **told
    )
    logger = "Data Logger;SN 12345\nFirmware;2.1\n\nTime;x;y\n[s];[g];[g]\n" + rows(T, X, Y, mark=";", decimal=",")
    yield Dialect("logger: semicolons and a row of units", "a.csv", text(logger), XY, FS, unit="g", notes=("decimal",))
    about = f"File name,Test_0001.dxd\nStart time,2024-03-01 08:00:00\nSample rate,{FS:.0f}\n\nData1\n"
    table = about + "Time (s),x (g),y (g)\n" + rows(T, X, Y)
    yield Dialect("recorder: a preface of pairs", "a.csv", text(table), XY, FS, START, unit="g", notes=("no zone",))
    yield Dialect(
        "oscilloscope: remarks beside the samples",
        "F0000CH1.CSV",
        text(oscilloscope()),
        {"CH1": X},
        FS,
        unit="V",
        notes=("column 4 rises evenly", "column 1 holds text"),
    )
    keysight = "x-axis,1,2\nsecond,Volt,Volt\n" + rows([f"{t - 0.016:+.8E}" for t in T], X, Y)
    yield Dialect(
        "oscilloscope: x-axis, second", "a.csv", text(keysight), {"2": X, "3": Y}, FS, unit="Volt", notes=("evenly",)
    )


def oscilloscope() -> str:
    """Samples with their times from the fourth column on; the first three hold remarks in the first rows alone."""
    remarks = ("Record Length,64", f"Sample Interval,{1 / FS}", "Source,CH1", "Vertical Units,V", "Model Number,T1")
    cells = [f"  {t:016.12f},{v:10.5f},\n" for t, v in zip(T - 0.016, X, strict=True)]
    return "".join(f"{remark or ','},,{cell}" for remark, cell in zip_longest(remarks, cells, fillvalue=""))


def archives() -> Iterator[Dialect]:
    """Named arrays."""

    def npz(path: Path) -> None:
        np.savez(path, x=X, y=Y, fs=FS, note="a test")

    yield Dialect("npz, arrays as channels", "a.npz", npz, XY, FS)
    yield Dialect("npz, one of the arrays", "a.npz", npz, {"y": Y}, FS, settings={"channels": ("y",)})

    def nested(path: Path) -> None:
        from scipy.io import savemat

        kinds = [("name", "O"), ("data", "O")]
        channels = np.array([("x", X), ("y", Y)], dtype=kinds)
        savemat(path, {"rec": {"meta": {"fs": FS, "operator": "Li"}, "channels": channels}})

    yield Dialect("mat, the rate in another branch", "a.mat", nested, XY, FS)


def sounds() -> Iterator[Dialect]:
    """WAVE files beyond 16 bits."""
    pcm = np.round(X / 8 * (1 << 23)).astype("<i4")
    for name, extensible in (("24 bits", False), ("24 bits, extensible", True)):
        three = pcm.view(np.uint8).reshape(-1, 4)[:, :3].tobytes()
        yield Dialect(
            f"WAV, {name}, a list before the format",
            "a.wav",
            wav(three, 1, 24, extensible=extensible),
            {"": pcm / float(1 << 23)},
            FS,
        )
    narrow = X.astype("<f4")
    yield Dialect("WAV, 64-bit lengths, floats", "a.wav", wav(narrow.tobytes(), 3, 32, large=True), {"": narrow}, FS)


def wav(data: bytes, tag: int, bits: int, *, extensible: bool = False, large: bool = False):
    """Writes a WAVE file of one channel."""
    width = bits // 8
    form = struct.pack("<HHIIHH", 0xFFFE if extensible else tag, 1, int(FS), int(FS) * width, width, bits)
    if extensible:
        form += struct.pack("<HHIH", 22, bits, 0, tag) + bytes.fromhex("000000001000800000aa00389b71")
    chunks = b"LIST" + struct.pack("<I", 4) + b"INFO" + b"fmt " + struct.pack("<I", len(form)) + form
    if large:
        sizes = struct.pack("<QQQI", 72 + len(data), len(data), len(data) // width, 0)
        chunks = b"ds64" + struct.pack("<I", len(sizes)) + sizes + chunks
    size = 0xFFFFFFFF if large else len(data)
    body = b"WAVE" + chunks + b"data" + struct.pack("<I", size) + data
    head = b"RF64" if large else b"RIFF"
    content = head + struct.pack("<I", 0xFFFFFFFF if large else len(body)) + body
    return lambda path: path.write_bytes(content)
