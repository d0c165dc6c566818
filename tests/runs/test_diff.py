"""``vibro diff`` names the part that was changed; ``vibro reproduce`` repeats a run byte for byte, or says why not."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from vibro.cli import run as vibro
from vibro.errors import ConfigError, StateError
from vibro.runs.diff import cause, diff_runs
from vibro.runs.hosts import open_host
from vibro.runs.reproduce import reproduce
from vibro.store import manifest

FS, SAMPLES, N = 4096, 448, 120
BASE = """
detectors = [
  { use = "mahalanobis", view = VIEW },
  { use = "pyod", id = "knn", model = "KNN", settings = { n_neighbors = NEAR }, view = { use = "per_sensor", of = "spectrum" } },
]
calibration = { method = "METHOD" }
fuser = { use = "FUSER" }
thresholder = { use = "RULE" }
budgets = { attention = 0.08, alarm = BUDGET }
"""
USUAL = {
    "VIEW": '{ use = "per_sensor", of = "spectrum" }',
    "NEAR": "5",
    "METHOD": "robust",
    "FUSER": "weighted_mean",
    "RULE": "quantile",
    "BUDGET": "0.02",
}


def signals() -> np.ndarray:
    rng = np.random.default_rng(0)
    t = np.arange(SAMPLES) / FS
    x = np.sin(2 * np.pi * 200 * t + rng.uniform(0, 6, (N, 1))) + 0.3 * rng.standard_normal((N, SAMPLES))
    return x * rng.uniform(0.8, 1.3, (N, 1))


def fit(folder: Path, name: str, x=None, options=(), **changes) -> Path:
    path, out = folder / f"{name}.toml", folder / name
    text = BASE
    for key, value in {**USUAL, **changes}.items():
        text = text.replace(key, value)
    path.write_text(text)
    times = [f"{np.datetime64('2024-01-01T00') + np.timedelta64(i // 2, 'h')}:00:00Z" for i in range(N)]
    data = folder / ("data.npz" if x is None else f"{name}.npz")
    np.savez(
        data, signals=signals() if x is None else x, fs=float(FS), sensor_id=["a", "b"] * (N // 2), data_time=times
    )
    line = ["ensemble", "run", str(data), "-o", str(out), "--ensemble", str(path), "--no-report", "--quiet"]
    assert vibro([*line, *options]) == 0
    return out


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("diff")
    fit(folder, "usual")
    return folder


def other_samples() -> np.ndarray:
    x = signals()
    x[::20] *= 3
    return x


PLANTED = {
    "data": {"x": other_samples()},
    "view": {"VIEW": '"spectrum"'},
    "detector": {"NEAR": "40"},
    "calibration": {"METHOD": "z"},
    "weight": {"FUSER": "max"},
    "cut": {"BUDGET": "0.07"},
}


@pytest.mark.parametrize("part", PLANTED)
def test_the_part_that_was_changed_is_named(part, place):
    other = fit(place, f"other-{part}", **PLANTED[part])
    found = diff_runs(open_host(print), place / "usual", other)
    assert {name for name, _ in found.parts} == {part} and found.both == N
    assert found.changed and found.causes == {part: len(found.changed)}


def test_of_two_parts_each_verdict_has_its_own(place):
    """A record with other samples is data's; the others moved because the budget did."""
    x = signals()
    x[10] *= 4
    other = fit(place, "two", x=x, BUDGET="0.07")
    found = diff_runs(open_host(print), place / "usual", other)
    causes = {row["record_id"]: row["cause"] for row in found.changed}
    assert {part for part, _ in found.parts} == {"data", "cut"} and found.other_samples == 1
    (mine,) = [row for row in found.changed if row["score_b"] == max(r["score_b"] for r in found.changed)]
    assert causes[mine["record_id"]] == "data" and "cut" in causes.values()


def test_exchange_decides_between_parts():
    assert cause(["calibration", "cut"], ["cut"], True) == "cut"
    assert cause(["view", "cut"], ["scores"], True) == "view"
    assert cause(["view", "detector"], ["scores"], True) == "view or detector"
    assert cause(["calibration", "cut"], [], True) == "several"
    assert cause(["cut"], ["scores"], False) == "data"
    assert cause([], [], True) == "unknown"


