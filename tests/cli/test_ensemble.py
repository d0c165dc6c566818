"""The commands as a user types them: results, exit codes, one clear sentence for everything that can be wrong."""

from __future__ import annotations

import csv
import gzip
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from vibro.cli import run as vibro
from vibro.simulate.simulate import simulate
from vibro.simulate.write import write
from vibro.store.lock import Lock

FAST = ["--ensemble", "quick", "--detectors", "mahalanobis", "--no-plugins"]


@pytest.fixture(scope="module")
def plant(tmp_path_factory):
    """120 simulated records of 1,024 samples with labels and covariates."""
    folder = tmp_path_factory.mktemp("plant")
    write(simulate(records=120, units=1, sensors=3, fs=1024, faults=0.08), folder)
    return folder


@pytest.fixture(scope="module")
def finished(plant, tmp_path_factory):
    """A finished run on the plant, to be copied by tests that change it."""
    out = tmp_path_factory.mktemp("runs") / "run"
    data, labels, cov = (str(plant / name) for name in ("data.jsonl", "labels.csv", "covariates.csv"))
    code = vibro(
        ["ensemble", "run", data, "-o", str(out), "--fs", "1024", "--labels", labels, "--covariates", cov, *FAST]
    )
    assert code == 0
    return out


def table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as handle:
        return list(csv.DictReader(handle))


def test_a_run_leaves_every_promised_file(finished, plant):
    names = {path.name for path in finished.iterdir()}
    promised = "manifest.json summary.json scores.csv scores.parquet quarantine.csv events.jsonl machines.csv report.html model"
    assert set(promised.split()) <= names
    rows = table(finished / "scores.csv")
    assert len(rows) == 120
    assert list(rows[0]) == [
        *"record_id source row sensor_id data_time score persistent_score p_value level reason agreement confidence".split(),
        "z_mahalanobis",
    ]
    assert [int(row["row"]) for row in rows] == list(range(120))
    summary = json.loads((finished / "summary.json").read_text())
    assert summary["status"] == "complete"
    assert summary["records"]["read"] == summary["records"]["accepted"] + summary["records"]["quarantined"] == 120
    assert sum(summary["levels"].values()) == 120
    assert 0 <= summary["metrics"]["fused"]["roc_auc"] <= 1
    manifest = json.loads((finished / "manifest.json").read_text())
    assert manifest["status"] == "complete" and manifest["rows"]["fit"] <= 120
    assert not (finished / "stages" / "10-ingest").exists()


def test_the_same_seed_gives_the_same_bytes(plant, finished, tmp_path):
    data, labels, cov = (str(plant / name) for name in ("data.jsonl", "labels.csv", "covariates.csv"))
    out = tmp_path / "again"
    assert (
        vibro(["ensemble", "run", data, "-o", str(out), "--fs", "1024", "--labels", labels, "--covariates", cov, *FAST])
        == 0
    )
    for name in ("scores.csv", "scores.parquet", "quarantine.csv"):
        assert (out / name).read_bytes() == (finished / name).read_bytes(), name
    tensors = sorted(p.relative_to(out) for p in (out / "model").rglob("*.safetensors"))
    assert tensors
    for name in tensors:
        assert (out / name).read_bytes() == (finished / name).read_bytes(), name


def test_labels_change_no_score(plant, finished, tmp_path):
    cov = str(plant / "covariates.csv")
    out = tmp_path / "blind"
    assert (
        vibro(
            ["ensemble", "run", str(plant / "data.jsonl"), "-o", str(out), "--fs", "1024", "--covariates", cov, *FAST]
        )
        == 0
    )
    assert (out / "scores.csv").read_bytes() == (finished / "scores.csv").read_bytes()


