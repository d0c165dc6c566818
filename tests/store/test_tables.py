"""Tables, events and manifest of a run, column by column."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys

import numpy as np
import pytest

from vibro.errors import ContractError, IncompatibleModelError, StateError
from vibro.events import DetectorFailed, StageStarted, TaskProgress
from vibro.io import files
from vibro.store import manifest, tables
from vibro.store.eventlog import EventLog


def scores(n: int = 5) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    time = np.datetime64("2024-03-01T00:00:00", "ns") + np.arange(n) * np.timedelta64(90_500, "ms")
    time[-1] = np.datetime64("NaT")
    score = rng.normal(size=n)
    score[0] = np.nan
    return {
        "record_id": np.array([f"{i:016x}" for i in range(n)]),
        "source": np.array(["a.jsonl"] * n),
        "row": np.arange(n),
        "sensor_id": np.array(["=cmd()", 'q"uo,te', "机\n1", "-5", ""] + ["s"] * (n - 5)),
        "data_time": time,
        "score": score,
        "persistent_score": score,
        "p_value": np.full(n, 1 / 3),
        "level": np.array(["indeterminate"] + ["normal"] * (n - 1)),
        "reason": np.array([""] * n),
        "agreement": np.full(n, -0.0),
        "confidence": np.full(n, 0.5),
        "z_ecod": rng.normal(size=n) * 1e-12,
        "z_=x,y": np.full(n, np.nan),
    }


def test_scores_csv_to_the_letter(tmp_path):
    tables.write_scores(tmp_path, scores())
    text = (tmp_path / "scores.csv").read_bytes().decode()
    assert "\r" not in text
    rows = list(csv.reader(io.StringIO(text, newline="")))
    assert rows[0] == [*tables.SCORE_COLUMNS, "z_ecod", "z_=x,y"]
    assert rows[1][:5] == [f"{0:016x}", "a.jsonl", "0", "'=cmd()", "2024-03-01T00:00:00Z"]
    assert rows[1][5:12] == ["", "", "0.333333333", "indeterminate", "", "0", "0.5"]
    assert [row[3] for row in rows[1:]] == ["'=cmd()", 'q"uo,te', "机\n1", "'-5", ""]
    assert rows[2][4] == "2024-03-01T00:01:30.5Z"
    assert rows[5][4] == ""
    assert [row[13] for row in rows[1:]] == [""] * 5
    assert float(rows[2][12]) == pytest.approx(scores()["z_ecod"][1], rel=1e-8)


def test_bom_for_excel(tmp_path):
    tables.write_scores(tmp_path, scores(), bom=True)
    assert (tmp_path / "scores.csv").read_bytes().startswith(b"\xef\xbb\xbfrecord_id,")
    assert next(tables.read_table(tmp_path / "scores.csv"))["record_id"] == f"{0:016x}"


def test_parquet_holds_the_same_rows_exactly(tmp_path):
    tables.write_scores(tmp_path, scores())
    back = tables.read_scores(tmp_path)
    assert list(back) == [*tables.SCORE_COLUMNS, "z_ecod", "z_=x,y"]
    for name, column in scores().items():
        np.testing.assert_array_equal(back[name], column)
    import pyarrow.parquet as pq

    table = pq.read_table(tmp_path / "scores.parquet")
    assert table.column("score").null_count == 1  # not available is null, not NaN
    assert str(table.schema.field("data_time").type) == "timestamp[ns, tz=UTC]"
    assert pq.ParquetFile(tmp_path / "scores.parquet").metadata.row_group(0).column(0).compression == "ZSTD"


def test_rows_come_sorted_and_bytes_are_equal(tmp_path):
    columns = scores(50)
    shuffled = np.random.default_rng(1).permutation(50)
    for name, picked in (("a", columns), ("b", {k: v[shuffled] for k, v in columns.items()})):
        (tmp_path / name).mkdir()
        tables.write_scores(tmp_path / name, picked)
    for name in ("scores.csv", "scores.parquet"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_empty_scores(tmp_path):
    tables.write_scores(tmp_path, {name: column[:0] for name, column in scores().items()})
    assert (tmp_path / "scores.csv").read_text().count("\n") == 1
    assert len(tables.read_scores(tmp_path)["score"]) == 0


def test_wrong_columns_are_refused(tmp_path):
    columns = scores()
    for wrong in (
        {**columns, "extra": columns["score"]},
        {k: v for k, v in columns.items() if k != "level"},
        {**columns, "score": columns["score"][:2]},
    ):
        with pytest.raises(ContractError):
            tables.write_scores(tmp_path, wrong)
    assert list(tmp_path.iterdir()) == []


MEMORY = """
import resource, sys
import numpy as np
from pathlib import Path
from vibro.store import tables
n = int(sys.argv[2])
text = np.full(n, "0123456789abcdef")
number = np.random.default_rng(0).normal(size=n)
names = ["score", "persistent_score", "p_value", "agreement", "confidence", *(f"z_{i}" for i in range(10))]
columns = {"record_id": text, "source": np.zeros(n, "U4"), "row": np.arange(n), "sensor_id": text[:],
           "data_time": np.zeros(n, "datetime64[ns]"), "level": np.zeros(n, "U6"),
           "reason": np.zeros(n, "U1"), **{k: number for k in names}}