def test_a_scored_run_a_new_threshold_and_a_mark_are_compared(place, tmp_path):
    run = fit(tmp_path, "mine")
    fit(tmp_path, "same")
    for name in ("one", "two"):
        assert (
            vibro(["score", str(run), str(tmp_path / "data.npz"), "-o", str(tmp_path / name), "--no-report", "--quiet"])
            == 0
        )
    host = open_host(print)
    assert diff_runs(host, tmp_path / "one", tmp_path / "two").changed == []
    assert vibro(["threshold", str(tmp_path / "two"), "--budget", "0.07", "--quiet"]) == 0
    found = diff_runs(host, tmp_path / "one", tmp_path / "two")
    assert set(found.causes) == {"cut"}
    alarm = next(row["record_id"] for row in found.changed)
    assert vibro(["label", str(tmp_path / "same"), alarm, "--as", "benign", "--quiet"]) == 0
    assert vibro(["threshold", str(tmp_path / "same"), "--quiet"]) == 0
    assert [part for part, _ in diff_runs(host, run, tmp_path / "same").parts] == ["cut"]


def test_a_comparison_on_the_command_line(place, capsys):
    other = fit(place, "shown", BUDGET="0.07")
    capsys.readouterr()
    line = ["diff", str(place / "usual"), str(other)]
    page = place / "page.html"
    assert vibro([*line, "-o", str(page)]) == 0
    told = capsys.readouterr().out
    (said,) = re.findall(r"\d+ of 120 verdicts changed; cause: cut \d+\.", told)
    assert "cut: budget alarm=0.02 -> alarm=0.07\n" in told and f"page: {page}" in told
    assert said in page.read_text("utf-8")
    assert vibro([*line, "--fail-on-change", "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["parts"][0]["part"] == "cut" and found["causes"]["cut"] == len(found["changed"])
    assert vibro(["diff", line[1], line[1], "--fail-on-change"]) == 0
    assert (
        capsys.readouterr().out == "Nothing was set differently.\nAll 120 verdicts are equal, and so are the scores.\n"
    )
    assert vibro(["diff", line[1], line[1], "--lang", "zh"]) == 0
    assert capsys.readouterr().out == "没有不同的设置。\n全部 120 个结论相同，分数也相同。\n"


def test_what_is_no_finished_run_is_an_error(place, tmp_path):
    host = open_host(print)
    with pytest.raises(ConfigError, match="no such run"):
        diff_runs(host, place / "usual", tmp_path / "gone")
    with pytest.raises(StateError):
        diff_runs(host, place / "usual", tmp_path)


def test_a_run_is_repeated_byte_for_byte_from_any_folder(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fit(Path(), "first", options=["--set", "knn.pca=4", "--seed", "3"])  # paths as they were typed there
    monkeypatch.chdir("/")
    run = tmp_path / "first"
    assert vibro(["threshold", str(run), "--budget", "0.05", "--quiet"]) == 0
    scored = tmp_path / "scored"
    assert vibro(["score", str(run), str(tmp_path / "data.npz"), "-o", str(scored), "--no-report", "--quiet"]) == 0
    for path in (run, scored):
        before = (path / "manifest.json").read_bytes()
        found = reproduce(open_host(print), path)
        assert found.different == [] and "scores.csv" in found.same and found.data == found.libraries == []
        assert (path / "manifest.json").read_bytes() == before
    capsys.readouterr()
    assert vibro(["reproduce", str(run), "--json", "--quiet"]) == 0
    assert json.loads(capsys.readouterr().out)["reproduced"] is True


def test_what_cannot_be_repeated_says_what_differs(tmp_path, capsys, monkeypatch):
    run = fit(tmp_path, "first")
    x = signals()
    x[3] *= 2
    np.savez(tmp_path / "data.npz", signals=x, fs=float(FS))
    assert vibro(["reproduce", str(run), "--quiet"]) == 1
    told = capsys.readouterr().out
    assert "different: " in told and "scores.csv" in told and "data: data.npz has changed" in told
    kept = json.loads((run / "manifest.json").read_text())
    kept["libraries"]["numpy"] = "1.0"
    kept["machine"]["cpu"] = "abacus"
    manifest.write(run, kept)
    found = reproduce(open_host(print), run)
    assert any(text.startswith("numpy 1.0 -> ") for text in found.libraries) and found.notes[0].startswith(
        "cpu: abacus"
    )
    (tmp_path / "data.npz").unlink()
    with pytest.raises(ConfigError, match="not there any more"):
        reproduce(open_host(print), run)
