"""docs/formats.md: its tables beside the data are read, its vibro.toml is one, its list of reasons is whole."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from vibro import cli
from vibro.ingest.accounting import REASONS
from vibro.ingest.settings import KEYS, read_settings
from vibro.ingest.units import UNITS

PAGE = (Path(__file__).parents[2] / "docs" / "formats.md").read_text(encoding="utf-8")
TABLES = dict(re.findall(r"^Table `([^`]+)`[^\n]*\n\n```csv\n(.*?)```", PAGE, re.MULTILINE | re.DOTALL))


def test_every_reason_is_listed_by_its_name():
    listed = dict(re.findall(r"^\| (Q\d{3}) \| (\w+) \|", PAGE, re.MULTILINE))
    assert listed == REASONS


def test_every_key_and_unit_is_listed():
    keys = PAGE.partition("Keys: ")[2].partition("A file that comes")[0]
    assert set(re.findall(r"`(\w+)`", keys)) == set(KEYS)
    assert all(f"`{unit}`" in PAGE for unit in UNITS)


def test_the_vibro_toml_of_the_page(tmp_path):
    (tmp_path / "vibro.toml").write_text(re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)[0], encoding="utf-8")
    assert read_settings(tmp_path / "vibro.toml")["window"] == "2048"


@pytest.fixture
def folder(tmp_path):
    for state in ("normal", "outer"):
        (tmp_path / "in" / state).mkdir(parents=True)
        rows = "".join(f"{a:.4f},{b:.4f}\n" for a, b in np.random.default_rng(len(state)).normal(size=(64, 2)))
        (tmp_path / "in" / state / "0.csv").write_text(f"x (g),y (g)\n{rows}")
    for name, text in TABLES.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path / "in"


def test_the_tables_of_the_page(folder, tmp_path, capsys):
    assert set(TABLES) == {"labels.csv", "sensors.csv", "covariates.csv"}
    options = [part for name in ("labels", "covariates") for part in (f"--{name}", str(tmp_path / f"{name}.csv"))]
    sensors = ["--sensors", str(tmp_path / "sensors.csv")]
    argv = ["data", "check", str(folder), "--fs", "100", "--map", "outer=1", "--json"]
    assert cli.run([*argv, *options, *sensors]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["labels"]["key"], found["labels"]["normal"], found["labels"]["anomalous"]) == ("source", 2, 2)
    assert found["covariates"] == {"load": 4, "oil_temp": 2}
    assert {s["sensor_id"]: s["machine_id"] for s in found["sensors"]} == {"x": "pump 1", "y": "pump 1"}
