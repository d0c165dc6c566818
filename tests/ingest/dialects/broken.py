"""Files that cannot be read, by what is wrong with them; each refusal says the place and what to do about it."""

from __future__ import annotations

import gzip
import json
import struct
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from .formats import PCM, lvm, segment, wave
from .made import FS, Broken, T, X, Y, clock, raw, rows, text

HEAD = "x,y\n"
BODY = rows(X, Y)


def files() -> Iterator[Broken]:
    """Every broken file."""
    yield from tables()
    yield from times()
    yield from texts()
    yield from others()


def changed(line: int, new: str, head: str = HEAD, body: str = BODY) -> Callable[[Path], object]:
    """A table with one line, from 1, written over."""
    lines = (head + body).split("\n")
    lines[line - 1] = new
    return text("\n".join(lines))


def tables() -> Iterator[Broken]:
    """Tables of text and sheets."""
    yield Broken("a row too short", "a.csv", changed(40, "1.5"), "Q004", ("line 40", "1 cells", "2"))
    yield Broken("a row too long", "a.csv", changed(40, "1.5,2,3"), "Q004", ("line 40", "3 cells"))
    empty = changed(40, "1.5,2,,3", "x,y,,\n", BODY.replace("\n", ",,\n"))
    yield Broken("a cell behind the last column", "a.csv", empty, "Q004", ("line 40", "'3' behind the last column"))
    yield Broken("the header again", "a.csv", changed(40, "x,y"), "Q006", ("line 40, column x", "'x' is no number"))
    some = "".join(line + ("," if i % 2 else "") + "\n" for i, line in enumerate(BODY.splitlines()))
    yield Broken(
        "delimiters behind some rows", "a.csv", text(HEAD + some), "Q005", ("line 3 has 3 cells", "line 2 has 2")
    )
    spaced = "acc\n" + "".join(f"1 {200 + i}.5\n" for i in range(64))
    yield Broken("blanks between thousands", "a.csv", text(spaced), "Q006", ("thousands separators",))
    for what, cell, words in (
        ("apostrophes between thousands", "1'{:03d}.5", "thousands separators"),
        ("exponents with D", "1.{:03d}D+01", "write E"),
        ("minus signs of print", "−1.{:03d}", "write -"),
        ("hexadecimal numbers", "0x{:04x}", "hexadecimal"),
        ("units in the cells", "1.{:03d} g", "in the header"),
    ):
        body = "".join(cell.format(i) + "\n" for i in range(64))
        yield Broken(what, "a.csv", text("acc\n" + body), "Q005", (words,))
    later = [k / FS for k in range(len(X))], [k / FS + 0.5 for k in range(len(X))]
    apart = text("Time,a,Time,b\n" + rows(later[0], X, later[1], Y))
    yield Broken("two clocks", "a.csv", apart, "Q010", ("columns 1 and 3", "different times", "a file of its own"))
    noon = "".join(f"03/01/2024 02:00:00.{i:03d} PM,{i}\n" for i in range(64))
    yield Broken("AM and PM", "a.csv", text("time,acc\n" + noon), "Q005", ("24 hours",))
    yield Broken(
        "carriage returns alone", "a.csv", text((HEAD + BODY).replace("\n", "\r")), "Q005", ("carriage return",)
    )
    yield Broken("a row cut off", "a.csv", text((HEAD + BODY)[: (HEAD + BODY).rindex(",")]), "Q004", ("line 65",))
    yield Broken("a word", "a.csv", changed(40, "1.5,high"), "Q006", ("line 40", "column y", "'high'"))
    yield Broken("digits with marks", "a.csv", changed(40, "1_000,2"), "Q006", ("line 40", "column x", "1_000"))
    yield Broken("digits of another script", "a.csv", changed(40, "１.5,2"), "Q006", ("line 40", "column x"))
    thousands = changed(40, "1.234,5;2,5", "x;y\n", rows(X, Y, mark=";", decimal=","))
    yield Broken("thousands in one row", "a.csv", thousands, "Q006", ("line 40", "thousands separators"))
    all_rows = text("x;y\n" + "1.234,5;2.000,5\n" * 9)
    yield Broken("thousands in all rows", "a.csv", all_rows, "Q005", ("thousands separators", "without"))
    mixed = text("x;y\n" + rows(X, [f"{v:.3f}".replace(".", ",") for v in Y], mark=";"))
    yield Broken("two decimal marks", "a.csv", mixed, "Q006", ("decimal point", "decimal comma"))
    later = changed(60, "0.5;1.5", "x;y\n", rows(X, Y, mark=";", decimal=","))
    yield Broken("a decimal point below", "a.csv", later, "Q006", ("line 60", "'0.5'"))
    missing = changed(40, "1.5,NaN")
    yield Broken("one NaN", "a.csv", missing, "Q007", ("sample 38 of y", "line 40"), good=1)
    yield Broken("one empty cell", "a.csv", changed(40, ",1.5"), "Q007", ("sample 38 of x", "line 40"), good=1)
    yield Broken("an infinity", "a.csv", changed(40, "-inf,1"), "Q007", ("sample 38 of x", "-inf", "line 40"), good=1)
    yield Broken("beyond float32", "a.csv", changed(40, "1e300,1"), "Q007", ("sample 38 of x", "1e+300"), good=1)
    foot = text(HEAD + BODY + "end of data\n")
    yield Broken("words at the end", "a.csv", foot, "Q004", ("line 66",))
    wide = text((",".join(map(repr, map(float, [*X, *Y]))) + "\n") * 5)
    yield Broken(
        "samples along the lines", "a.csv", wide, "Q004", ("128 columns", "64 channels", "sensor_id,data_time,v0")
    )
    none = {"channels": ("acc_*",)}
    yield Broken("no channel fits", "a.csv", text(HEAD + BODY), "Q005", ("--channels 'acc_*'", "x, y"), none)
    yield Broken("no samples but times", "a.csv", text("time\n" + rows(T)), "Q005", ("no column of samples",))
    other = text(f"fs: 4000 Hz\ntime,x\n{rows(T, X)}")
    yield Broken("two sampling rates", "a.csv", other, "Q013", ("4000 Hz", "2000 Hz", "mended"))

    def book(path: Path) -> None:
        from openpyxl import Workbook

        made = Workbook()
        for line in [["x"], *[[float(v)] for v in X[:30]], ["high"], *[[float(v)] for v in X[30:]]]:
            made.active.append(line)
        made.save(path)

    yield Broken("a word in a sheet", "a.xlsx", book, "Q006", ("row 32", "column x", "'high'"))

    def no_table(path: Path) -> None:
        from openpyxl import Workbook

        made = Workbook()
        made.active.append(["a", "text"])
        made.save(path)

    yield Broken("a sheet of words", "a.xlsx", no_table, "Q005", ("two or more rows of numbers", "Sheet"))

    def other_zip(path: Path) -> None:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("a.txt", "x")

    yield Broken("a zip that is no workbook", "a.xlsx", other_zip, "Q001", ("cannot read",))


