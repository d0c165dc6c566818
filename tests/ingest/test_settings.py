"""``vibro.toml`` beside the data: read by every command, written by ``data describe``, and harmless."""

from __future__ import annotations

import json

import numpy as np
import pytest

from vibro import cli
from vibro.errors import ConfigError
from vibro.ingest.options import IngestOptions
from vibro.ingest.settings import KEYS, read_settings, with_settings

RNG = np.random.default_rng(0)


@pytest.fixture
def vibro(capsys):
    def run(*argv):
        code = cli.run([*map(str, argv)])
        out, err = capsys.readouterr()
        return code, out, err

    return run


@pytest.fixture
def folder(tmp_path):
    """Two channels in a folder a state, recordings of uneven length."""
    for state, count in (("normal", 900), ("inner", 1000)):
        (tmp_path / "in" / state).mkdir(parents=True)
        rows = "".join(f"{a:.4f},{b:.4f}\n" for a, b in RNG.normal(size=(count, 2)))
        (tmp_path / "in" / state / "1.csv").write_text("acc_x,temp\n" + rows)
    return tmp_path / "in"


def write(path, text):
    path.write_text(text, encoding="utf-8")
    return path


def test_every_key_is_read_as_the_option_has_it(tmp_path):
    text = """
    [read]
    fs = 25600
    resample = 12800.5
    length = 4096
    unit = "g"
    encoding = "gb18030"
    sensor_from = "{sensor}/*.csv"
    machine_from = "{machine}/*"
    time_from = "none"
    tz = "Asia/Shanghai"
    window = "1s"
    hop = 2048
    channels = ["acc_*"]
    states = ["内圈"]
    columns = {time = "t"}
    repair = "interpolate:8"
    """
    found = read_settings(write(tmp_path / "vibro.toml", text))
    assert set(found) == set(KEYS)
    assert found["fs"] == 25600.0 and type(found["fs"]) is float and found["hop"] == "2048"
    assert found["channels"] == ("acc_*",) and found["repair"] == 8 and found["columns"] == {"time": "t"}
    options, told = with_settings([tmp_path], IngestOptions(fs=100.0))
    assert options.fs == 100.0 and options.unit == "g" and str(tmp_path / "vibro.toml") in told
    assert "fs" not in told.rpartition(":")[2] and "unit" in told


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[plugins.x]\nmodule = 'evil'", "plugins"),
        ("command = 'rm -rf /'", "command"),
        ("[read]\nlabels = '../../etc/passwd'", "no key 'labels'"),
        ("[read]\nsensor_from = '../{sensor}.csv'", "below the data"),
        ("[read]\nsensor_from = '/etc/{sensor}'", "below the data"),
        ("[read]\ntime_from = 'http://x/{time:%Y}'", "below the data"),
        ("[read]\nfs = 'fast'", "fs is 'fast'"),
        ("[read]\nfs = true", "fs is 'True'"),
        ("[read]\nchannels = 'acc'", "channels"),
        ("[read]\nwindow = 1.5", "window"),
        ("[read]\nrepair = 'guess'", "--repair"),
        ("[read]\nunit = 'bananas'", "bananas"),
        ("read = 5", "no table"),
        ("[read", "cannot be read"),
        ("\xff", "cannot be read"),
    ],
)
def test_a_file_beside_data_says_how_to_read_and_nothing_else(vibro, folder, text, words):
    (folder / "vibro.toml").write_bytes(text.encode("latin-1"))
    code, _, err = vibro("data", "check", folder)
    assert code == 2 and words in err and "hint: " in err and "Traceback" not in err


def test_a_link_or_a_heap_is_no_settings_file(tmp_path):
    write(tmp_path / "real.toml", "[read]\nfs = 5")
    (tmp_path / "vibro.toml").symlink_to(tmp_path / "real.toml")
    with pytest.raises(ConfigError, match="no plain file"):
        with_settings([tmp_path], IngestOptions())
    (tmp_path / "vibro.toml").unlink()
    write(tmp_path / "vibro.toml", "#" * (1 << 17))
    with pytest.raises(ConfigError, match="no plain file"):
        with_settings([tmp_path], IngestOptions())


def test_files_that_disagree_are_told(tmp_path):
    for name, fs in (("a", 100), ("b", 200)):
        (tmp_path / name).mkdir()
        write(tmp_path / name / "vibro.toml", f"[read]\nfs = {fs}")
    with pytest.raises(ConfigError, match="different things"):
        with_settings([tmp_path / "a", tmp_path / "b"], IngestOptions())
    assert with_settings([tmp_path / "a"], IngestOptions())[0].fs == 100


def test_described_data_are_read_by_every_command(vibro, folder, tmp_path):
    code, _, err = vibro("data", "check", folder)
    assert code == 4 and "--window 512" in err
    code, out, _ = vibro("data", "describe", folder, "--fs", 1000, "--channels", "acc_*")
    assert code == 0 and out.startswith("#") and "fs = 1000.0" in out and not (folder / "vibro.toml").exists()
    argv = ("--fs", 1000, "--channels", "acc_*", "-o", folder / "vibro.toml")
    assert vibro("data", "describe", folder, *argv)[0] == 0
    assert read_settings(folder / "vibro.toml") == {
        "fs": 1000.0,
        "channels": ("acc_*",),
        "window": "512",
        "states": ("inner", "normal"),
    }
    code, out, _ = vibro("data", "check", folder, "--json")
    found = json.loads(out)
    assert code == 0 and [s["sensor_id"] for s in found["sensors"]] == ["acc_x"]
    assert found["signal"]["length"] == 512 and found["signal"]["fs"] == 1000
    assert {"source": "vibro.toml", "reason": "settings of reading"} in found["ignored"]
    code, _, err = vibro("data", "convert", folder, "-o", tmp_path / "x.npz")
    assert code == 0
    with np.load(tmp_path / "x.npz", allow_pickle=False) as arrays:
        assert arrays["signals"].shape == (2, 512) and set(arrays["sensor_id"]) == {"acc_x"}
    code, out, err = vibro(
        "ensemble", "run", folder, "-o", tmp_path / "OUT", "--detectors", "mahalanobis", "--no-report"
    )
    assert json.loads((tmp_path / "OUT" / "manifest.json").read_text())["settings"]["reading"]["window"] == "512", err


def test_describe_writes_under_the_name_that_is_read(vibro, folder, tmp_path):
    code, _, err = vibro("data", "describe", folder, "-o", tmp_path / "other.toml")
    assert code == 2 and "vibro.toml" in err
    code, _, err = vibro("data", "describe", folder, "-o", tmp_path / "vibro.toml")
    assert code == 0 and str(folder / "vibro.toml") in err  # where it is read
    assert vibro("data", "describe", folder, "-o", tmp_path / "vibro.toml")[0] == 2  # there already
