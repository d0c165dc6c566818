"""``vibro distil``: the folder that is written scores with numpy alone, within its size, and ranks as its teacher does."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from vibro.cli import run as vibro
from vibro.distil import network, score
from vibro.distil.network import Lesson
from vibro.io.tensors import load_tensors
from vibro.scoring.regression import Regression

FS, SAMPLES, N = 4096.0, 448, 160
FAULTY = np.arange(N) % 16 == 9
ENSEMBLE = """
detectors = [
  { use = "mahalanobis", view = { use = "conditioned", of = { use = "per_sensor", of = "spectrum" } } },
  { use = "pyod", id = "knn", model = "KNN", settings = { n_neighbors = 3 }, view = { use = "per_sensor", of = "spectrum" } },
]
calibration = { method = "robust", linear = 10.0 }
fuser = { use = "weighted_mean" }
thresholder = { use = "quantile" }
budgets = { attention = 0.12, alarm = 0.06 }
"""


def records() -> dict[str, np.ndarray]:
    """Two sensors whose level follows the load; a tenth have a tone that the others have not."""
    rng = np.random.default_rng(0)
    t, load = np.arange(SAMPLES) / FS, rng.uniform(0.5, 1.5, N)
    x = np.sin(2 * np.pi * 200 * t + rng.uniform(0, 6, (N, 1))) + 0.3 * rng.standard_normal((N, SAMPLES))
    x[FAULTY] += np.sin(2 * np.pi * 900 * t) * rng.uniform(0.2, 0.6, (FAULTY.sum(), 1))
    x *= load[:, None]
    times = [f"{np.datetime64('2024-01-01T00') + np.timedelta64(i // 2, 'h')}:00:00Z" for i in range(N)]
    return {
        **{"signals": x.astype(np.float32), "fs": np.array(FS), "sensor_id": np.array(["a", "b"] * (N // 2))},
        **{"data_time": np.array(times), "covariates": load[:, None], "covariate_names": np.array(["load"])},
    }


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("distil")
    np.savez(folder / "data.npz", **records())
    (folder / "small.toml").write_text(ENSEMBLE)
    lines = [f"data.npz,{i},{int(faulty)}\n" for i, faulty in enumerate(FAULTY)]
    (folder / "labels.csv").write_text("source,row,label\n" + "".join(lines))
    argv = ["ensemble", "run", str(folder / "data.npz"), "-o", str(folder / "run"), "--no-report", "--quiet"]
    argv += ["--ensemble", str(folder / "small.toml"), "--labels", str(folder / "labels.csv")]
    assert vibro(argv) == 0
    steps, network.STEPS = network.STEPS, 200
    try:
        assert vibro(["distil", str(folder / "run"), "-o", str(folder / "student"), "--kb", "128", "--quiet"]) == 0
    finally:
        network.STEPS = steps
    return folder


def started(place: Path, *argv: str, code: int = 0) -> tuple[str, str]:
    """Both outputs of the script beside the weights, where numpy is all that it can import."""
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    others = "('vibro', 'scipy', 'safetensors', 'torch', 'sklearn')"
    guard = (
        f"import sys, runpy; sys.modules.update(dict.fromkeys({others})); sys.argv = sys.argv[1:]; "
        "runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    command = [sys.executable, "-c", guard, str(place / "student" / "score.py"), *argv]
    done = subprocess.run(command, capture_output=True, text=True, env=env)
    assert done.returncode == code, done.stderr
    return done.stdout, done.stderr


def scored(place: Path, *argv: str) -> list[dict[str, str]]:
    """The table that the script writes."""
    return list(csv.DictReader(io.StringIO(started(place, *argv)[0])))


def test_the_folder_is_small_and_says_what_it_is(place):
    about = json.loads((place / "student" / "student.json").read_text())
    files = {path.name: path.stat().st_size for path in (place / "student").iterdir() if path.name != "__pycache__"}
    assert set(files) == {"score.py", "student.json", "student.safetensors", "student-int8.safetensors"}
    assert {name: files[name] for name in about["bytes"]} == about["bytes"]
    assert files["student-int8.safetensors"] < 0.7 * files["student.safetensors"] < 0.7 * 128 * 1024
    assert about["sensors"] == ["a", "b"] and about["covariates"] == ["load"] and about["held_out"]["records"] == N


def test_held_out_records_are_ranked_as_by_the_teacher(place):
    held = json.loads((place / "student" / "student.json").read_text())["held_out"]
    stored = load_tensors(place / "run" / "stages" / "50-score" / "scores.safetensors")
    worst = stored["label"][np.argsort(-stored["held_out_fused"])] == 1
    precision = (np.cumsum(worst) / np.arange(1, N + 1))[worst].mean()
    assert held["labels"]["teacher"] == pytest.approx(precision) and precision > 0.8
    for who in ("float16", "int8"):
        assert held["labels"][who] > 0.9 * held["labels"]["teacher"] and held["rank_correlation"][who] > 0.3


def test_the_script_scores_as_the_module_does(place):
    data, about = records(), json.loads((place / "student" / "student.json").read_text())
    weights = load_tensors(place / "student" / "student.safetensors")
    code = np.array([about["sensors"].index(name) for name in data["sensor_id"]])
    expected = score.score(weights, data["signals"][:, None, :], code, data["covariates"])
    found = scored(place, str(place / "data.npz"))
    assert np.allclose([float(row["score"]) for row in found], expected, rtol=1e-5)
    level = np.array([row["level"] for row in found])
    assert (level[FAULTY] != "normal").mean() > 0.8 and (level[~FAULTY] == "normal").mean() > 0.9
    small = [float(row["score"]) for row in scored(place, str(place / "data.npz"), "--int8")]
    assert not np.allclose(small, expected, rtol=1e-5) and np.corrcoef(small, expected)[0, 1] > 0.99


def test_the_script_reads_every_kind_of_file_alike(place, tmp_path):
    data = {name: array[:6] if array.ndim else array for name, array in records().items()}
    np.savez(tmp_path / "some.npz", **{**data, "covariate_names": np.array(["load"])})
    with (tmp_path / "some.jsonl").open("w") as handle:
        for i, signal in enumerate(data["signals"].tolist()):
            value = ",".join(map(repr, signal)) if i % 2 else signal
            known = {"load": float(data["covariates"][i, 0])}
            item = {"sensor_id": str(data["sensor_id"][i]), "fs": FS, "signal_value": value, "covariates": known}
            handle.write(json.dumps(item) + "\n")
    first = scored(place, str(tmp_path / "some.npz"))
    assert first == scored(place, str(tmp_path / "some.jsonl"))
    np.save(tmp_path / "some.npy", data["signals"][::2])
    bare = scored(place, str(tmp_path / "some.npy"), "--fs", str(FS), "--sensor", "a")
    assert [row["sensor_id"] for row in bare] == ["a"] * 3 and bare[0]["score"] != first[0]["score"]
    assert {row["level"] for row in bare} == {"indeterminate"}  # no load is known
    assert "indeterminate" not in {row["level"] for row in first}
    said = started(place, str(tmp_path / "some.npy"), "--fs", str(FS), "--sensor", "z")[1]
    assert "3 of 3 records lack load" in said and "does not know sensor z" in said
    assert started(place, str(tmp_path / "some.npz"))[1] == ""


def test_the_script_refuses_what_it_was_not_taught(place, tmp_path):
    x = records()["signals"][:4]
    broken = np.where(np.arange(SAMPLES) == 7, np.nan, x)
    for name, array, argv, text in (
        ("short.npy", x[:, :100], ["--fs", str(FS)], "the student reads 1 x 448"),
        ("bare.npy", x, [], "--fs"),
        ("fast.npy", x, ["--fs", "8192"], "8192 Hz"),
        ("broken.npy", broken, ["--fs", str(FS)], "record 0"),
    ):
        np.save(tmp_path / name, array)
        assert text in started(place, str(tmp_path / name), *argv, code=3)[1]
    (tmp_path / "no.jsonl").write_text('{"signal_value": "1,x"}\n')
    for name in ("no.jsonl", "absent.npz"):
        assert "cannot be read" in started(place, str(tmp_path / name), code=3)[1]


def test_the_script_fails_in_one_sentence_and_writes_no_formula(place, tmp_path):
    shutil.copytree(place / "student", tmp_path / "student")
    (tmp_path / "a.csv").write_text("1,2\n")
    (tmp_path / "a.npz").write_bytes(b"PK\x03\x04 and no more")
    row = {"fs": FS, "signal_value": records()["signals"][0].tolist(), "covariates": {"load": 1.0}}
    lines = [json.dumps({**row, "sensor_id": name}) + "\n" for name in ("=cmd|calc", "\x1b[2J\n")]
    (tmp_path / "odd.jsonl").write_text("".join(lines))
    told, said = started(tmp_path, str(tmp_path / "odd.jsonl"))
    assert [line["sensor_id"] for line in csv.DictReader(io.StringIO(told))] == ["'=cmd|calc", "\\x1b[2J\\n"]
    assert "\x1b" not in said and len(said.splitlines()) == 1
    (tmp_path / "student" / "student-int8.safetensors").write_bytes(b"no")
    for name, code, text in (("a.csv", 2, "is none of"), ("a.npz", 3, "cannot be read")):
        told, said = started(tmp_path, str(tmp_path / name), code=code)
        assert text in said and len(said.splitlines()) == 1 and not told
    said = started(tmp_path, str(tmp_path / "odd.jsonl"), "--int8", code=2)[1]
    assert "student-int8.safetensors is missing or damaged" in said and len(said.splitlines()) == 1


def test_a_reader_that_ends_early_ends_the_script(place):
    command = [sys.executable, str(place / "student" / "score.py"), str(place / "data.npz")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    process.stdout.close()
    assert process.stderr.read() == "" and process.wait() == 141


def test_what_cannot_be_distilled_is_an_error(place, tmp_path, capsys):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("")
    run, out = str(place / "run"), str(tmp_path / "out")
    for argv, text in (
        ([run, "-o", str(tmp_path / "full")], "is there already"),
        ([str(tmp_path / "none"), "-o", out], "no such run directory"),
        ([run, "-o", out, "--data", str(tmp_path / "none")], "is not there"),
        ([run, "-o", out, "--kb", "8"], "does not fit into 8 kB"),
    ):
        capsys.readouterr()
        assert vibro(["distil", *argv, "--quiet"]) == 2
        assert text in capsys.readouterr().err
        assert not Path(out).exists()


def test_records_without_any_signal_have_features():
    x = np.zeros((2, 3, 64), np.float32)
    x[1] = 5.0
    found = score.features(x)
    assert np.isfinite(found).all() and np.array_equal(found[0], found[1])
    assert np.array_equal(score.features(x[:, :1]), found[:, : found.shape[1] // 3])


def lesson(n: int = 80, f: int = 12, covariates: int = 2) -> tuple[Lesson, np.ndarray]:
    rng = np.random.default_rng(1)
    sensor, known = np.arange(n) % 2, rng.uniform(-1, 1, (n, covariates))
    x = rng.standard_normal((n, f)) + known @ rng.standard_normal((covariates, f)) + sensor[:, None]
    return Lesson(x, np.abs(x).mean(axis=1), sensor, known, x + 1, np.abs(x).mean(axis=1) + 3, np.arange(n)), sensor


def test_the_script_takes_out_what_the_regression_explains(monkeypatch):
    monkeypatch.setattr(network, "STEPS", 1)
    taught, sensor = lesson()
    arrays = network.teach(taught, 2, 128, 0)
    regression = Regression.fit(taught.x, taught.covariates, sensor, 2)[0]
    missing = np.where(np.arange(80)[:, None] % 3 == 0, np.nan, taught.covariates)
    expected = regression.residual(taught.x, missing, sensor) + regression.coefficients[sensor, 0]
    expected = (expected - arrays["location"][sensor]) / arrays["scale"][sensor]
    found = score.standardised(arrays, taught.x, sensor, missing)
    assert np.abs(found - np.clip(expected, -score.CLIP, score.CLIP)).max() < 0.01  # tables of two bytes


def test_a_student_of_many_sensors_shares_one_regression(monkeypatch):
    monkeypatch.setattr(network, "STEPS", 1)
    taught, sensor = lesson(f=300)
    few = network.teach(taught, 2, 128, 0)
    assert few["coefficients"].shape[0] == 3
    many = network.teach(taught, 40, 200, 0)
    assert many["coefficients"].shape[0] == 1
    assert np.isfinite(score.standardised(many, taught.x, sensor, taught.covariates)).all()


def test_a_sensor_without_records_is_like_an_unknown_one(monkeypatch):
    monkeypatch.setattr(network, "STEPS", 1)
    taught, _ = lesson()
    arrays = network.teach(taught, 6, 128, 0)
    missing = np.where(np.arange(80)[:, None] % 3 == 0, np.nan, taught.covariates)
    absent, unknown = (score.standardised(arrays, taught.x, np.full(80, code), missing) for code in (4, -1))
    assert np.array_equal(absent, unknown) and np.isfinite(unknown).all()


def test_the_same_lesson_and_seed_give_the_same_student(monkeypatch):
    monkeypatch.setattr(network, "STEPS", 3)
    first, second, other = (network.teach(lesson()[0], 2, 128, seed) for seed in (0, 0, 1))
    assert all(np.array_equal(first[name], second[name]) for name in first)
    assert not np.array_equal(first["w1"], other["w1"])


def test_slopes_are_those_of_the_loss(monkeypatch):
    monkeypatch.setattr(network, "BATCH", 6)
    rng = np.random.default_rng(0)
    p = {}
    for layer, (a, b) in enumerate(((5, 4), (4, 3), (3, 1)), 1):
        p[f"w{layer}"], p[f"b{layer}"] = rng.standard_normal((2, a, b)), rng.standard_normal((2, 1, b))
    x, target = rng.standard_normal((2, 6, 5)), rng.standard_normal((2, 6))

    def loss() -> float:
        h = np.maximum(np.maximum(x @ p["w1"] + p["b1"], 0) @ p["w2"] + p["b2"], 0)
        wrong = np.abs((h @ p["w3"] + p["b3"])[..., 0] - target)
        return float(np.where(wrong < 1, wrong**2, 2 * wrong - 1).sum() / 6)

    slopes = network._slopes(p, x, target)
    for name, array in p.items():
        place = (1, *(size - 1 for size in array.shape[1:]))
        array[place] += 1e-6
        above = loss()
        array[place] -= 2e-6
        assert slopes[name][place] == pytest.approx((above - loss()) / 2e-6, abs=1e-5)
        array[place] += 1e-6