def times() -> Iterator[Broken]:
    """Columns of times."""
    iso = clock("{day} {time}")
    bad = [*iso[:30], "yesterday at noon", *iso[31:]]
    yield Broken("a word for a time", "a.csv", text("time,x\n" + rows(bad, X)), "Q010", ("row 30", "'yesterday"))
    uneven = np.cumsum(np.random.default_rng(0).exponential(1e-3, len(X)))
    yield Broken("uneven times", "a.csv", text("time,x\n" + rows(uneven, X)), "Q010", ("time", "evenly"))
    still = text("time,x\n" + rows(np.full(len(X), 5.0), X))
    yield Broken("a clock that stands", "a.csv", still, "Q010", ("time", "every row"))
    hole = [*[repr(float(t)) for t in T[:30]], "", *[repr(float(t)) for t in T[31:]]]
    yield Broken("a time missing", "a.csv", text("time,x\n" + rows(hole, X)), "Q010", ("row 30", "time"))


def texts() -> Iterator[Broken]:
    """Texts of no or of another encoding, and archives."""
    content = HEAD + BODY
    wrong = {"encoding": "utf-16"}
    yield Broken("another encoding than said", "a.csv", text(content + "x"), "Q001", ("utf-16", "--encoding"), wrong)
    unknown = {"encoding": "klingon"}
    yield Broken("no such encoding", "a.csv", text(content), "Q001", ("klingon", "gb18030"), unknown)
    yield Broken("bytes for text", "a.dat", raw(struct.pack("<64h", *range(64))), "Q001", ("no text",))
    yield Broken("an archive cut off", "a.csv.gz", raw(gzip.compress(content.encode())[:-20]), "Q001", ("gzip",))
    yield Broken("no archive at all", "a.txt.gz", text(content), "Q001", ("gzip",))
    bomb = gzip.compress(b"x,y\n" + b"1,2\n" * (4 << 20))
    yield Broken("an archive that swells", "a.csv.gz", raw(bomb), "Q019", ("100 times",))
    yield Broken("a zip for a table", "a.csv", raw(b"PK\x03\x04" + content.encode()), "Q019", ("unpack it first",))


