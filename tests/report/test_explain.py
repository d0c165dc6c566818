"""vibro explain: the right record, honest numbers, a page; sources that are gone leave the rest standing."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from vibro.api import Reader
from vibro.data import NO_TIME, Record, record_id
from vibro.errors import ConfigError
from vibro.io import files
from vibro.report import indicators
from vibro.report.explain import explain
from vibro.report.explain_page import render_explanation, write_explanation
from vibro.report.texts import texts
from vibro.store import manifest, tables
from vibro.store.lookup import find_record

FS, LENGTH, N = 4096.0, 2048, 60
ODD = 41  # the record with the stronger second harmonic


class Stored(Reader):
    """Stand-in for the bundled readers."""

    name = "stored"
    extensions = (".npz",)

    def read(self, path):
        with np.load(path) as arrays:
            for row, (x, sensor, time) in enumerate(zip(arrays["x"], arrays["sensor"], arrays["time"], strict=True)):
                yield Record(signal=x, sensor=str(sensor), time=time, row=row)


class Host:
    """Stand-in for PluginHost."""

    def components(self, kind):
        return [Stored] if kind == "reader" else []


def signals(channels: int = 1) -> np.ndarray:
    rng = np.random.default_rng(3)
    t = np.arange(LENGTH) / FS
    x = rng.normal(scale=0.05, size=(N, channels, LENGTH))
    for n, a in ((2, 1.0), (4, 0.4), (6, 0.2)):
        x += a * np.sin(2 * np.pi * 50 * n * t + rng.uniform(0, 6.28, (N, channels, 1)))
    x[ODD] += 1.5 * np.sin(2 * np.pi * 200 * t)
    return x.astype(np.float32)


def made_run(folder: Path, mains: float | None = 50.0, channels: int = 1, sensors: int = 2) -> Path:
    data = folder / "data"
    data.mkdir(parents=True)
    x = signals(channels)
    sensor = np.array([f"s{i % sensors}" for i in range(N)])
    time = np.datetime64("2024-05-01T00:00:00", "ns") + np.arange(N) * np.timedelta64(600, "s")
    np.savez(data / "a.npz", x=x, sensor=sensor, time=time)
    run = folder / "run"
    run.mkdir()
    z = np.random.default_rng(1).normal(size=(N, 3))
    z[ODD] = [9.0, 6.0, np.nan]
    score = np.nanmean(z, axis=1)
    columns = {
        "record_id": np.array([record_id(s, t, v) for s, t, v in zip(sensor, time, x, strict=True)]),
        "source": np.full(N, "a.npz"),
        "row": np.arange(N),
        "sensor_id": sensor,
        "data_time": time,
        "score": score,
        "persistent_score": score,
        "p_value": np.full(N, 0.1),
        "level": np.where(score > 4, "alarm", "normal"),
        "reason": np.full(N, ""),
        "agreement": np.full(N, 0.9),
        "confidence": np.full(N, 0.9),
        "z_ecod": z[:, 0],
        "z_knn": z[:, 1],
        "z_pca": z[:, 2],
    }
    tables.write_scores(run, columns)
    finding = {"source": "a.npz", "row": ODD, "code": "Q016", "reason": "clipped", "disposition": "warning"}
    tables.write_quarantine(run, [{**finding, "record_id": columns["record_id"][ODD], "detail": "3 %"}])
    weights = {"ecod": 0.5, "knn": 0.25, "pca": 0.25}
    summary = {
        "status": "complete",
        "signal": {"fs": FS, "length": LENGTH, "channels": channels, "unit": "g", "mains_hz": mains},
        "detectors": [{"id": name, "weight": w, "cut": 3.0, "status": "ok"} for name, w in weights.items()],
        "thresholds": {"cuts": {"attention": 2.0, "alarm": 4.0}},
    }
    files.write_text(run / "summary.json", json.dumps(summary))
    manifest.write(run, manifest.build(run, status="complete", settings={"paths": [str(data)]}))
    return run


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    return made_run(tmp_path_factory.mktemp("explain"))


@pytest.fixture(scope="module")
def found(run):
    return explain(Host(), run, f"a.npz:{ODD}")


def test_table_has_the_promised_keys(found):
    keys = "record_id source row sensor_id data_time score persistent_score p_value level reason agreement cuts"
    assert list(found.table) == [
        *keys.split(),
        "detectors",
        "hypotheses",
        "not_judged",
        "facts",
        "features",
        "lines",
        "neighbours",
        "nearest",
        "quality",
    ]
    assert found.table["row"] == ODD and found.table["level"] == "alarm"
    assert set(found.table["features"][0]) == {"name", "value", "baseline_median", "baseline_mad", "z"}
    assert set(found.table["neighbours"][0]) == {"record_id", "data_time", "score", "persistent_score", "level"}
    assert found.table["quality"] == [{"code": "Q016", "reason": "clipped", "disposition": "warning", "detail": "3 %"}]
    json.dumps(files.plain(found.table), allow_nan=False)


def test_shares_add_up_over_the_detectors_that_gave_a_score(found):
    by_id = {d["id"]: d for d in found.table["detectors"]}
    assert by_id["ecod"]["share"] == pytest.approx(0.5 * 9 / 0.75)
    assert by_id["ecod"]["share"] + by_id["knn"]["share"] == pytest.approx((0.5 * 9 + 0.25 * 6) / 0.75)
    assert by_id["pca"]["share"] is None and by_id["pca"]["exceeds"] is None
    assert by_id["ecod"]["exceeds"] is True


def test_the_injected_line_is_found_and_sized(found):
    line = {line["multiple"]: line["db_over_baseline"] for line in found.table["lines"]}
    # 0.4 sin + 1.5 sin of any phase: 20 log10 of 1.1 / 0.4 to 1.9 / 0.4
    assert 8.8 <= line[4] <= 13.6
    assert abs(line[2]) < 0.3 and abs(line[6]) < 0.6
    assert found.table["features"][0]["z"] > 10
    striking = [f["name"] for f in found.table["features"] if f["z"] > 10]
    assert "rms_db" in striking and "band_128_256_db" in striking and "band_512_1024_db" not in striking


def test_neighbours_are_the_sensors_own_in_order_of_time(found, run):
    times = [n["data_time"] for n in found.table["neighbours"]]
    assert len(times) == 10 and times == sorted(times)
    scores = tables.read_scores(run)
    own = set(scores["record_id"][scores["sensor_id"] == found.table["sensor_id"]])
    assert {n["record_id"] for n in found.table["neighbours"]} <= own - {found.table["record_id"]}


def test_records_are_named_by_prefix_or_place(run, found):
    data = found.run
    assert find_record(data.scores, found.table["record_id"][:6].upper(), data.folder) == ODD
    for wanted, words in (
        ("abc", "too short"),
        ("zzzzzzzz", "no record"),
        ("b.npz:1", "no record"),
        ("a.npz:99", "no record"),
    ):
        with pytest.raises(ConfigError, match=words):
            find_record(data.scores, wanted, data.folder)
    data.scores["record_id"][:2] = ["0123456789abcdef", "0123456789abcde0"]
    with pytest.raises(ConfigError, match="means 2 records"):
        find_record(data.scores, "0123456789", data.folder)
    assert find_record(data.scores, "0123456789abcde0", data.folder) == 1


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_page_tells_it_in_words(found, lang, tmp_path):
    page = render_explanation(found, lang)
    assert found.table["record_id"] in page and "http" not in page.replace("http-equiv", "")
    assert texts(lang)["i_rms_db"] in page and texts(lang)["h_lines"] in page
    assert page.count("<svg") >= 6
    write_explanation(found, tmp_path / "page.html", lang)
    assert (tmp_path / "page.html").read_text("utf-8") == page


def test_without_mains_the_risen_places_are_named(tmp_path):
    found = explain(Host(), made_run(tmp_path, mains=None), f"a.npz:{ODD}")
    top = found.table["lines"][0]
    assert top["multiple"] is None and abs(top["hz"] - 200) < 8 and top["db_over_baseline"] > 8
    assert "<svg" in render_explanation(found)


def test_channels_are_told_apart(tmp_path):
    found = explain(Host(), made_run(tmp_path, channels=3), f"a.npz:{ODD}")
    assert found.table["features"][0]["name"].startswith("ch")
    assert "ch0: " in render_explanation(found) or "ch1: " in render_explanation(found)


def test_few_records_of_a_sensor_use_the_pool(tmp_path):
    found = explain(Host(), made_run(tmp_path, sensors=N), f"a.npz:{ODD}")
    assert found.baseline_of == "" and len(found.baseline) > 20
    assert texts("en")["p_unusual_pooled"].format(n=len(found.baseline)) in render_explanation(found)


def test_sources_that_moved_or_changed(tmp_path):
    run = made_run(tmp_path)
    moved = tmp_path / "elsewhere"
    (tmp_path / "data").rename(moved)
    lost = explain(Host(), run, f"a.npz:{ODD}")
    assert "--data" in lost.notes[0] and lost.table["features"] == [] and lost.table["lines"] == []
    assert len(lost.table["neighbours"]) == 10
    page = render_explanation(lost)
    assert "--data" in page and "samples could not be read" in page and texts("en")["looks_like_nothing"] not in page
    assert lost.table["hypotheses"] is None
    with pytest.raises(ConfigError, match="does not exist"):
        explain(Host(), run, f"a.npz:{ODD}", data=tmp_path / "nowhere")
    again = explain(Host(), run, f"a.npz:{ODD}", data=moved)
    assert again.notes == () and again.table["features"]
    with np.load(moved / "a.npz") as arrays:
        changed = {name: arrays[name] for name in arrays.files}
    changed["x"][ODD] += 1
    np.savez(moved / "a.npz", **changed)
    assert explain(Host(), run, f"a.npz:{ODD}", data=moved).notes == (f"a.npz:{ODD} has changed since the run",)


def test_spectrum_sums_to_the_variance():
    x = np.random.default_rng(0).normal(size=(4, 1024)).astype(np.float32)
    power = indicators.power_spectrum(x)
    np.testing.assert_allclose(power.sum(axis=1), x.var(axis=1), rtol=0.25)
    tone = np.sin(2 * np.pi * 100 * np.arange(1024) / 1024).astype(np.float32)[None]
    np.testing.assert_allclose(indicators.power_spectrum(tone).sum(), 0.5, rtol=1e-3)


@pytest.mark.parametrize(("length", "fs"), [(140, 100.0), (8192, 8192.0), (2048, 100_000.0), (16, 50.0)])
def test_indicators_of_any_rate_and_length(length, fs):
    x = np.random.default_rng(0).normal(size=(5, length)).astype(np.float32)
    for odd in (x, np.zeros_like(x), np.full_like(x, 1e18)):
        found = indicators.indicators(odd, fs)
        assert all(np.isfinite(values).all() and values.shape == (5,) for values in found.values())
        assert {name for name in found if not name.startswith("band_")} == {
            key.removeprefix("i_") for key in texts("en") if key.startswith("i_") and key != "i_band"
        }
    bands = [found[name] for name in found if name.startswith("band_")]
    assert 1 <= len(bands) <= 8


def test_untimed_record_has_no_time():
    assert files.iso_time(NO_TIME) == ""
