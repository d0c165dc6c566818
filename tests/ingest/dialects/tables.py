"""Recordings as tables of text: delimiters, decimals, headers, units, remarks, times and encodings."""

from __future__ import annotations

import gzip
from collections.abc import Iterator

import numpy as np

from .made import FS, START, Dialect, T, X, Y, Z, clock, raw, rows, text

TWO = {"1": X, "2": Y}
MILLI = np.arange(len(X)) * 0.5


def dialects() -> Iterator[Dialect]:
    """Every table of text."""
    yield from layouts()
    yield from headers()
    yield from remarks()
    yield from times()
    yield from encodings()


def layouts() -> Iterator[Dialect]:
    """Delimiters, decimal marks, ends of lines, forms of numbers."""
    plain = {"x": X, "y": Y, "z": Z}
    for name, mark in (("comma", ","), ("semicolon", ";"), ("tab", "\t"), ("bar", "|"), ("comma and blank", ", ")):
        head = mark.join(plain) + "\n"
        yield Dialect(f"{name}", "a.csv", text(head + rows(X, Y, Z, mark=mark)), plain)
    for name, mark in (("semicolon", ";"), ("tab", "\t"), ("blanks", "   ")):
        content = mark.join(plain) + "\n" + rows(X, Y, Z, mark=mark, decimal=",")
        yield Dialect(f"{name}, decimal comma", "a.txt", text(content), plain, notes=("decimal comma",))
    padded = "".join(f"{a:12.5f}{b:12.5f}\n" for a, b in zip(X, Y, strict=True))
    yield Dialect("columns of fixed width", "a.asc", text(padded), TWO)
    quoted = '"x","y"\n' + "".join(f'"{a!r}","{b!r}"\n' for a, b in zip(map(float, X), map(float, Y), strict=True))
    yield Dialect("every cell quoted", "a.csv", text(quoted), {"x": X, "y": Y})
    comma = quoted.replace(".", ",")
    yield Dialect("quoted decimal commas", "a.csv", text(comma), {"x": X, "y": Y}, notes=("decimal comma",))
    yield Dialect(
        "one column of decimal commas", "a.txt", text(rows(X, decimal=",")), {"": X}, notes=("decimal comma",)
    )
    yield Dialect("one column", "a.dat", text(rows(X)), {"": X})
    yield Dialect("one column with a name", "a.txt", text("acc\n" + rows(X)), {"acc": X})
    yield Dialect("CRLF", "a.csv", text("x,y\r\n" + rows(X, Y, end="\r\n")), {"x": X, "y": Y})
    yield Dialect("no end of line at the end", "a.csv", text("x,y\n" + rows(X, Y).strip()), {"x": X, "y": Y})
    yield Dialect("blank lines", "a.csv", text("\n\nx,y\n\n" + rows(X, Y).replace("\n", "\n\n")), {"x": X, "y": Y})
    tailed = "x;y;\n" + rows(X, Y, [""] * len(X), mark=";")
    yield Dialect("a delimiter at the end of each row", "a.csv", text(tailed), {"x": X, "y": Y})
    exponents = rows(X, Y, form="{:+.8E}")
    wanted = {"1": [float(f"{v:+.8E}") for v in X], "2": [float(f"{v:+.8E}") for v in Y]}
    yield Dialect(
        "empty columns at the end", "a.csv", text("x,y,,\n" + rows(X, Y).replace("\n", ",,\n")), {"x": X, "y": Y}
    )
    twice = {"acc_1": X, "acc_2": Y}
    yield Dialect("two columns of one name", "a.csv", text("acc,acc\n" + rows(X, Y)), twice, notes=("were numbered",))
    time = [k / FS for k in range(len(X))]
    each = text("Time,acc,Time,acc\n" + rows(time, X, time, Y))
    yield Dialect("a time column for each channel", "a.csv", each, twice, fs=FS, notes=("Time holds times too",))
    mixed = "".join(line + ("\r\n" if i % 3 else "\n") for i, line in enumerate(["x,y", *rows(X, Y).splitlines()]))
    yield Dialect("ends of lines of two kinds", "a.csv", text(mixed), {"x": X, "y": Y})
    yield Dialect("exponents and plus signs", "a.txt", text(exponents), wanted)
    bare = [f"{v:.3f}".replace("0.", ".", 1) if abs(v) < 1 else f"{v:.0f}." for v in X]
    yield Dialect("no digit beside the point", "a.txt", text(rows(bare, Y)), {"1": [float(v) for v in bare], "2": Y})
    counts = np.round(X * 1000).astype(int)
    yield Dialect("integers", "a.csv", text("raw\n" + "".join(f"{v}\n" for v in counts)), {"raw": counts})
    yield Dialect("packed", "a.csv.gz", raw(gzip.compress(("x,y\n" + rows(X, Y)).encode())), {"x": X, "y": Y})
    yield Dialect(
        "IMS: no ending, tabs", "2004.02.12.10.02.39", text(rows(X, Y, Z, mark="\t")), {"1": X, "2": Y, "3": Z}
    )
    yield Dialect("no ending at all", "measurement", text("x y\n" + rows(X, Y, mark=" ")), {"x": X, "y": Y})
    yield Dialect("a sheet that is text", "a.xls", text("x\ty\n" + rows(X, Y, mark="\t")), {"x": X, "y": Y})


