"""Units: what a text means, conversion with the factor told, and never a value under a wrong name (case 12)."""

from __future__ import annotations

import json

import numpy as np
import pytest

from vibro import cli
from vibro.api import Context
from vibro.data import record_id
from vibro.host.manager import PluginHost
from vibro.ingest import IngestOptions, NothingAccepted, ingest
from vibro.ingest.units import UNITS, factor, unit_named
from vibro.report.explain import explain
from vibro_plugins.readers.jsonl import JsonLines

X = np.random.default_rng(0).standard_normal((40, 32)).astype(np.float32)


@pytest.mark.parametrize(
    ("text", "unit"),
    [
        *(
            ("g", "g"),
            ("[g]", "g"),
            ("G", "g"),
            ("m/s2", "m/s2"),
            ("m/s²", "m/s2"),
            (" m/s^2 ", "m/s2"),
            ("(M/S2)", "m/s2"),
        ),
        *(
            ("m·s-2", "m/s2"),
            ("ips", "in/s"),
            ("µm", "um"),
            ("μm", "um"),
            ("Mils", "mil"),
            ("mV", "mV"),
            ("volts", "V"),
        ),
        *(("", "unknown"), ("-", "unknown"), ("n/a", "unknown"), ("bananas", None), ("counts", None), ("m", None)),
    ],
)
def test_what_a_text_means(text, unit):
    assert unit_named(text) == unit


@pytest.mark.parametrize(
    ("unit", "target", "times"),
    [
        ("g", "m/s2", 9.80665),  # ISO 80000-3
        ("m/s2", "g", 1 / 9.80665),
        ("mm/s2", "m/s2", 1e-3),
        ("in/s2", "g", 0.0254 / 9.80665),
        ("in/s", "mm/s", 25.4),  # an inch is 25.4 mm
        ("m/s", "mm/s", 1000),
        ("mil", "um", 25.4),
        ("mm", "um", 1000),
        ("mV", "V", 1e-3),
    ],
)
def test_factors(unit, target, times):
    assert factor(unit, target) == pytest.approx(times, rel=1e-12)


def test_units_of_different_kinds_have_no_factor():
    for unit in UNITS:
        assert factor(unit, unit) == 1
    assert factor("g", "mm/s") is None and factor("unknown", "g") is None and factor("g", "unknown") is None


def take(tmp_path, units, **options):
    """Records with these units, ten minutes apart."""
    lines = [
        {
            "data_time": f"2024-01-01T{i // 6:02d}:{i % 6}0:00Z",
            "sensor_id": "a",
            "signal_value": X[i].tolist(),
            "unit": unit,
        }
        for i, unit in enumerate(units)
    ]
    (tmp_path / "d.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    readers = [JsonLines.make({}, Context())]
    got = ingest([tmp_path / "d.jsonl"], readers, IngestOptions(fs=100.0, **options), tmp_path / "w", lambda e: None)
    got.accounting.check()
    return got


def test_another_unit_after_an_update_is_converted_case_12(tmp_path):
    got = take(tmp_path, ["g"] * 30 + ["m/s^2"] * 10)
    assert got.batch.unit == "g" and len(got.batch) == 40 and not got.batch.quality.any()
    assert np.array_equal(got.batch.x[:30, 0], X[:30])
    np.testing.assert_array_equal(got.batch.x[30:, 0], (X[30:] * np.float64(1 / 9.80665)).astype(np.float32))
    assert got.batch.ids[35] == record_id("a", got.batch.time[35], got.batch.x[35])
    assert "10 records in m/s2 were converted to g: times 0.101972" in got.warnings


def test_unit_names_the_target(tmp_path):
    got = take(tmp_path, ["g", "g", "in/s2", ""], unit="m/s2")
    assert got.batch.unit == "m/s2"
    np.testing.assert_allclose(got.batch.x[:, 0], X[:4] * np.array([9.80665, 9.80665, 0.0254, 1])[:, None], rtol=1e-6)


def test_a_models_unit_is_the_target_and_told_where_it_is_taken(tmp_path):
    assert take(tmp_path, ["g", "g"], prefer_unit="m/s2").batch.unit == "m/s2"
    got = take(tmp_path, ["", ""], prefer_unit="m/s2")
    assert got.batch.unit == "m/s2" and "the data state none, so the model's is taken: unit m/s2" in got.warnings
    assert take(tmp_path, ["", ""]).batch.unit == "unknown"
    assert take(tmp_path, ["mm/s", "mm/s"], prefer_unit="m/s2").batch.unit == "mm/s"


def test_what_is_not_known_or_of_another_kind_is_quarantined(tmp_path):
    got = take(tmp_path, ["g", "g", "bananas", "mm/s", ""])
    rows = [(row["row"], row["code"], row["detail"]) for row in got.accounting.rows()]
    assert rows == [
        (2, "Q018", "the unit 'bananas' is not known"),
        (3, "Q018", "the unit 'mm/s' cannot be converted to g"),
    ]
    assert got.batch.unit == "g" and got.batch.row.tolist() == [0, 1, 4]
    with pytest.raises(NothingAccepted, match="Q018") as error:
        take(tmp_path, ["counts"] * 3)
    assert "--unit unknown" in error.value.hint


def test_unit_unknown_takes_the_values_as_they_are(tmp_path):
    got = take(tmp_path, ["counts", "counts", "volts"], unit="unknown")
    assert got.batch.unit == "unknown" and got.batch.row.tolist() == [0, 1]
    assert np.array_equal(got.batch.x[:, 0], X[:2])


def test_convert_writes_one_unit_and_its_file_reads_back(tmp_path, capsys):
    take(tmp_path, ["g"] * 5 + ["m/s2"] * 3)
    assert cli.run(["data", "convert", str(tmp_path / "d.jsonl"), "-o", str(tmp_path / "u.npz"), "--fs", "100"]) == 0
    with np.load(tmp_path / "u.npz", allow_pickle=False) as arrays:
        assert arrays["unit"] == "g"
        np.testing.assert_allclose(arrays["signals"][5:], X[5:8] / 9.80665, rtol=1e-6)


def test_converted_records_can_be_explained(tmp_path, capsys):
    take(tmp_path, ["g"] * 30 + ["m/s2"] * 10)
    out = tmp_path / "OUT"
    run = ["ensemble", "run", str(tmp_path / "d.jsonl"), "-o", str(out), "--fs", "100", "--detectors", "mahalanobis"]
    assert cli.run([*run, "--no-report", "--quiet"]) == 0
    found = explain(PluginHost.create(autoload=False), out, "d.jsonl:35")
    np.testing.assert_allclose(found.signal[0], X[35] / 9.80665, rtol=1e-6)
    assert found.notes == () and found.baseline.shape[1:] == (1, 32)
