"""Small copies of files that were refused or misread once, as a user types them: cases 04, 05, 07, 09 and 11."""

from __future__ import annotations

import json
import struct

import numpy as np
import pytest
from scipy.io import savemat

from vibro import cli

RNG = np.random.default_rng(0)


@pytest.fixture
def check(capsys):
    def run(*argv):
        code = cli.run(["data", "check", "--json", *map(str, argv)])
        out, _ = capsys.readouterr()
        return code, json.loads(out)

    return run


def test_lvm_with_decimal_commas_case_04(check, tmp_path):
    head = "LabVIEW Measurement\t\nSeparator\tTab\nDecimal_Separator\t,\nX_Columns\tOne\n***End_of_Header***\t\n\t\n"
    head += "Channels\t2\t\nY_Unit_Label\tg\tg\nDelta_X\t0,000244140625\t0,000244140625\n***End_of_Header***\t\t\n"
    rows = "".join(f"{i / 4096:.6f}\t{a:.5f}\t{b:.5f}\n" for i, (a, b) in enumerate(RNG.normal(size=(256, 2))))
    (tmp_path / "run_000.lvm").write_text(head + "X_Value\tAcc_H\tAcc_V\tComment\n" + rows.replace(".", ","))
    code, found = check(tmp_path)
    assert code == 0 and found["signal"]["fs"] == 4096 and found["signal"]["unit"] == "g"
    assert [sensor["sensor_id"] for sensor in found["sensors"]] == ["Acc_H", "Acc_V"]


def test_variables_named_after_the_file_case_05(check, tmp_path):
    for number, length in ((97, 3011), (109, 2990), (122, 3000)):
        ends = {f"X{number:03d}_{end}_time": RNG.normal(size=(length, 1)) for end in ("DE", "FE")}
        savemat(tmp_path / f"{number}_0.mat", {**ends, f"X{number:03d}RPM": 1796.0})
    code, found = check(tmp_path, "--fs", 48000)
    assert code == 4 and any("--window" in warning for warning in found["warnings"])
    code, found = check(tmp_path, "--fs", 48000, "--channels", "*_DE_time", "--window", 1000)
    assert code == 0 and [sensor["sensor_id"] for sensor in found["sensors"]] == ["DE_time"]
    assert found["records"]["accepted"] == 8 and found["covariates"]["speed"] == 8


def test_times_since_1970_case_07(check, tmp_path):
    for name, first, step in (("ms", 1767225600000, 1000), ("s", 1767225600.25, 1.0)):
        lines = [
            json.dumps({"sensor_id": name, "data_time": first + i * step, "signal_value": RNG.normal(size=64).tolist()})
            for i in range(8)
        ]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(lines))
    code, found = check(tmp_path, "--fs", 1000)
    assert code == 0 and found["records"]["accepted"] == 16 and found["time"]["without"] == 0
    assert found["time"]["first"] == "2026-01-01T00:00:00Z"
    assert sum("since 1970" in warning for warning in found["warnings"]) == 2


def test_sounds_of_unknown_length_case_09(check, tmp_path):
    data = (RNG.normal(size=1024) * 3000).astype("<i2").tobytes()
    for name, size in (("piped", 0xFFFFFFFF), ("cut off", 0)):
        form = struct.pack("<HHIIHH", 1, 1, 4096, 8192, 2, 16)
        head = b"WAVEfmt " + struct.pack("<I", 16) + form + b"data" + struct.pack("<I", size)
        (tmp_path / f"{name}.wav").write_bytes(b"RIFF" + struct.pack("<I", 0xFFFFFFFF) + head + data[: 2046 + 2])
        data = data[::-1]
    code, found = check(tmp_path)
    assert code == 0 and found["records"]["accepted"] == 2 and found["signal"]["length"] == 1024
    assert any("the header does not know the length" in warning for warning in found["warnings"])


@pytest.mark.parametrize("form", ["lists", "keys"])
def test_three_axes_in_one_record_case_11(check, tmp_path, form):
    lines = []
    for i in range(6):
        axes = dict(zip("xyz", RNG.normal(size=(3, 64)).tolist(), strict=True))
        signal = axes if form == "keys" else {"signal_value": list(axes.values())}
        lines.append(json.dumps({"sensor_id": "pump-1", "data_time": f"2026-01-01T00:0{i}:00Z", "fs": 4096, **signal}))
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    code, found = check(tmp_path)
    assert code == 0 and found["signal"]["channels"] == 3 and found["records"]["accepted"] == 6
