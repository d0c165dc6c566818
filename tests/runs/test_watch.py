"""``vibro watch``: every record once and as a batch would score it, whatever happens to files and to the watch itself."""

from __future__ import annotations

import csv
import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from vibro.cli import run as vibro
from vibro.errors import ConfigError, LockedError, ResourceError, StateError, VibroError
from vibro.runs.arrivals import Arrivals
from vibro.runs.deliver import Deliver
from vibro.runs.hosts import open_host
from vibro.runs.watch import WatchOptions, watch
from vibro.store.journal import Journal
from vibro.store.lock import Lock

FS, SAMPLES = 4096, 448


def line(i: int, gain: float = 1.0, sensor: str = "a", samples: int = SAMPLES, **more) -> str:
    rng = np.random.default_rng(i)
    x = np.sin(2 * np.pi * 200 * np.arange(samples) / FS + rng.uniform(0, 6)) + 0.3 * rng.standard_normal(samples)
    stamp = f"{np.datetime64('2024-01-01T00:00:00') + np.timedelta64(i, 'h')}Z"
    item = {"sensor_id": sensor, "data_time": stamp, "signal_value": np.round(gain * x, 5).tolist(), "fs": FS, **more}
    return json.dumps(item) + "\n"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    (folder / "fit.jsonl").write_text("".join(line(i) for i in range(100)))
    argv = ["ensemble", "run", str(folder / "fit.jsonl"), "-o", str(folder / "run"), "--ensemble", "quick"]
    assert vibro([*argv, "--detectors", "mahalanobis", "--no-report", "--quiet"]) == 0
    return folder / "run"