def headers() -> Iterator[Dialect]:
    """Headers, units, columns that count."""
    names = "Horizontal_vibration_signals,Vertical_vibration_signals\n"
    found = {"Horizontal_vibration_signals": X, "Vertical_vibration_signals": Y}
    yield Dialect("XJTU-SY", "1.csv", text(names + rows(X, Y)), found)
    yield Dialect("units in brackets", "a.csv", text("x (m/s2),y [m/s2]\n" + rows(X, Y)), {"x": X, "y": Y}, unit="m/s2")
    yield Dialect(
        "row of units", "a.csv", text("x;y\nmm/s;mm/s\n" + rows(X, Y, mark=";")), {"x": X, "y": Y}, unit="mm/s"
    )
    bracketed = "t\tx\ty\n[s]\t[g]\t[g]\n" + rows(T, X, Y, mark="\t")
    yield Dialect("row of units in brackets", "a.txt", text(bracketed), {"x": X, "y": Y}, FS, unit="g")
    unnamed = "Channel (left),Channel (right)\n" + rows(X, Y)
    yield Dialect("brackets that hold no unit", "a.csv", text(unnamed), {"Channel (left)": X, "Channel (right)": Y})
    numbered = ",0,1\n" + rows([str(i) for i in range(len(X))], X, Y)
    yield Dialect("pandas with its index", "a.csv", text(numbered), {"0": X, "1": Y}, notes=("counts the columns",))
    counted = "0,1\n" + rows(X, Y)
    yield Dialect("pandas without names", "a.csv", text(counted), {"0": X, "1": Y}, notes=("counts the columns",))
    samples = "Sample,x\n" + rows([str(i + 1) for i in range(len(X))], X)
    yield Dialect("a column that counts", "a.csv", text(samples), {"x": X})
    speed = "x,RPM\n" + rows(X, np.full(len(X), 1797.0))
    yield Dialect("a column of speed", "a.csv", text(speed), {"x": X}, covariates={"speed": 1797.0}, notes=("speed",))
    marked = "datetime;x;y;anomaly\n" + rows(clock("{day} {time}"), X, Y, ["0"] * len(X), mark=";")
    said = ("anomaly was left out", "--labels", "no zone")
    yield Dialect("SKAB: labels beside the samples", "0.csv", text(marked), {"x": X, "y": Y}, FS, START, notes=said)
    some = {"channels": ("acc_*",)}
    picked = "time,acc_x,acc_y,temp\n" + rows(T, X, Y, Z)
    yield Dialect("channels by a pattern", "a.csv", text(picked), {"acc_x": X, "acc_y": Y}, FS, settings=some)
    yield Dialect("a channel by its number", "a.txt", text(rows(X, Y)), {"2": Y}, settings={"channels": ("2",)})