def test_one_record_scores_as_it_did_inside_the_run(plant, finished, tmp_path):
    lines = (plant / "data.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "one.jsonl").write_text(lines[17])
    cov = str(plant / "covariates.csv")
    out = tmp_path / "one"
    arguments = [str(finished), str(tmp_path / "one.jsonl"), "-o", str(out), "--fs", "1024", "--covariates", cov]
    assert vibro(["score", *arguments]) == 0
    alone, inside = table(out / "scores.csv")[0], table(finished / "scores.csv")[17]
    assert alone["record_id"] == inside["record_id"]
    for key in ("score", "z_mahalanobis", "p_value", "level"):
        assert alone[key] == inside[key], key
    assert not (out / "model").exists()


def test_scoring_refuses_other_data(plant, finished, tmp_path, capsys):
    text = (plant / "data.jsonl").read_text()
    assert vibro(["score", str(finished), str(plant / "data.jsonl"), "-o", str(tmp_path / "x"), "--fs", "2048"]) == 3
    assert "fs" in capsys.readouterr().err  # the data say 1024 themselves: every record is quarantined
    (tmp_path / "plain.jsonl").write_text(text.replace('"fs": 1024.0, ', "").replace('"fs": 1024, ', ""))
    assert (
        vibro(["score", str(finished), str(tmp_path / "plain.jsonl"), "-o", str(tmp_path / "y"), "--fs", "2048"]) == 9
    )
    assert "fs is 2048" in capsys.readouterr().err


def test_threshold_decides_anew_without_refitting(plant, finished, tmp_path, capsys):
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    before = (run / "scores.csv").read_bytes()
    assert vibro(["threshold", str(run), "--budget", "0.2", "--dry-run"]) == 0
    assert (run / "scores.csv").read_bytes() == before
    assert vibro(["threshold", str(run), "--budget", "0.2"]) == 0
    summary = json.loads((run / "summary.json").read_text())
    assert summary["thresholds"]["budget"]["alarm"] == 0.2
    old = json.loads((finished / "summary.json").read_text())
    assert summary["levels"]["alarm"] > old["levels"]["alarm"]
    assert [row["score"] for row in table(run / "scores.csv")] == [
        row["score"] for row in table(finished / "scores.csv")
    ]
    manifest = json.loads((run / "manifest.json").read_text())
    assert len(manifest["decisions"]) == 2
    cov = str(plant / "covariates.csv")
    out = tmp_path / "scored"  # the model goes on with the new cuts
    assert vibro(["score", str(run), str(plant / "data.jsonl"), "-o", str(out), "--covariates", cov, "--quiet"]) == 0
    assert [row["level"] for row in table(out / "scores.csv")] == [row["level"] for row in table(run / "scores.csv")]
    assert json.loads((out / "summary.json").read_text())["thresholds"]["budget"] == summary["thresholds"]["budget"]
    assert vibro(["threshold", str(run), "--labels", "nowhere.csv"]) == 2
    assert vibro(["threshold", str(tmp_path / "nowhere")]) == 2
    assert vibro(["report", str(run)]) == 0
    capsys.readouterr()
    assert vibro(["threshold", str(run), "--method", "mad", "-o", str(tmp_path / "copy"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["method"] == "mad"
    assert (tmp_path / "copy" / "model").is_dir()


def test_scoring_never_changes_the_model(plant, finished, tmp_path, capsys):
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    before = {p: p.read_bytes() for p in run.rglob("*") if p.is_file()}
    for out in (run, run / "model", run / "model" / "x"):
        assert vibro(["score", str(run), str(plant / "data.jsonl"), "-o", str(out), "--force"]) == 2
        assert "choose another -o" in capsys.readouterr().err
    assert before == {p: p.read_bytes() for p in run.rglob("*") if p.is_file()}


def test_a_wrong_option_leaves_what_the_user_laid_into_out(plant, tmp_path):
    out = tmp_path / "o"
    out.mkdir()
    (out / "notes.txt").write_text("mine")
    assert vibro(["ensemble", "run", str(plant / "data.jsonl"), "-o", str(out), "--fs", "1024", *FAST]) == 2
    assert (out / "notes.txt").read_text() == "mine"


def test_a_damaged_run_is_refused(finished, tmp_path, capsys):
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    with (run / "scores.csv").open("a") as handle:
        handle.write("x\n")
    assert vibro(["threshold", str(run), "--budget", "0.2"]) == 6
    assert "scores.csv is damaged" in capsys.readouterr().err
    tensor = next((run / "model").rglob("*.safetensors"))
    tensor.write_bytes(tensor.read_bytes()[:-1] + b"\xff")
    assert vibro(["score", str(run), "nothing.jsonl", "-o", str(tmp_path / "y")]) in (3, 6)


def test_a_finished_run_is_not_overwritten(plant, finished, tmp_path, capsys):
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    arguments = ["ensemble", "run", str(plant / "data.jsonl"), "-o", str(run), "--fs", "1024", *FAST]
    assert vibro(arguments) == 2
    assert "--force" in capsys.readouterr().err
    assert vibro([*arguments, "--force"]) == 0


def test_a_directory_in_use_is_exit_7(plant, tmp_path, capsys):
    out = tmp_path / "busy"
    out.mkdir()
    code = (
        "import time; from pathlib import Path; from vibro.store.lock import Lock\n"
        f"held = Lock.acquire(Path({str(out)!r})); print('held', flush=True); time.sleep(60)"
    )
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    try:
        assert child.stdout.readline() == b"held\n"
        assert vibro(["ensemble", "run", str(plant / "data.jsonl"), "-o", str(out), "--fs", "1024", *FAST]) == 7
        assert f"process {child.pid}" in capsys.readouterr().err
    finally:
        child.kill()
        child.wait()
    held = Lock.acquire(out)  # the kernel gave it back
    held.release(out)


def _lines(plant: Path) -> list[str]:
    return (plant / "data.jsonl").read_text().splitlines(keepends=True)


def _with_nan(plant: Path) -> str:
    lines = _lines(plant)
    record = json.loads(lines[60])
    record["signal_value"] = "NaN," + record["signal_value"].split(",", 1)[1]
    return "".join([*lines[:60], json.dumps(record) + "\n", *lines[61:]])


def _wrong_length(plant: Path) -> str:
    lines = _lines(plant)
    record = json.loads(lines[60])
    record["signal_value"] += ",0.1"
    return "".join([*lines[:60], json.dumps(record) + "\n", *lines[61:]])


@pytest.mark.parametrize(
    ("spoil", "expected", "quarantined"),
    [
        (lambda plant: "".join(_lines(plant))[:-700], 0, 1),
        (_with_nan, 0, 1),
        (_wrong_length, 0, 1),
        (lambda plant: "", 3, 0),
        (lambda plant: "nonsense\n", 3, 1),
    ],
    ids=["truncated", "nan", "wrong length", "empty", "nonsense"],
)
def test_bad_data_cost_only_themselves(plant, tmp_path, capsys, spoil, expected, quarantined):
    (tmp_path / "bad.jsonl").write_text(spoil(plant))
    out = tmp_path / "out"
    code = vibro(["ensemble", "run", str(tmp_path / "bad.jsonl"), "-o", str(out), "--fs", "1024", *FAST])
    captured = capsys.readouterr()
    assert code == expected
    assert "Traceback" not in captured.err
    rows = [row for row in table(out / "quarantine.csv") if row["disposition"] == "quarantined"] if code == 0 else []
    if code == 0:
        assert len(rows) == quarantined
        assert len(table(out / "scores.csv")) == 120 - quarantined
    else:
        assert captured.err.count("error:") == 1


def test_too_much_quarantine_is_exit_4_with_its_evidence(plant, tmp_path, capsys):
    lines = _lines(plant)
    (tmp_path / "half.jsonl").write_text("".join(lines[:60]) + "broken\n" * 30)
    out = tmp_path / "out"
    assert vibro(["ensemble", "run", str(tmp_path / "half.jsonl"), "-o", str(out), "--fs", "1024", *FAST]) == 4
    assert len(table(out / "quarantine.csv")) >= 30
    assert json.loads((out / "manifest.json").read_text())["status"] == "failed"
    assert "33.3%" in capsys.readouterr().err


@pytest.mark.parametrize("count", [1, 5, 20, 60])
def test_small_inputs_give_a_result_or_one_sentence(plant, tmp_path, capsys, count):
    (tmp_path / "few.jsonl").write_text("".join(_lines(plant)[:count]))
    code = vibro(
        [
            "ensemble",
            "run",
            str(tmp_path / "few.jsonl"),
            "-o",
            str(tmp_path / "o"),
            "--fs",
            "1024",
            "--ensemble",
            "quick",
        ]
    )
    error = capsys.readouterr().err
    if code == 0:
        assert len(table(tmp_path / "o" / "scores.csv")) == count
    else:
        assert code == 5 and "needs at least" in error and error.count("error:") == 1
    assert (code == 0) == (count >= 60) or count == 20


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--ensemble", "quik"], 2, "did you mean quick?"),
        (["--detectors", "mahalanobi"], 2, "did you mean mahalanobis?"),
        (["--set", "mahalanobis.trimm=0.1"], 2, "unknown parameter"),
        (["--set", "mahalanobis"], 2, "DETECTOR.PARAMETER=VALUE"),
        (["--fit-on", "normal"], 2, "needs --labels"),
        (["--fit-on", "some"], 2, "use all, normal, split:NAME, first:0.2"),
        (["--budget", "0"], 2, "no share between 0 and 1"),
        (["--device", "cuda:7"], 2, "no GPU"),
        (["--executor", "threads"], 2, "unknown executor"),
        (["--memory", "lots"], 2, "no size"),
        (["--fail-on", "panic"], 2, "attention or alarm"),
        (["--labels", "nowhere.csv"], 2, "nowhere.csv"),
        (["--covariates", "nowhere.csv"], 2, "nowhere.csv"),
        (["--registry", "nowhere.toml"], 2, "nowhere.toml"),
        (["--nonsense"], 2, "No such option"),
        (["--plugin", "nowhere.py"], 5, "no such plugin file"),
    ],
)
def test_a_wrong_option_is_one_sentence(plant, tmp_path, capsys, arguments, code, said):
    line = [
        "ensemble",
        "run",
        str(plant / "data.jsonl"),
        "-o",
        str(tmp_path / "o"),
        "--fs",
        "1024",
        "--ensemble",
        "quick",
    ]
    assert vibro([*line, *arguments]) == code
    error = capsys.readouterr().err
    assert said in error and error.count("error:") == 1 and "Traceback" not in error


def test_fail_on_alarm_is_exit_1(plant, tmp_path):
    line = [
        "ensemble",
        "run",
        str(plant / "data.jsonl"),
        "-o",
        str(tmp_path / "o"),
        "--fs",
        "1024",
        *FAST,
        "--no-report",
    ]
    assert vibro([*line, "--budget", "0.1", "--fail-on", "attention"]) == 1
    assert not (tmp_path / "o" / "report.html").exists()


def test_json_prints_one_object_on_stdout(plant, tmp_path):
    line = [sys.executable, "-m", "vibro", "ensemble", "run", str(plant / "data.jsonl"), "-o", str(tmp_path / "o")]
    done = subprocess.run([*line, "--fs", "1024", *FAST, "--json"], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["status"] == "complete"
    for row in done.stderr.splitlines():
        assert "event" in json.loads(row)


def test_interrupt_leaves_no_lock_and_says_so(plant, tmp_path):
    import signal
    import time

    out = tmp_path / "o"
    line = [sys.executable, "-m", "vibro", "ensemble", "run", str(plant / "data.jsonl"), "-o", str(out), "--fs", "1024"]
    for number, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
        child = subprocess.Popen(
            [*line, "--ensemble", "quick"],
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a test run in the background ignores it
        )
        while not (out / "events.jsonl").exists() or "StageStarted" not in (out / "events.jsonl").read_text():
            assert child.poll() is None
            time.sleep(0.02)
        child.send_signal(number)
        _, error = child.communicate(timeout=60)
        assert child.returncode == code, error
        assert "Traceback" not in error
        assert json.loads((out / "manifest.json").read_text())["status"] == "interrupted"
        assert not (out / ".vibro.lock.json").exists()
        shutil.rmtree(out)


@pytest.mark.slow
def test_a_training_that_was_killed_goes_on_after_its_last_epoch(tmp_path):
    import time

    write(simulate(records=180, units=1, sensors=3, fs=1024), tmp_path / "data")

    def command(out):
        run = [
            sys.executable,
            "-m",
            "vibro",
            "ensemble",
            "run",
            str(tmp_path / "data" / "data.jsonl"),
            "-o",
            str(out),
            "--fs",
            "1024",
        ]
        return [*run, "--ensemble", "default", "--detectors", "deep_svdd", "--executor", "serial", "--quiet"]

    whole, broken = tmp_path / "whole", tmp_path / "broken"
    subprocess.run(command(whole), check=True, timeout=250)
    child = subprocess.Popen(command(broken))
    while not list(broken.glob("stages/**/fits/**/*.npz")):
        assert child.poll() is None
        time.sleep(0.01)
    child.kill()
    assert child.wait(timeout=60) == -9
    subprocess.run([*command(broken), "--resume"], check=True, timeout=250)
    assert (broken / "scores.csv").read_bytes() == (whole / "scores.csv").read_bytes()
    assert not list(broken.glob("**/fits/**/*.npz"))


@pytest.mark.slow
def test_learners_of_disturbed_copies_give_the_same_bytes_in_worker_processes(plant, tmp_path):
    for where in ("serial", "processes:2"):
        line = ["ensemble", "run", str(plant / "data.jsonl"), "-o", str(tmp_path / where[:6]), "--fs", "1024"]
        line += ["--ensemble", "default", "--detectors", "mahalanobis,synthetic_linear,deep_svdd"]
        assert vibro([*line, "--executor", where, "--no-report", "--quiet"]) == 0
    alone, side_by_side = ((tmp_path / name / "scores.csv").read_bytes() for name in ("serial", "proces"))
    assert alone == side_by_side and b"z_deep_svdd" in alone and b"z_synthetic_linear" in alone
    events = [json.loads(line) for line in (tmp_path / "serial" / "events.jsonl").read_text().splitlines()]
    (told,) = [event for event in events if event["event"] == "DetectorTrained"]
    summary, manifest = (
        json.loads((tmp_path / "serial" / f"{name}.json").read_text()) for name in ("summary", "manifest")
    )
    (loss,) = [d["loss"] for d in summary["detectors"] if d["id"] == "deep_svdd"]
    assert told["detector"] == "deep_svdd" and len(told["loss"]) >= 2 and told["loss"] == loss
    ids = {row["record_id"] for row in table(tmp_path / "serial" / "scores.csv")}
    stopped = manifest["rows"]["stopped_on"]["deep_svdd"]
    assert 3 <= len(stopped) == told["rows"] and set(stopped) <= ids


def test_ensembles_are_listed_and_shown(capsys):
    assert vibro(["ensemble", "list", "--json"]) == 0
    names = {row["name"] for row in json.loads(capsys.readouterr().out)["ensembles"]}
    assert {"quick", "default"} <= names
    assert vibro(["ensemble", "show", "quick"]) == 0
    assert "mahalanobis" in capsys.readouterr().out


def test_show_toml_can_be_run_again(capsys, tmp_path, plant):
    assert vibro(["ensemble", "show", "quick", "--toml"]) == 0
    (tmp_path / "mine.toml").write_text(capsys.readouterr().out)
    line = ["ensemble", "run", str(plant / "data.jsonl"), "-o", str(tmp_path / "o"), "--fs", "1024"]
    assert vibro([*line, "--ensemble", str(tmp_path / "mine.toml"), "--detectors", "mahalanobis"]) == 0


def test_the_demo_makes_data_and_report(tmp_path):
    assert vibro(["demo", "-o", str(tmp_path / "demo"), "--records", "60", "--quiet"]) == 0
    assert {"data", "report.html", "scores.csv"} <= {p.name for p in (tmp_path / "demo").iterdir()}
    assert vibro(["demo", "-o", str(tmp_path / "demo"), "--records", "60", "--quiet"]) == 2
    assert vibro(["demo", "-o", str(tmp_path / "demo"), "--records", "60", "--quiet", "--force"]) == 0


def test_real_recordings_run_and_score_alike(test_data, tmp_path):
    sample = test_data / "adi_motor" / "sample.jsonl.gz"
    out = tmp_path / "run"
    line = ["ensemble", "run", str(sample), "-o", str(out), "--ensemble", "quick", "--fs", "10000"]
    assert vibro([*line, "--labels", str(test_data / "adi_motor" / "labels.csv")]) == 0
    one = tmp_path / "one"
    record = test_data / "adi_motor" / "example_record.json"
    assert vibro(["score", str(out), str(record), "-o", str(one), "--fs", "10000"]) == 0
    alone = table(one / "scores.csv")[0]
    inside = next(row for row in table(out / "scores.csv") if row["record_id"] == alone["record_id"])
    assert alone["score"] == inside["score"] and alone["level"] == inside["level"]


def test_gzip_and_plain_text_give_the_same_scores(plant, finished, tmp_path):
    with gzip.open(tmp_path / "data.jsonl.gz", "wb") as handle:
        handle.write((plant / "data.jsonl").read_bytes())
    cov = str(plant / "covariates.csv")
    out = tmp_path / "o"
    assert (
        vibro(
            [
                "ensemble",
                "run",
                str(tmp_path / "data.jsonl.gz"),
                "-o",
                str(out),
                "--fs",
                "1024",
                "--covariates",
                cov,
                *FAST,
            ]
        )
        == 0
    )
    ours = [row["score"] for row in table(out / "scores.csv")]
    assert ours == [row["score"] for row in table(finished / "scores.csv")]


def test_help_imports_nothing_heavy():
    code = (
        "import sys\nfrom vibro.cli import run\nrun(['--help'])\n"
        "heavy = {'numpy', 'torch', 'pyod', 'sklearn', 'pydantic', 'pyarrow', 'scipy', 'numba'} & set(sys.modules)\n"
        "sys.exit(f'loaded {heavy}' if heavy else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=dict(os.environ), check=False
    )
    assert done.returncode == 0, done.stderr


def test_scores_do_not_depend_on_the_number_of_threads(plant, tmp_path):
    found = []
    for threads in ("1", "2"):
        env = {**os.environ, "OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads}
        out = tmp_path / threads
        line = [
            sys.executable,
            "-m",
            "vibro",
            "ensemble",
            "run",
            str(plant / "data.jsonl"),
            "-o",
            str(out),
            "--fs",
            "1024",
        ]
        subprocess.run([*line, *FAST, "--quiet"], check=True, env=env, stdout=subprocess.DEVNULL)
        found.append(np.array([float(row["score"]) for row in table(out / "scores.csv")]))
    np.testing.assert_allclose(found[0], found[1], rtol=1e-5)