tables.write_scores(Path(sys.argv[1]), columns)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_text(tmp_path):
    def peak(rows: int) -> int:
        done = subprocess.run([sys.executable, "-c", MEMORY, str(tmp_path), str(rows)], capture_output=True, check=True)
        return int(done.stdout)

    assert peak(300_000) - peak(70_000) <= 120  # MiB; the arrays themselves take 45


def test_quarantine_csv(tmp_path):
    finding = {
        "source": "a.jsonl",
        "row": 3,
        "line": 4,
        "byte_offset": -1,
        "code": "Q006",
        "reason": "bad_number",
        "disposition": "quarantined",
        "detail": "token 7",
        "excerpt": "\x1b[31m\u202e" + "x" * 300,
    }
    tables.write_quarantine(tmp_path, [finding])
    (row,) = tables.read_table(tmp_path / "quarantine.csv")
    assert list(row) == list(tables.QUARANTINE_COLUMNS)
    assert row["byte_offset"] == "" and row["row"] == "3" and row["record_id"] == ""
    assert row["excerpt"].startswith("\\x1b[31m\\u202exxx") and len(row["excerpt"]) == 120
    with pytest.raises(ContractError, match="colour"):
        tables.write_quarantine(tmp_path, [{**finding, "colour": "red"}])


def test_machines_csv(tmp_path):
    tables.write_machines(
        tmp_path,
        [
            {
                "machine_id": "T1",
                "level": "alarm",
                "since": np.datetime64("2024-03-01T05:00"),
                "sensors_alarm": np.int64(2),
                "sensors_total": 5,
                "score": np.float32(0.5),
                "confidence": float("nan"),
            }
        ],
    )
    lines = (tmp_path / "machines.csv").read_text().splitlines()
    assert lines == [
        "machine_id,level,reason,since,growth_per_day,records_alarm,sensors_alarm,sensors_total,score,confidence",
        "T1,alarm,,2024-03-01T05:00:00Z,,,2,5,0.5,",
    ]


def test_events_are_lines_of_json(tmp_path):
    with EventLog(tmp_path / "events.jsonl", now=lambda: "T") as log:
        log.on_event(StageStarted("fit", 3))
        log.on_event(TaskProgress("fit", "x", 1, 2))
        log.on_event(DetectorFailed("x", "p", "fit", "bad\nthing"))
        log.write("note", value=np.float64("nan"))
    lines = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    assert lines[0] == {"time": "T", "event": "StageStarted", "stage": "fit", "total": 3}
    assert [line["event"] for line in lines] == ["StageStarted", "DetectorFailed", "note"]
    assert lines[2]["value"] is None


@pytest.fixture
def run(tmp_path):
    tables.write_scores(tmp_path, scores())
    files.write_text(tmp_path / "summary.json", "{}")
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "manifest.json").write_text("{}")
    (tmp_path / "stages").mkdir()
    (tmp_path / "stages" / "x").write_text("x")
    built = manifest.build(tmp_path, command=["vibro"], status="complete", seed=0, decisions=[{"method": "quantile"}])
    manifest.write(tmp_path, built)
    return tmp_path


def test_manifest_names_every_public_file(run):
    got = manifest.verify(run)
    assert got["schema"] == 1 and got["seed"] == 0
    assert set(got["files"]) == {"scores.csv", "scores.parquet", "summary.json", "model/manifest.json"}
    assert {"python", "numpy", "torch", "pyod"} <= set(got["libraries"])
    assert set(got["machine"]) == {"system", "cpu", "cores", "gpu"}


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda f: (f / "scores.csv").write_text("x"), "scores.csv is damaged"),
        (lambda f: (f / "scores.csv").unlink(), "scores.csv is missing"),
        (lambda f: (f / "model" / "x").write_text("x"), "model/x is extra"),
        (lambda f: (f / "machines.csv").write_text("x"), "machines.csv is extra"),
        (lambda f: (f / "manifest.json").write_text("{"), "damaged"),
        (lambda f: (f / "manifest.json").write_text("[]"), "no schema"),
        (lambda f: (f / "manifest.json").unlink(), "has no manifest.json"),
    ],
)
def test_verify_finds_changes(run, change, word):
    change(run)
    with pytest.raises(StateError, match=word):
        manifest.verify(run)


def test_users_own_files_are_no_damage(run):
    (run / "notes.txt").write_text("mine")
    manifest.verify(run)


def test_newer_schema_is_incompatible(run):
    files.write_text(run / "manifest.json", '{"schema": 2}')
    with pytest.raises(IncompatibleModelError):
        manifest.read(run)


def test_decision_is_appended_and_hashes_refreshed(run):
    files.write_text(run / "summary.json", "{ }")
    got = manifest.with_decision(manifest.read(run), {"method": "mad", "budget": np.float64(0.05)})
    manifest.write(run, manifest.refresh(run, got, ["summary.json", "report.html"]))
    assert [d["method"] for d in manifest.verify(run)["decisions"]] == ["quantile", "mad"]
    with pytest.raises(ContractError):
        manifest.build(run, status="complete", wrong=1)


def test_a_name_like_a_formula_is_read_back_as_it_was(tmp_path):
    names = ["=1+1", "-5", "it's", "'quoted'", "@sum"]
    tables.write_table(tmp_path / "t.csv", ["sensor_id"], [{"sensor_id": name} for name in names], bom=False)
    assert "'=1+1" in (tmp_path / "t.csv").read_text()
    assert [row["sensor_id"] for row in tables.read_table(tmp_path / "t.csv")] == names