def remarks() -> Iterator[Dialect]:
    """What stands above the samples."""
    body = "x,y\n" + rows(X, Y)
    both = {"x": X, "y": Y}
    for name, head in (
        ("hash", "# Sampling rate: 2000 Hz\n# logger v2\n"),
        ("percent", "% fs = 2 kHz\n"),
        ("pairs", "Sample Rate,2000\nOperator,Li\n"),
        ("interval", "Sampling interval: 500 us\n"),
        ("Chinese", "采样频率: 2000 Hz\n"),
    ):
        yield Dialect(f"remarks: {name}", "a.csv", text(head + body), both, FS)
    head = "Sensor: PUMP-1\nMachine: M1\nUnit: mm/s\nStart: 2024-03-01T08:00:00Z\nfs: 2000\n\n"
    named = {"acc": X}
    yield Dialect(
        "remarks: sensor, unit, start", "a.txt", text(head + "acc\n" + rows(X)), named, FS, START, "PUMP-1", "mm/s"
    )
    dated = "Date:\t01.03.2024\nTime:\t08:00:00\n" + rows(X, Y, mark="\t")
    yield Dialect("remarks: date and time", "a.asc", text(dated), TWO, time=START, notes=("no zone",))
    yield Dialect("a header behind a hash", "a.txt", text("# x y\n" + rows(X, Y, mark=" ")), both)
    long = "".join(f"# remark {i} of a long preface\n" for i in range(300))
    yield Dialect("remarks: hundreds of lines", "a.csv", text(long + body), both)


def times() -> Iterator[Dialect]:
    """Columns of times."""
    x, both = {"x": X}, {"x": X, "y": Y}
    yield Dialect("seconds", "a.csv", text("time,x,y\n" + rows(T, X, Y)), both, FS)
    yield Dialect("seconds from elsewhere", "a.csv", text("Time (s),x\n" + rows(T + 12.5, X)), x, FS)
    yield Dialect("milliseconds", "a.csv", text("time [ms],x\n" + rows(MILLI, X)), x, FS)
    yield Dialect("milliseconds by name", "a.csv", text("t_ms;x\n" + rows(MILLI, X, mark=";")), x, FS)
    yield Dialect("seconds to a few digits", "a.csv", text("time,x\n" + rows([f"{t:.4f}" for t in T], X)), x, FS)
    third = np.arange(len(X)) / 3000
    rounded = "time,x\n" + rows([f"{t:.6f}" for t in third], X)
    yield Dialect("a step that is no decimal", "a.csv", text(rounded), x, 3000.0)
    yield Dialect("seconds without header", "a.txt", text(rows(T, X, mark="\t")), {"": X}, FS, notes=("evenly",))
    iso = clock("{day}T{time}Z")
    yield Dialect("ISO", "a.csv", text("timestamp,x\n" + rows(iso, X)), x, FS, START)
    blank = clock("{day} {time}")
    yield Dialect("ISO without zone", "a.csv", text("timestamp,x\n" + rows(blank, X)), x, FS, START, notes=("no zone",))
    zoned = clock("{day}T{time}+01:00")
    earlier = START - np.timedelta64(1, "h")
    yield Dialect("ISO with a shift", "a.csv", text("timestamp,x\n" + rows(zoned, X)), x, FS, earlier)
    german = [f"01.03.2024 {s[11:].replace('.', ',')}" for s in clock("{day} {time}")]
    table = "Zeit;x\n" + rows(german, X, mark=";", decimal=",")
    yield Dialect("German dates", "a.csv", text(table), x, FS, START, notes=("decimal comma", "no zone"))
    slashes = [s.replace("-", "/") for s in blank]
    yield Dialect(
        "dates with slashes, year first", "a.csv", text("time,x\n" + rows(slashes, X)), x, FS, START, notes=("no zone",)
    )
    split = "Date,Time,x\n" + rows(clock("{day}"), clock("{time}"), X)
    yield Dialect("date and time apart", "a.csv", text(split), x, FS, START, notes=("no zone",))
    clocks = "Time,x\n" + rows(clock("{time}"), X)
    yield Dialect("times of day", "a.csv", text(clocks), x, FS, notes=("without a day",))
    for unit, scale in (("s", 1), ("ms", 1e3), ("us", 1e6)):
        since = [f"{(START.astype(np.int64) / 1e9 + t) * scale:.{max(0, 6 - len(str(int(scale))) + 1)}f}" for t in T]
        epoch = "timestamp,x\n" + rows(since, X)
        yield Dialect(f"since 1970 in {unit}", "a.csv", text(epoch), x, FS, START, notes=(f"counts {unit} since 1970",))
    micro = [f"{v:.5g}" for v in np.arange(len(X)) * 1e6 / 25600]
    hours = rows(["9"] * len(X), ["39"] * len(X), ["39"] * len(X), micro, X, Y)
    found = {"5": X, "6": Y}
    yield Dialect("PRONOSTIA", "acc_00001.csv", text(hours), found, 25600.0, notes=("hour, minute, second",))
    coarse = "time,x\n" + rows([f"{t:.3f}" for t in T], X)
    yield Dialect("a clock of milliseconds", "a.csv", text(coarse), x, FS)


