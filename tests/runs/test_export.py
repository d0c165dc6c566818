"""``vibro export``: the script gives the model's scores and levels with numpy and onnxruntime alone, or nothing is written."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from importlib import util
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from vibro.api import Exported
from vibro.cli import run as vibro
from vibro.runs import export as export_module
from vibro_plugins.detectors.lstm_ae import LstmAe
from vibro_plugins.detectors.mahalanobis import Mahalanobis
from vibro_plugins.fusers.auto import Auto
from vibro_plugins.portable import distances, fusing

FS, SAMPLES, SENSORS, INSTANTS = 2048.0, 512, 4, 60
N = SENSORS * INSTANTS
VIEW = '{ use = "conditioned", of = { use = "per_sensor", of = "spectrum" } }'
ENSEMBLE = f"""
detectors = [
  {{ use = "mahalanobis", view = {VIEW} }},
  {{ use = "pyod", id = "knn", model = "KNN", view = {{ use = "per_sensor", of = "lin" }} }},
  {{ use = "synthetic_linear", view = {VIEW} }},
  {{ use = "mahalanobis", id = "context", view = {{ use = "context", of = {{ use = "per_sensor", of = "spectrum" }} }} }},
  {{ use = "lstm_ae", objective = "exposure", hidden = 8, code = 4, epochs = 2, view = {VIEW} }},
  {{ use = "pyod", id = "forest", model = "IForest", view = {VIEW} }},
]
fuser = {{ use = "auto" }}
thresholder = {{ use = "quantile" }}
budgets = {{ attention = 0.12, alarm = 0.06 }}
quorum = 0.5
"""
MINE = """
import io
import numpy as np
import torch
from vibro import hookimpl
from vibro.api import Detector, Exported, NotFittedError

class Loud(Detector):
    name, summary, view, requires, usual = "loud", "largest distance of a band from the usual", "spectrum", ("torch",), None
    def fit(self, x, y=None):
        self.usual = np.median(x, axis=0)
    def score(self, x):
        return np.abs(x - self.state()["usual"]).max(axis=1).astype(np.float64)
    def state(self):
        if self.usual is None:
            raise NotFittedError("fit first")
        return {"usual": self.usual}
    def load_state(self, state):
        self.usual = state["usual"]
    def export(self):
        usual = torch.tensor(self.usual)
        class Far(torch.nn.Module):
            def forward(self, x):
                return (x - usual).abs().amax(dim=1)
        content, rows = io.BytesIO(), torch.zeros(2, len(self.usual))
        torch.onnx.export(Far(), (rows,), content, dynamo=False, input_names=["x"], dynamic_axes={"x": {0: "n"}})
        return Exported({}, graph=content.getvalue())

@hookimpl
def register_detectors(register):
    register(Loud)
"""
ALONE = """
import runpy, sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"vibro", "vibro_plugins", "torch", "scipy", "sklearn", "numba", "pyod", "onnx"}:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Absent())
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def records() -> dict[str, np.ndarray]:
    """Four sensors of one machine whose level follows the load; a few have a tone that the others have not."""
    rng = np.random.default_rng(0)
    t, load = np.arange(SAMPLES) / FS, np.repeat(rng.uniform(0.5, 1.5, INSTANTS), SENSORS)
    x = np.sin(2 * np.pi * 200 * t + rng.uniform(0, 6, (N, 1))) + 0.3 * rng.standard_normal((N, SAMPLES))
    x[7::23] += np.sin(2 * np.pi * 500 * t)
    hours = np.datetime64("2024-01-01T00") + np.arange(INSTANTS).repeat(SENSORS)
    return {
        **{"signals": (x * load[:, None]).astype(np.float32), "fs": np.array(FS)},
        **{"sensor_id": np.tile(list("abcd"), INSTANTS), "machine_id": np.full(N, "m")},
        **{"data_time": np.array([f"{h}:00:00Z" for h in hours])},
        **{"covariates": load[:, None], "covariate_names": np.array(["load"])},
    }


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("export")
    np.savez(folder / "data.npz", **records())
    (folder / "small.toml").write_text(ENSEMBLE)
    argv = ["ensemble", "run", str(folder / "data.npz"), "-o", str(folder / "run"), "--no-report", "--quiet"]
    assert vibro([*argv, "--ensemble", str(folder / "small.toml")]) == 0
    assert vibro(["export", str(folder / "run"), "--onnx", str(folder / "out"), "--quiet"]) == 0
    return folder


