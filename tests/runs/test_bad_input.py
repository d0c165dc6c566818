"""Odd inputs: a stated result, or one clear sentence with the documented exit code, and no list of names that is empty."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from vibro.cli import run as vibro

FS, SAMPLES = 4096, 448


def pool(n: int, faults: int = 0, seed: int = 0) -> np.ndarray:
    """Tones in noise, the last ones with strong impacts."""
    rng = np.random.default_rng(seed)
    t = np.arange(SAMPLES) / FS
    x = np.sin(2 * np.pi * 200 * t + rng.uniform(0, 6, (n, 1))) + 0.3 * rng.standard_normal((n, SAMPLES))
    x[n - faults :] += 10 * (rng.random((faults, SAMPLES)) < 0.03)
    return x.astype(np.float32)


@pytest.fixture
def run(tmp_path, capsys):
    """run(signals, labels, *options) -> exit code, stdout, stderr; the run is at ``tmp_path / "out"``."""

    def call(x: np.ndarray, *more: str, labels: str = "") -> tuple[int, str, str]:
        np.savez(tmp_path / "pool.npz", signals=x, fs=float(FS), sensor_id=np.array(["a"] * len(x)))
        if labels:
            (tmp_path / "labels.csv").write_text(labels)
            more = (*more, "--labels", str(tmp_path / "labels.csv"))
        line = ["ensemble", "run", str(tmp_path / "pool.npz"), "-o", str(tmp_path / "out"), "--ensemble", "quick"]
        code = vibro([*line, "--detectors", "mahalanobis,knn", "--quiet", "--no-report", "--force", *more])
        said = capsys.readouterr()
        return code, said.out, said.err

    return call


def summary(tmp_path: Path) -> dict:
    return json.loads((tmp_path / "out" / "summary.json").read_text())


def labelled(n: int, faults: int) -> str:
    return "source,row,label\n" + "".join(f"pool.npz,{i},{int(i >= n - faults)}\n" for i in range(n))


@pytest.mark.parametrize("n", [1, 5, 19, 24])
def test_too_few_records_are_one_sentence(run, n):
    code, _, err = run(pool(n))
    assert code == 5 and err.count("needs at least 20 rows") == 1 and "mahalanobis, knn: needs" in err
    assert f"here it gets {n}" in err if n < 10 else f"of {n}, the others held out" in err
    assert len(err.strip().splitlines()) == 2  # the error and a hint


def test_records_that_are_all_invalid_are_one_sentence(run):
    code, _, err = run(np.tile(np.arange(60, dtype=np.float32)[:, None], (1, SAMPLES)))
    assert code == 3 and "nothing to fit on: no record is valid" in err and len(err.strip().splitlines()) == 2


def test_labels_for_unknown_records(run):
    code, _, err = run(pool(40), labels="source,row,label\nother.npz,3,1\n")
    assert code == 2 and "no row of labels.csv matches a record" in err
    strange = labelled(40, 2) + "pool.npz,77,1\n"
    code, _, err = run(pool(40, 2), labels=strange)
    assert code == 2 and "1 row of labels.csv matches no record, the first on line 42" in err
    code, _, err = run(pool(40, 2), "--labels-partial", labels=strange)
    assert code == 0


def test_a_pool_of_one_kind_has_no_ranking_and_says_so(run, tmp_path):
    code, out, _ = run(pool(60, 60), labels=labelled(60, 60))
    assert code == 0 and "Alarms as raised" in out
    found = summary(tmp_path)["metrics"]
    assert found["fused"]["roc_auc"] is None and found["alarms"]["all"]["false_alarm_rate"] is None
    assert sum(row["anomalous"] for row in found["alarms"]["all"]["confusion"].values()) == 60
    assert any("no labelled normal record" in text for text in found["warnings"])


def test_records_that_hardly_differ_give_at_most_one_alarm(run, tmp_path):
    x = np.tile(np.sin(0.3 * np.arange(SAMPLES)), (60, 1)) + 1e-6 * np.arange(60)[:, None]
    code, _, _ = run(x.astype(np.float32), "--fail-on", "alarm")
    alarms = summary(tmp_path)["levels"]["alarm"]
    assert alarms <= 1 and code == alarms  # of 60 records that differ by float32 rounding, one may lie farthest


def test_an_alarm_fails_where_asked_and_is_told_by_machine_and_metrics(run, tmp_path):
    x, labels = pool(186, 6), labelled(186, 6)
    assert run(x, "--fail-on", "alarm", labels=labels)[0] == 1
    found = summary(tmp_path)
    alarms = found["levels"]["alarm"]
    assert alarms and found["machines"] == {"normal": 0, "attention": 1, "alarm": 0, "invalid": 0, "indeterminate": 0}
    (machine,) = (tmp_path / "out" / "machines.csv").read_text().splitlines()[1:]
    assert machine.startswith(f"a,attention,isolated,,,{alarms},0,1,")
    raised = found["metrics"]["alarms"]["all"]
    assert raised["confusion"]["alarm"]["anomalous"] + raised["confusion"]["alarm"]["normal"] == alarms
    assert any(text.startswith(f"{alarms} records raise alarms too seldom") for text in found["warnings"])


def test_no_message_holds_an_empty_list_of_names(run, tmp_path):
    run(pool(60, 2), labels=labelled(60, 2))
    told = json.dumps(summary(tmp_path))
    assert not re.search(r"\(\s*\)|: ;|, ,|with ,|: ?\.|\bof ,", told)


def test_a_failed_run_is_told_as_such_by_whoever_reads_it(run, tmp_path, capsys):
    assert run(pool(12))[0] == 5
    out, data = str(tmp_path / "out"), str(tmp_path / "pool.npz")
    for words in (
        ["score", out, data, "-o", str(tmp_path / "scored")],
        ["report", out],
        ["explain", out, "0"],
        ["threshold", out],
        ["suggest", out],
        ["diff", out, out],
    ):
        assert vibro(words) == 6
        assert capsys.readouterr().err.startswith(f"error: {out} holds a run that is failed\n")


def test_a_scored_run_is_no_model(run, tmp_path, capsys):
    assert run(pool(60))[0] == 0
    data, scored = str(tmp_path / "pool.npz"), str(tmp_path / "scored")
    assert vibro(["score", str(tmp_path / "out"), data, "-o", scored, "--quiet", "--no-report"]) == 0
    capsys.readouterr()
    assert vibro(["score", scored, data, "-o", str(tmp_path / "again")]) == 2
    assert "holds no model: it was scored with another one" in capsys.readouterr().err