def encodings() -> Iterator[Dialect]:
    """Texts of other encodings."""
    chinese = "时间(s);水平加速度;垂直加速度\n" + rows(T, X, Y, mark=";", decimal=",")
    found = {"水平加速度": X, "垂直加速度": Y}
    yield Dialect("UTF-8, Chinese", "a.csv", text(chinese), found, FS, notes=("decimal comma",))
    yield Dialect("byte-order mark", "a.csv", text("\ufeff" + chinese), found, FS, notes=("byte-order mark",))
    yield Dialect("Excel in GBK", "a.csv", text(chinese, "gbk"), found, FS, notes=("GBK", "--encoding"))
    yield Dialect("UTF-16", "a.txt", text(chinese, "utf-16"), found, FS, notes=("UTF-16",))
    wide = text("time\tx\n" + rows(T, X, mark="\t"), "utf-16-le")
    yield Dialect("UTF-16 without mark", "a.txt", wide, {"x": X}, FS, notes=("without a byte-order mark",))
    said = {"encoding": "gb18030"}
    yield Dialect(
        "GB 18030, said", "a.csv", text(chinese, "gb18030"), found, FS, notes=("decimal comma",), settings=said
    )
    for name, head, channel, unit in (
        ("degrees", "Zeit [s];Höhe [µm]", "Höhe", "µm"),
        ("squares", "t [s];a [m/s²]", "a", "m/s²"),
    ):
        content = f"{head}\n" + rows(T, X, mark=";", decimal=",")
        yield Dialect(
            f"Latin-1, {name}", "a.txt", text(content, "latin-1"), {channel: X}, FS, unit=unit, notes=("Latin-1",)
        )
    cyrillic = "Время;Ускорение\n" + rows(T, X, mark=";", decimal=",")
    told = {"encoding": "cp1251"}
    yield Dialect(
        "Windows-1251, said", "a.csv", text(cyrillic, "cp1251"), {"Ускорение": X}, FS, notes=("decimal",), settings=told
    )
    angle = "angle,x\n" + rows(np.arange(len(X)) * 0.5, X)
    yield Dialect("an axis of something else", "a.csv", text(angle), {"x": X}, notes=("angle rises evenly", "--fs"))