def alone(folder: Path, *argv: str) -> subprocess.CompletedProcess[str]:
    """The script where there is nothing but numpy and onnxruntime."""
    command = [sys.executable, "-I", "-c", ALONE, str(folder / "score.py"), *argv]
    return subprocess.run(command, capture_output=True, text=True)


def test_the_script_gives_the_scores_and_levels_of_vibro_score(place, tmp_path, capsys):
    given = records()
    given["signals"] = np.roll(given["signals"], 1, axis=1) + np.float32(0.02)  # not quite those of the fit
    np.savez(tmp_path / "new.npz", **given)
    argv = ["score", str(place / "run"), str(tmp_path / "new.npz"), "-o", str(tmp_path / "scored"), "--no-report"]
    assert vibro([*argv, "--quiet"]) == 0
    then = list(csv.DictReader((tmp_path / "scored" / "scores.csv").open()))
    found = alone(place / "out", str(tmp_path / "new.npz"))
    assert found.returncode == 0, found.stderr
    now = list(csv.DictReader(io.StringIO(found.stdout)))
    assert len(now) == len(then) == N
    for name in ("z_mahalanobis", "z_knn", "z_synthetic_linear", "z_context", "z_lstm_ae"):
        pairs = [(float(a[name]), float(b[name])) for a, b in zip(now, then, strict=True)]
        np.testing.assert_allclose(*zip(*pairs, strict=True), rtol=1e-5, atol=1e-5)
    assert {row["z_forest"] for row in now} == {""}  # PyOD's own code: said, and left out of the fusion
    assert {row["level"] for row in now} >= {"normal", "alarm"}
    capsys.readouterr()
    assert vibro(["export", str(tmp_path / "scored"), "--onnx", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert "holds no model: it was scored with another one" in said and f"name that one: {place / 'run'}" in said


def test_what_is_left_out_is_named_with_its_reason(place, capsys, tmp_path):
    assert vibro(["export", str(place / "run"), "--onnx", str(tmp_path / "again"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert list(told["left_out"]) == ["forest"] and "PyOD's own code" in told["left_out"]["forest"]
    assert {m["id"]: m["graph"] for m in told["members"]}["lstm_ae"] == "lstm_ae.onnx"
    assert max(m["difference"] for m in told["members"]) <= 1e-5 and told["difference"] <= 1e-5
    for name in told["bytes"]:  # the same model gives the same files
        assert (tmp_path / "again" / name).read_bytes() == (place / "out" / name).read_bytes()


def test_fused_scores_and_levels_are_those_without_what_is_left_out(place):
    assert alone(place / "out", "--check").returncode == 0
    spec = util.spec_from_file_location("exported", place / "out" / "score.py")
    script = util.module_from_spec(spec)
    spec.loader.exec_module(script)
    model = script.Model(place / "out")
    assert model.check() <= 1e-5
    model.about["cuts"]["alarm"] = model.about["cuts"]["attention"] = -1e9
    assert model.check() == np.inf  # another level
    model.arrays["fusion"]["weights"] = model.arrays["fusion"]["weights"] * 0
    assert model.check() == np.inf  # no score


def test_a_damaged_export_fails_its_check(place, tmp_path):
    for file in (place / "out").iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    with np.load(tmp_path / "arrays.npz") as kept:
        arrays = {name: kept[name] for name in kept.files}
    arrays["detectors/mahalanobis/centre"] = arrays["detectors/mahalanobis/centre"] + 1e-3
    np.savez(tmp_path / "arrays.npz", **arrays)
    found = alone(tmp_path, "--check")
    assert found.returncode == 1 and "largest difference" in found.stdout


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"fs": np.array(1000.0)}, "the sampling rate is 1000 Hz"),
        ({"fs": np.array(0.0)}, "no sampling rate is stated (--fs)"),
        ({"signals": np.zeros((N, 100), np.float32)}, "the model reads 1 x 512 samples"),
        ({"signals": np.full((N, SAMPLES), np.nan, np.float32)}, "record 0 holds values that are no numbers"),
    ],
)
def test_records_that_do_not_fit_are_refused(place, tmp_path, change, said):
    np.savez(tmp_path / "bad.npz", **{**records(), **change})
    found = alone(place / "out", str(tmp_path / "bad.npz"))
    assert found.returncode == 3 and said in found.stderr and "Traceback" not in found.stderr and not found.stdout


@pytest.mark.parametrize("name", ["arrays.npz", "model.json", "lstm_ae.onnx"])
@pytest.mark.parametrize("damage", [lambda data: data[: len(data) // 2], lambda data: b"no such thing", None])
def test_a_damaged_file_of_the_export_is_one_sentence(place, tmp_path, name, damage):
    for file in (place / "out").iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).unlink()
    if damage:
        (tmp_path / name).write_bytes(damage(content))
    found = alone(tmp_path, str(place / "data.npz"))
    assert (found.returncode, found.stdout) == (2, "")
    assert f"{name} is missing or damaged" in found.stderr and len(found.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("name", "content", "code", "said"),
    [
        ("records.csv", b"1,2,3\n", 2, "is none of .npy, .npz, .jsonl"),
        ("records.npz", b"PK\x03\x04 and no more", 3, "cannot be read"),
        ("records.jsonl", b"1,2,3\n", 3, "cannot be read"),
    ],
)
def test_a_file_that_holds_no_records_is_one_sentence(place, tmp_path, name, content, code, said):
    (tmp_path / name).write_bytes(content)
    found = alone(place / "out", str(tmp_path / name))
    assert found.returncode == code and said in found.stderr and len(found.stderr.splitlines()) == 1


def test_names_steer_neither_terminal_nor_spreadsheet(place, tmp_path):
    row = {"fs": FS, "signal_value": records()["signals"][0].tolist(), "covariates": {"load": 1.0}}
    names = ["=cmd|calc", "\x1b[2J", 'two\nlines "quoted"']
    (tmp_path / "odd.jsonl").write_text("".join(json.dumps({**row, "sensor_id": name}) + "\n" for name in names))
    found = alone(place / "out", str(tmp_path / "odd.jsonl"))
    assert found.returncode == 0 and len(found.stdout.splitlines()) == 1 + len(names)
    told = [line["sensor_id"] for line in csv.DictReader(io.StringIO(found.stdout))]
    assert told == ["'=cmd|calc", "\\x1b[2J", 'two\\nlines "quoted"']
    assert len(found.stderr.splitlines()) == 1 and "\x1b" not in found.stderr


def test_a_reader_that_ends_early_ends_the_script(place):
    command = [sys.executable, "-I", "-c", ALONE, str(place / "out" / "score.py"), str(place / "data.npz")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    process.stdout.close()
    assert process.stderr.read() == "" and process.wait() == 141


def test_the_folder_one_is_in_can_be_written(place, tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert vibro(["export", str(place / "run"), "--onnx", ".", "--quiet"]) == 0
    assert alone(tmp_path / "here", "--check").returncode == 0
    assert [path.name for path in tmp_path.iterdir()] == ["here"]


def test_a_classifier_that_is_not_in_the_script_is_said():
    fitted = SimpleNamespace(persistence=SimpleNamespace(on=False), marks=SimpleNamespace(ids=[]))
    assert export_module._notes(fitted, {}) == []
    (note,) = export_module._notes(fitted, {"classifier": {}})
    assert "classifier is not in the script" in note


def test_unknown_sensors_and_missing_covariates_are_said(place, tmp_path):
    line = {"sensor_id": "z", "fs": FS, "signal_value": records()["signals"][0].tolist()}
    (tmp_path / "one.jsonl").write_text(json.dumps(line) + "\n")
    found = alone(place / "out", str(tmp_path / "one.jsonl"))
    assert found.returncode == 0 and len(found.stdout.splitlines()) == 2
    assert "does not know sensor z" in found.stderr and "1 of 1 records lacks load" in found.stderr
    assert alone(place / "out", str(tmp_path / "none.jsonl")).returncode == 3
    assert alone(place / "out").returncode == 2


@pytest.mark.parametrize("isolated", [False, True])
def test_a_plugin_of_ones_own_gives_a_graph_unless_it_is_isolated(place, tmp_path, capsys, isolated):
    (tmp_path / "mine.py").write_text(MINE)
    (tmp_path / "two.toml").write_text(
        'detectors = [{ use = "mahalanobis", view = "spectrum" }, { use = "loud" }]\n'
        'fuser = { use = "weighted_mean" }\nthresholder = { use = "quantile" }\n'
    )
    own = ["--plugin", str(tmp_path / "mine.py")]
    argv = ["ensemble", "run", str(place / "data.npz"), "-o", str(tmp_path / "run"), "--no-report", "--quiet", *own]
    assert vibro([*argv, "--ensemble", str(tmp_path / "two.toml"), *(["--isolate"] if isolated else [])]) == 0
    capsys.readouterr()
    assert vibro(["export", str(tmp_path / "run"), "--onnx", str(tmp_path / "out"), "--json", *own]) == 0
    told = json.loads(capsys.readouterr().out)
    if isolated:
        assert "runs in a process of its own" in told["left_out"]["loud"]
    else:
        assert told["left_out"] == {} and {m["id"]: m["graph"] for m in told["members"]}["loud"] == "loud.onnx"
    assert alone(tmp_path / "out", "--check").returncode == 0


def test_nothing_is_written_over_what_is_there(place, capsys):
    assert vibro(["export", str(place / "run"), "--onnx", str(place / "out")]) == 2
    assert "out is there already" in capsys.readouterr().err


def test_no_run_and_no_extra_are_one_sentence(place, tmp_path, capsys, monkeypatch):
    assert vibro(["export", str(tmp_path), "--onnx", str(tmp_path / "out")]) == 6
    monkeypatch.setattr(export_module, "find_spec", lambda name: None)
    assert vibro(["export", str(place / "run"), "--onnx", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert "onnxruntime is not installed" in said and "pip install 'vibro[export]'" in said and "Traceback" not in said
    assert not (tmp_path / "out").exists()


def test_nothing_is_written_without_enough_members(place, tmp_path, capsys, monkeypatch):
    def wrong(self):
        return Exported({**self.state(), "centre": self.state()["centre"] + 1}, distances.mahalanobis)

    monkeypatch.setattr(Mahalanobis, "export", wrong)
    monkeypatch.setattr(LstmAe, "export", lambda self: 1 / 0)
    assert vibro(["export", str(place / "run"), "--onnx", str(tmp_path / "out")]) == 1
    said = capsys.readouterr().err
    assert "nothing was written" in said and "mahalanobis: exported it gives other scores" in said
    assert "lstm_ae: ZeroDivisionError: division by zero" in said and "Traceback" not in said
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_written_where_the_fused_scores_differ(place, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(Auto, "export", lambda self: Exported(self.state(), fusing.weighted_mean))
    assert vibro(["export", str(place / "run"), "--onnx", str(tmp_path / "out")]) == 1
    assert "other fused scores or levels than the model" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