@pytest.fixture
def inbox(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    return folder


@pytest.fixture
def look(model, inbox, tmp_path):
    """Scores what rests, as ``--once`` does; gives what was done, the events and the notes."""

    def call(patience: float = 1e9, **more):
        events, notes = [], []
        options = WatchOptions(inbox, model, tmp_path / "out", once=True, settle=0.0, patience=patience, **more)
        done = watch(open_host(notes.append), options, notes.append, events.append)
        return done, events, notes

    return call


def rows(path: Path) -> list[dict[str, str]]:
    if not path.exists():
        return []
    with path.open(newline="") as handle:
        return list(csv.DictReader(handle))


def scored(tmp_path) -> list[str]:
    return [f"{row['source']}:{row['row']}" for row in rows(tmp_path / "out" / "scores.csv")]


def test_records_are_scored_once_in_order_as_a_batch_scores_them(look, model, inbox, tmp_path):
    for i in range(12):
        (inbox / f"r{i}.jsonl").write_text(line(200 + i, gain=4.0 if i == 5 else 1.0))
    assert look()[0].records == 12
    (inbox / "later.jsonl").write_text(line(300) + line(301))
    assert look()[0].records == 2 and look()[0].records == 0
    assert scored(tmp_path) == [f"r{i}.jsonl:0" for i in range(12)] + ["later.jsonl:0", "later.jsonl:1"]
    assert vibro(["score", str(model), str(inbox), "-o", str(tmp_path / "batch"), "--no-report", "--quiet"]) == 0
    batch = {row["record_id"]: row for row in rows(tmp_path / "batch" / "scores.csv")}
    assert {row["record_id"]: row for row in rows(tmp_path / "out" / "scores.csv")} == batch


def test_a_folder_parted_by_time_costs_only_what_is_new(look, model, inbox, tmp_path):
    def write(name: str, numbers: range) -> None:
        items = [json.loads(line(i)) for i in numbers]
        path = inbox / name
        path.parent.mkdir(parents=True, exist_ok=True)
        parquet.write_table(pa.Table.from_pylist(items), path)

    write("year=2024/month=1/part-0.parquet", range(200, 206))
    assert look()[0].records == 6
    write("year=2024/month=2/part-0.parquet", range(800, 803))
    done = look()[0]
    assert (done.files, done.records) == (1, 3)
    write("year=2024/month=2/part-0.parquet", range(800, 804))  # written anew, with one more
    done = look()[0]
    assert (done.files, done.records) == (1, 1) and look()[0].files == 0
    command = ["score", str(model), str(inbox), "-o", str(tmp_path / "batch"), "--no-report", "--quiet"]
    assert vibro(command) == 0
    batch = {row["record_id"]: row for row in rows(tmp_path / "batch" / "scores.csv")}
    assert {row["record_id"]: row for row in rows(tmp_path / "out" / "scores.csv")} == batch


def test_a_line_that_is_half_written_waits_for_its_end(look, inbox, tmp_path):
    whole = line(200)
    (inbox / "a.jsonl").write_text(whole + line(201)[:300])
    done, _, _ = look()
    assert done.waiting == 1 and scored(tmp_path) == []
    (inbox / "a.jsonl").write_text(whole + line(201))
    assert look()[0].records == 2


def test_an_archive_that_is_half_written_waits_for_its_end(look, inbox, tmp_path):
    x = np.stack([json.loads(line(i))["signal_value"] for i in (200, 201)])
    np.savez(tmp_path / "whole.npz", signals=x, fs=float(FS), sensor_id=["a", "a"])
    content = (tmp_path / "whole.npz").read_bytes()
    (inbox / "a.npz").write_bytes(content[: len(content) // 2])
    done, _, notes = look()
    assert done.records == 0 and "not wholly readable" in notes[0]
    (inbox / "a.npz").write_bytes(content)
    assert look()[0].records == 2


def test_a_file_that_grows_gives_its_new_records_only(look, inbox, tmp_path):
    (inbox / "a.jsonl").write_text(line(200))
    look()
    with (inbox / "a.jsonl").open("a") as handle:
        handle.write(line(201))
    assert look()[0].records == 1 and scored(tmp_path) == ["a.jsonl:0", "a.jsonl:1"]


def test_what_stays_broken_is_taken_as_it_is_after_the_patience(look, inbox, tmp_path):
    (inbox / "a.jsonl").write_text(line(200) + line(201)[:300])
    done, _, _ = look(patience=0.0)
    assert done.records == 1 and done.waiting == 0
    (found,) = rows(tmp_path / "out" / "quarantine.csv")
    assert (found["source"], found["disposition"]) == ("a.jsonl", "quarantined")
    assert look(patience=0.0)[0].files == 0 and len(rows(tmp_path / "out" / "quarantine.csv")) == 1


def test_a_record_that_does_not_fit_the_model_is_quarantined_with_the_reason(look, inbox, tmp_path):
    (inbox / "a.jsonl").write_text(line(200) + line(201, samples=300) + line(202).replace("4096", "5000"))
    (inbox / "b.jsonl").write_text(line(203, samples=300))
    (inbox / "c.txt").write_text("no data\n")
    assert look(patience=0.0)[0].records == 1
    codes = {(row["source"], row["code"]) for row in rows(tmp_path / "out" / "quarantine.csv")}
    assert {("a.jsonl", "Q008"), ("a.jsonl", "Q013"), ("b.jsonl", "Q008")} <= codes


def test_channels_that_do_not_fit_are_quarantined_and_the_watch_goes_on(look, inbox, tmp_path):
    x = np.random.default_rng(0).standard_normal((2, 3, SAMPLES))
    np.savez(inbox / "a.npz", signals=x, fs=float(FS))
    (inbox / "b.jsonl").write_text(line(200))
    assert look(patience=0.0)[0].records == 1
    (found,) = rows(tmp_path / "out" / "quarantine.csv")
    assert found["source"] == "a.npz" and "channels is 3" in found["detail"]


def test_the_same_record_in_another_file_is_quarantined(look, inbox, tmp_path):
    (inbox / "a.jsonl").write_text(line(200))
    look()
    (inbox / "b.jsonl").write_text(line(200) + line(201))
    assert look()[0].records == 1
    (found,) = rows(tmp_path / "out" / "quarantine.csv")
    assert (found["code"], found["source"], found["detail"]) == ("Q012", "b.jsonl", "the same record as in a.jsonl")


def test_replaced_deleted_and_hidden_files(look, inbox, tmp_path):
    (inbox / "a.jsonl").write_text(line(200))
    (inbox / ".half.jsonl").write_text(line(201))
    look()
    (inbox / "other").write_text(line(202))
    (inbox / "other").rename(inbox / "a.jsonl")
    (inbox / "b.jsonl").symlink_to(inbox / ".half.jsonl")
    assert look()[0].records == 1
    (inbox / "a.jsonl").unlink()
    assert look()[0].files == 0 and scored(tmp_path) == ["a.jsonl:0", "a.jsonl:0"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_told_and_taken_once_it_may(look, inbox, tmp_path):
    (inbox / "a.jsonl").write_text(line(200))
    (inbox / "a.jsonl").chmod(0)
    assert look(patience=0.0)[0].records == 0 and rows(tmp_path / "out" / "quarantine.csv")[0]["code"] == "Q020"
    (inbox / "a.jsonl").chmod(0o644)
    assert look()[0].records == 1


def test_an_alarm_that_persists_is_told_once_and_its_end_too(look, inbox, tmp_path):
    for i in range(20):
        (inbox / f"r{i:02d}.jsonl").write_text(line(200 + i, gain=6.0 if 4 <= i < 12 or i == 17 else 1.0))
    _, events, _ = look()
    assert next((e["before"], e["level"]) for e in events) == ("normal", "alarm")
    assert [e["level"] for e in events if e["level"] in ("alarm", "normal")] == ["alarm", "normal"]
    written = [json.loads(text) for text in (tmp_path / "out" / "alarms.jsonl").read_text().splitlines()]
    assert [e["level"] for e in written] == [e["level"] for e in events] and written[0]["machine_id"] == "a"
    assert written[0]["since"].startswith("2024-01-09T12")


def test_an_alarm_that_begins_and_ends_within_one_file_is_told(look, inbox):
    (inbox / "day.jsonl").write_text("".join(line(200 + i, gain=6.0 if 4 <= i < 12 else 1.0) for i in range(24)))
    _, events, _ = look()
    assert [e["level"] for e in events if e["level"] in ("alarm", "normal")] == ["alarm", "normal"]


def test_scores_that_are_no_longer_those_of_the_fit_are_told(look, inbox):
    for k in range(2):
        (inbox / f"r{k}.jsonl").write_text(
            "".join(line(1000 + 200 * k + i, gain=1.06 if k else 1.0) for i in range(200))
        )
    _, events, _ = look()
    drifts = [e for e in events if e["event"] == "drift"]
    assert [(e["sensor_id"], e["records"]) for e in drifts] == [("a", 200)]
    assert drifts[0]["above"] > 0.65 and "fit again" in drifts[0]["proposal"]


@pytest.mark.parametrize("where", ["inside", "a run", "something else", "no folder"])
def test_a_place_that_cannot_be_is_an_error_before_any_work(where, model, inbox, tmp_path):
    out = {"inside": inbox / "out", "a run": model, "something else": tmp_path / "x"}.get(where, tmp_path / "out")
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "letter.txt").write_text("mine")
    folder = tmp_path / "gone" if where == "no folder" else inbox
    with pytest.raises(ConfigError):
        watch(open_host(print), WatchOptions(folder, model, out, once=True), print, print)


def test_another_model_or_a_second_watch_is_refused(look, inbox, model, tmp_path):
    look()
    lock = Lock.acquire(tmp_path / "out")
    with pytest.raises(LockedError):
        look()
    lock.release(tmp_path / "out")
    base = Journal(tmp_path / "out", {})
    with base.transaction() as change:
        change.run("UPDATE meta SET value = 'other' WHERE name = 'fit'")
    base.close()
    with pytest.raises(ConfigError, match="begun with another fit"):
        look()


def test_a_model_with_new_cuts_counts_from_the_next_look_on(look, model, inbox, tmp_path):
    shutil.copytree(model, tmp_path / "copy")
    (inbox / "a.jsonl").write_text(line(200))
    changed = []

    def wait(seconds: float) -> None:
        if not changed:
            assert vibro(["threshold", str(tmp_path / "copy"), "--budget", "0.2", "--quiet"]) == 0
            changed.append(True)

    notes = []
    options = WatchOptions(inbox, tmp_path / "copy", tmp_path / "out", once=True, settle=0.0)
    assert watch(open_host(print), options, notes.append, print, wait).records == 1
    assert notes == ["the model has other cuts, marks or baselines now: they count from here on"]
    assert watch(open_host(print), options, print, print).files == 0  # the same fit: the journal goes on


def test_a_table_that_lost_lines_is_damaged(look, inbox, tmp_path):
    (inbox / "a.jsonl").write_text(line(200))
    look()
    (tmp_path / "out" / "scores.csv").write_text("")
    with pytest.raises(StateError, match=r"scores\.csv is damaged"):
        look()
    (tmp_path / "out" / "journal.sqlite").write_bytes(b"nonsense" * 100)
    with pytest.raises(StateError, match="damaged"):
        look()


def test_a_transaction_leaves_all_or_nothing(tmp_path):
    journal = Journal(tmp_path, {})
    with journal.transaction() as change:
        change.append("t.csv", b"h\n", b"1\n")
    with pytest.raises(RuntimeError), journal.transaction() as change:
        change.append("t.csv", b"h\n", b"2\n")
        change.append("u.csv", b"h\n", b"2\n")
        raise RuntimeError
    assert (tmp_path / "t.csv").read_bytes() == b"h\n1\n" and (tmp_path / "u.csv").read_bytes() == b""
    with (tmp_path / "t.csv").open("ab") as handle:
        handle.write(b"killed between the table and its co")
    journal.close()
    Journal(tmp_path, {}).close()
    assert (tmp_path / "t.csv").read_bytes() == b"h\n1\n"


def test_a_full_disk_ends_the_watch_and_loses_nothing(look, inbox, tmp_path, monkeypatch):
    (inbox / "a.jsonl").write_text(line(200))
    look()
    (inbox / "b.jsonl").write_text(line(201))

    real = os.fsync

    def full(handle: int) -> None:
        if os.readlink(f"/proc/self/fd/{handle}").endswith("scores.csv"):
            raise OSError(errno.ENOSPC, "No space left on device")
        real(handle)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(ResourceError, match=r"scores\.csv: No space left"):
            look()
    assert scored(tmp_path) == ["a.jsonl:0"]
    assert look()[0].records == 1 and scored(tmp_path) == ["a.jsonl:0", "b.jsonl:0"]


def test_a_file_must_rest_and_one_that_never_does_is_named_once(tmp_path):
    clock = [0.0]
    arrivals = Arrivals(tmp_path, lambda source: "", settle=2.0, patience=10.0, now=lambda: clock[0])
    found, restless = [], []
    for second in range(16):
        clock[0] = float(second)
        (tmp_path / "grows.csv").write_text("x" * second)
        if second == 0:
            (tmp_path / "rests.csv").write_text("x")
        found += [(second, source, late) for _, source, _, late in arrivals.look()]
        restless += arrivals.restless()
    assert found == [(2, "rests.csv", False), (10, "rests.csv", True), *[(s, "rests.csv", True) for s in range(11, 16)]]
    assert restless == ["grows.csv"] and arrivals.waiting == 2


def test_a_file_that_rested_before_the_watch_began_is_taken_as_it_is(tmp_path):
    (tmp_path / "broken.csv").write_text("x")
    written = (tmp_path / "broken.csv").stat().st_mtime
    for age, expected in ((59.0, False), (61.0, True)):
        seconds = iter((0.0, 2.0))
        arrivals = Arrivals(
            tmp_path,
            lambda source: "",
            settle=2.0,
            patience=60.0,
            now=lambda seconds=seconds: next(seconds),
            clock=lambda age=age: written + age,
        )
        assert arrivals.look() == [] and [late for *_, late in arrivals.look()] == [expected]


class Taker(BaseHTTPRequestHandler):
    taken: list[dict] = []
    refuse = 0

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        refused = type(self).refuse > 0
        type(self).refuse -= refused
        if not refused:
            type(self).taken.append(body)
        self.send_response(500 if refused else 204)
        self.end_headers()

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    Taker.taken, Taker.refuse = [], 0
    found = HTTPServer(("127.0.0.1", 0), Taker)
    threading.Thread(target=found.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{found.server_port}/alarm"
    found.shutdown()
    found.server_close()


def test_a_webhook_gets_every_event_also_after_it_was_down(look, inbox, server):
    for i in range(8):
        (inbox / f"r{i}.jsonl").write_text(line(200 + i, gain=6.0))
    Taker.refuse = 1
    _, events, notes = look(webhook=server)
    assert any("event was not taken" in note for note in notes) and Taker.taken == []
    look(webhook=server)
    assert [e["level"] for e in Taker.taken] == [e["level"] for e in events] and events
    look(webhook=server)
    assert len(Taker.taken) == len(events)


def test_a_command_gets_every_event_on_its_standard_input(look, inbox, tmp_path):
    for i in range(8):
        (inbox / f"r{i}.jsonl").write_text(line(200 + i, gain=6.0))
    target = tmp_path / "heard.jsonl"
    code = f"import sys; open({str(target)!r}, 'a').write(sys.stdin.read())"
    _, events, _ = look(command=(sys.executable, "-c", code))
    assert [json.loads(text)["level"] for text in target.read_text().splitlines()] == [e["level"] for e in events]


def test_failures_of_a_taker_are_tried_again_ever_later(tmp_path):
    clock, notes = [0.0], []
    journal = Journal(tmp_path, {})
    with journal.transaction() as change:
        change.run("INSERT INTO events (line, waiting) VALUES ('{}', 1)")
    deliver = Deliver(("false",), "", notes.append, now=lambda: clock[0])
    for second in range(8):
        clock[0] = float(second)
        deliver.send(journal)
    assert len(notes) == 4 and deliver.waits(journal)  # after 0, 1, 3 and 7 seconds
    assert all("false ended with 1" in note for note in notes)
    with pytest.raises(ConfigError, match="no http address"):
        Deliver((), "file:///etc/passwd", print)


def test_kill_and_restart_neither_lose_a_file_nor_score_twice(model, inbox, tmp_path):
    """Three writers drop files, some in two halves, while the watch is killed again and again."""
    out = tmp_path / "out"
    argv = [sys.executable, "-m", "vibro", "watch", str(inbox), "--model", str(model), "-o", str(out), "--quiet"]
    argv += ["--settle", "0.2", "--patience", "1000"]
    total = 45
    writers = [threading.Thread(target=drop, args=(inbox, w, range(w, total, 3))) for w in range(3)]
    for writer in writers:
        writer.start()
    kills = 0
    while True:
        process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        begun = len(rows_there(out))
        end = time.monotonic() + 60
        while len(rows_there(out)) < min(begun + 12, total) and time.monotonic() < end:
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.wait()
        kills += 1
        if (kills >= 3 and len(rows_there(out)) >= total) or kills > 12:
            break
    for writer in writers:
        writer.join()
    assert vibro([*argv[3:], "--once"]) == 0
    found = rows(out / "scores.csv")
    assert sorted(row["source"] for row in found) == sorted(f"w{i % 3}-{i:03d}.jsonl" for i in range(total))
    assert vibro(["score", str(model), str(inbox), "-o", str(tmp_path / "batch"), "--no-report", "--quiet"]) == 0
    batch = {row["record_id"]: row["score"] for row in rows(tmp_path / "batch" / "scores.csv")}
    assert {row["record_id"]: row["score"] for row in found} == batch and kills >= 3


def rows_there(out: Path) -> list[str]:
    path = out / "scores.csv"
    return path.read_text().splitlines()[1:] if path.exists() else []


def drop(inbox: Path, writer: int, numbers: range) -> None:
    rng = np.random.default_rng(writer)
    for i in numbers:
        text = line(400 + i)
        path = inbox / f"w{writer}-{i:03d}.jsonl"
        with path.open("w") as handle:
            half = int(rng.integers(1, len(text)))
            handle.write(text[:half])
            handle.flush()
            time.sleep(float(rng.uniform(0, 0.5)))
            handle.write(text[half:])


def test_the_command_line(model, inbox, tmp_path, capsys):
    (inbox / "a.jsonl").write_text(line(200))
    argv = ["watch", str(inbox), "--model", str(model), "-o", str(tmp_path / "out"), "--once", "--settle", "0"]
    assert vibro(argv) == 0
    assert "1 record of 1 file scored" in capsys.readouterr().out
    assert vibro([*argv, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"event": "done", "files": 0, "records": 0, "events": 0, "waiting": 0}
    assert vibro([*argv, "--webhook", "ftp://x"]) == 2
    with pytest.raises(VibroError):
        watch(open_host(print), WatchOptions(inbox, inbox, tmp_path / "new", once=True), print, print)
