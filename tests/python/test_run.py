"""``vibro.fit`` and what a run does in a notebook."""

from __future__ import annotations

import json
import pickle
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import vibro
from vibro.cli import run as command
from vibro.errors import ConfigError, DataError, IncompatibleModelError, VibroError
from vibro.python.run import as_arguments

FS, SAMPLES, N = 2048.0, 512, 120
QUICK = "one.toml"


def signals(n: int = N, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    t = np.arange(SAMPLES) / FS
    x = np.sin(2 * np.pi * 100 * t + rng.uniform(0, 6, (n, 1))) + 0.3 * rng.standard_normal((n, SAMPLES))
    x[7] *= 4
    return x


def about(n: int = N) -> dict:
    hours = np.repeat(np.arange(n // 2), 2) * np.timedelta64(1, "h")
    return {"sensor": ["a", "b"] * (n // 2), "time": np.datetime64("2024-01-01", "ns") + hours}


@pytest.fixture(scope="module")
def ensemble(tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("ensemble") / QUICK
    path.write_text('detectors = [{ use = "mahalanobis", view = "spectrum" }]\n')
    return str(path)


@pytest.fixture(scope="module")
def run(ensemble):
    return vibro.fit(signals(), fs=FS, **about(), ensemble=ensemble)


def test_a_run_gives_the_bytes_of_the_command(run, ensemble, tmp_path):
    """On the same data: an array of doubles, and the archive of floats that a user would write."""
    given = about()
    times = [f"{time}Z" for time in np.datetime_as_string(given["time"], unit="s")]
    np.savez(
        tmp_path / "array.npz", signals=signals().astype(np.float32), fs=FS, sensor_id=given["sensor"], data_time=times
    )
    line = ["ensemble", "run", str(tmp_path / "array.npz"), "-o", str(tmp_path / "out"), "--ensemble", ensemble]
    assert command([*line, "--no-report", "--quiet", "--executor", "serial"]) == 0
    names = ["scores.csv", "scores.parquet", "machines.csv", "quarantine.csv"]
    names += [p.relative_to(run.path).as_posix() for p in (run.path / "model").rglob("*.safetensors")]
    assert len(names) > 8
    for name in names:
        assert (run.path / name).read_bytes() == (tmp_path / "out" / name).read_bytes(), name


def test_a_path_is_read_as_by_the_command(ensemble, tmp_path):
    np.savez(tmp_path / "mine.npz", signals=signals(), fs=FS)
    found = vibro.fit(tmp_path, ensemble=ensemble)
    assert set(found.verdicts["source"]) == {"mine.npz"} and len(found.verdicts["row"]) == N
    with pytest.raises(ConfigError, match="sensor cannot be given with a path"):
        vibro.fit(tmp_path, sensor="a")


@pytest.mark.parametrize("kind", ["float64", "float16", "int16", "memmap", "fortran", "strided"])
def test_every_kind_of_number_is_taken(kind, ensemble, tmp_path):
    x = signals() * 1000
    if kind == "memmap":
        np.save(tmp_path / "x.npy", x.astype(np.float32))
        given = np.load(tmp_path / "x.npy", mmap_mode="r")
    elif kind == "fortran":
        given = np.asfortranarray(x)
    elif kind == "strided":
        given = np.repeat(x, 2, axis=1)[:, ::2]
    else:
        given = x.astype(kind)
    found = vibro.fit(given, fs=FS, ensemble=ensemble)
    assert np.argmax(found.verdicts["score"]) == 7


def test_records_of_several_channels(ensemble):
    found = vibro.fit(np.stack([signals(seed=1), signals(seed=2)], axis=1), fs=FS, ensemble=ensemble)
    assert found.summary["signal"]["channels"] == 2


BAD = {
    "a list": (lambda x: [list(row) for row in x], {}, ConfigError, "X is a list"),
    "mixed lengths": (lambda x: np.array([x[0], x[1][:9]], dtype=object), {}, ConfigError, "different lengths"),
    "complex": (lambda x: x + 1j, {}, ConfigError, "not real numbers"),
    "texts": (lambda x: x.astype(str), {}, ConfigError, "not real numbers"),
    "one row": (lambda x: x[0], {}, ConfigError, r"shape \(512,\)"),
    "four axes": (lambda x: x[None, None], {}, ConfigError, "not \\(n, T\\)"),
    "no rows": (lambda x: x[:0], {}, ConfigError, "shape"),
    "nothing": (lambda x: None, {}, ConfigError, "not an array"),
    "nan": (
        lambda x: np.where(np.arange(x.size).reshape(x.shape) == 5 * SAMPLES + 3, np.nan, x),
        {},
        DataError,
        "row 5, sample 3",
    ),
    "too large": (lambda x: x * 1e300, {}, DataError, "beyond float32"),
    "no fs": (
        lambda x: x * 0 + np.random.default_rng(0).standard_normal(x.shape),
        {"fs": None},
        ConfigError,
        "sampling rate",
    ),
    "fs below 0": (lambda x: x, {"fs": -1.0}, ConfigError, "no sampling rate"),
    "time falls": (
        lambda x: x,
        {"time": np.datetime64("2024-01-01", "ns") - np.arange(N)},
        DataError,
        "time does not rise: row 1",
    ),
    "time of numbers": (lambda x: x, {"time": np.arange(N)}, ConfigError, "not dates"),
    "time of other length": (lambda x: x, {"time": ["2024-01-01T00:00:00Z"]}, ConfigError, "time has shape"),
    "time that is none": (lambda x: x, {"time": ["soon"] * N}, ConfigError, "time cannot be read"),
    "sensors of other length": (lambda x: x, {"sensor": ["a"]}, ConfigError, "sensor has shape"),
    "covariates of other length": (lambda x: x, {"covariates": {"load": [1.0]}}, ConfigError, "covariate load"),
    "a table beside an array": (lambda x: x, {"covariates": "load.csv"}, ConfigError, "table of covariates"),
    "ensemble": (lambda x: x, {"ensemble": "quik"}, ConfigError, "quik"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_an_error_in_one_sentence(name):
    change, given, error, text = BAD[name]
    with pytest.raises(error, match=text) as caught:
        vibro.fit(change(signals()), **{"fs": FS, **given})
    assert isinstance(caught.value, VibroError) and "\n" not in str(caught.value)


def test_verdicts_are_a_table_of_arrays_without_pandas(run, monkeypatch):
    monkeypatch.setattr("vibro.python.show.find_spec", lambda name: None)
    found = run.verdicts
    assert isinstance(found, dict) and found["level"][7] == "alarm" and len(found["score"]) == N


def test_verdicts_are_a_data_frame_with_pandas(run, monkeypatch):
    monkeypatch.setattr("vibro.python.show.find_spec", lambda name: object())
    monkeypatch.setitem(sys.modules, "pandas", SimpleNamespace(DataFrame=lambda columns: ("frame", set(columns))))
    kind, columns = run.verdicts
    assert kind == "frame" and {"record_id", "score", "level", "z_mahalanobis"} <= columns


def test_scoring_again_gives_the_same_scores(run):
    rows = slice(20, 40)
    given = {name: values[rows] for name, values in about().items()}
    again = run.score(signals()[rows], **given)
    assert np.array_equal(again.verdicts["score"], run.verdicts["score"][rows])
    twice = again.score(signals()[rows], **given)  # a run that was scored scores with the same model
    assert np.array_equal(twice.verdicts["score"], again.verdicts["score"])


def test_what_does_not_fit_the_model_is_refused(run):
    with pytest.raises(IncompatibleModelError, match="length is 256"):
        run.score(signals()[:, :256])
    with pytest.raises(IncompatibleModelError, match="fs is 100"):
        run.score(signals(), fs=100.0)


def test_a_larger_budget_lowers_the_cut(ensemble):
    found = vibro.fit(signals(), fs=FS, ensemble=ensemble)
    before = found.summary["thresholds"]["cuts"]["alarm"]
    after = found.threshold(budget=0.1)
    assert after is found and after.summary["thresholds"]["cuts"]["alarm"] < before


def test_explain_report_and_page(run, tmp_path):
    told = run.explain(7, tmp_path / "record.html")
    assert told["level"] == "alarm" and told["features"] and told["notes"] == []
    assert told["record_id"] == run.explain(told["record_id"])["record_id"]
    assert (tmp_path / "record.html").stat().st_size > 1000
    assert run.report(tmp_path / "r.html").read_text().startswith("<!doctype html>")
    with pytest.raises(ConfigError, match="none at row 500"):
        run.explain(500)


def test_a_notebook_shows_words_levels_and_pictures(run):
    shown = run._repr_html_()
    assert shown.startswith("<iframe srcdoc=") and "&lt;svg" in shown and "http://" not in shown
    assert told_id(run) in shown and "2 alarm" in repr(run)


def told_id(run) -> str:
    return str(run.verdicts["record_id"][7])


def test_save_load_and_pickle(run, tmp_path, capsys):
    folder = run.save(tmp_path / "kept")
    for other in (vibro.load(folder), pickle.loads(pickle.dumps(run))):
        assert np.array_equal(other.verdicts["score"], run.verdicts["score"])
        assert len(other.score(signals()[:4], sensor="a").verdicts["score"]) == 4
    assert command(["score", str(folder), str(run.path.parent / "data"), "-o", str(tmp_path / "s"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["records"]["accepted"] == N
    with pytest.raises(ConfigError, match="exists already"):
        run.save(folder)
    (folder / "scores.csv").write_text("changed")
    with pytest.raises(VibroError, match=r"scores\.csv is damaged"):
        vibro.load(folder)
    with pytest.raises(ConfigError, match="no run directory"):
        vibro.load(tmp_path)


def test_the_temporary_folder_goes_with_the_run(ensemble):
    found = vibro.fit(signals(), fs=FS, ensemble=ensemble)
    folder: Path = found.path.parent
    assert folder.is_dir()
    del found
    assert not folder.exists()


def test_read_gives_what_fit_takes(run, ensemble):
    records = vibro.read(run.path.parent / "data")
    assert records.x.shape == (N, SAMPLES) and records.fs == FS and records.sensor[:2].tolist() == ["a", "b"]
    again = vibro.fit(records, ensemble=ensemble)
    assert (again.path / "scores.csv").read_bytes() == (run.path / "scores.csv").read_bytes()
    with pytest.raises(ConfigError, match="part of the records"):
        vibro.fit(records, sensor="a", ensemble=ensemble)


def test_a_bar_is_shown_in_a_notebook_only(ensemble, monkeypatch, capsys):
    vibro.fit(signals(), fs=FS, ensemble=ensemble)
    assert capsys.readouterr() == ("", "")
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=object))
    vibro.fit(signals(), fs=FS, ensemble=ensemble)
    assert "ingest" in capsys.readouterr().err


def test_hints_name_arguments_and_not_options(ensemble):
    with pytest.raises(ConfigError) as found:
        vibro.fit(signals(), ensemble=ensemble)
    assert found.value.hint == "give it: fs=HZ"
    assert as_arguments("try --fit-on normal, or --budget 0.02; --labels FILE") == (
        "try fit_on='normal', or budget=0.02; --labels FILE"
    )