def others() -> Iterator[Broken]:
    """The formats of the trade."""
    whole = wave(PCM.tobytes())
    yield Broken("WAVE cut off", "a.wav", raw(whole[:-20]), "Q001", ("108 of 128 bytes", "again"))
    yield Broken(
        "WAVE of mu-law", "a.wav", raw(wave(PCM.tobytes(), bits=8, tag=7)), "Q001", ("format 7", "save it as PCM")
    )
    yield Broken("no WAVE at all", "a.wav", text(HEAD + BODY), "Q001", ("no WAVE file",))
    names = "X_Value\tx\ty\tComment"
    bad = rows(T, X, Y, mark="\t").splitlines()
    bad[9] = "0.0045\thigh\t1.5"
    block = segment(names, "\n".join(bad) + "\n")
    yield Broken("LVM with a word", "a.lvm", text(lvm(block)), "Q006", ("line 32", "column x", "'high'"))
    yield Broken("LVM of a header alone", "a.lvm", text(lvm()), "Q005", ("no segment",))
    yield Broken("no LVM at all", "a.lvm", text(HEAD + BODY), "Q001", ("LabVIEW Measurement",))
    for ending, what in (
        (".tdms", "nptdms"),
        (".uff", "time history"),
        (".flac", "soundfile"),
        (".h5", "no HDF5 file"),
    ):
        code = "Q005" if ending == ".uff" else "Q001"
        yield Broken(f"no {ending[1:]} at all", f"a{ending}", text(HEAD + BODY), code, (what,))
    yield Broken("no MATLAB at all", "a.mat", text(HEAD + BODY), "Q001", ("no MATLAB file",))

    def outside(path: Path) -> None:
        import h5py

        other = path.with_name("secret.bin")
        other.write_bytes(X.tobytes())
        with h5py.File(path, "w") as file:
            file.create_dataset("x", (len(X),), "f8", external=[(other.name, 0, h5py.h5f.UNLIMITED)])

    yield Broken("HDF5 that points outside", "a.h5", outside, "Q019", ("x keeps its samples in another file",))

    def mat(**variables: Any) -> Callable[[Path], object]:
        def make(path: Path) -> None:
            from scipy.io import savemat

            savemat(path, variables)

        return make

    yield Broken(
        "MATLAB of settings alone", "a.mat", mat(fs=FS, name="rig"), "Q005", ("no array of samples", "fs, name")
    )
    none = {"channels": ("*_DE_time",)}
    yield Broken("MATLAB without the channel", "a.mat", mat(acc=X), "Q005", ("*_DE_time", "acc"), none)
    hole = np.where(np.arange(len(X)) == 5, np.nan, X)
    yield Broken("MATLAB with a NaN", "a.mat", mat(acc=hole), "Q007", ("sample 5 of acc", "/acc/5"))
    head = {"sensor_id": "s", "data_time": "2024-03-01T08:00:00Z"}
    uneven = json.dumps({**head, "x": X.tolist(), "y": Y.tolist()[:-1]})
    yield Broken("axes of two lengths", "a.jsonl", text(uneven), "Q008", ("x 64", "y 63"))
    axis = json.dumps({**head, "x": X.tolist(), "y": [*Y.tolist()[:-1], "1"]})
    yield Broken("a text in an axis", "a.jsonl", text(axis), "Q006", ("channel y", "/y/63"))
    early = json.dumps({**head, "data_time": 1234, "signal_value": X.tolist()})
    yield Broken("a time too small", "a.jsonl", text(early), "Q010", ("1234", "since 1970"))
