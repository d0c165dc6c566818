"""A file that lies about itself is quarantined with a reason and takes no other file with it."""

from __future__ import annotations

import json
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest

from vibro.cli import run as vibro

from .made import save_pool, signals


def npy(shape: str, data: bytes, descr: str = "<f4") -> bytes:
    """A ``.npy`` file whose header says what it likes."""
    head = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}".encode()
    head += b" " * (-(len(head) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head + data


def check(capsys, folder: Path) -> dict:
    code = vibro(["data", "check", str(folder), "--json", "--quiet"])
    said = capsys.readouterr()
    assert code in (0, 4), said.err
    return json.loads(said.out)


SHAPES = [
    "(-1, 448)",
    "(80, -1)",
    "(True, 448)",
    "(4611686018427387904, 448)",
    "(80, 4611686018427387904)",
    "(0, 1 << 62)",
]
SHAPES += ["(4611686018427387904, 4, 4611686018427387904)", "(80, 449)", "(80.0, 448)", "('80', 448)", "{}", "(" * 900]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("column", ["signals", "sensor_id", "fs"])
def test_an_impossible_shape_loses_its_own_file_alone(tmp_path, capsys, shape, column):
    folder = tmp_path / "data"
    folder.mkdir()
    save_pool(folder / "good.npz")
    x = signals(80)
    arrays = {"signals": npy("(80, 448)", x.tobytes()), "fs": npy("()", struct.pack("<d", 4096.0), "<f8")}
    arrays[column] = npy(shape, x.tobytes() if column == "signals" else b"\0" * 320)
    with zipfile.ZipFile(folder / "bad.npz", "w") as archive:
        for name, content in arrays.items():
            archive.writestr(f"{name}.npy", content)
    found = check(capsys, folder)
    files = {row["source"]: row for row in found["files"]}
    assert files["good.npz"]["accepted"] == 80
    assert files["bad.npz"]["accepted"] == 0 and files["bad.npz"]["quarantined"] >= 1


def test_a_sound_archive_of_the_same_making_is_read(tmp_path, capsys):
    x = signals(80)
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("signals.npy", npy("(80, 448)", x.tobytes()))
        archive.writestr("fs.npy", npy("()", struct.pack("<d", 4096.0), "<f8"))
    assert np.array_equal(np.load(tmp_path / "x.npz")["signals"], x)
    assert check(capsys, tmp_path)["records"]["accepted"] == 80
