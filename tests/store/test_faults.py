"""Kills, full disks and races: the old result or the new one, never a mixture, and always a clear error."""

from __future__ import annotations

import errno
import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from vibro.errors import ResourceError, VibroError
from vibro.store import bundle, manifest, tables
from vibro.store.bundle import BundleParts
from vibro.store.place import is_run
from vibro.store.rundir import RunDir

WORK = """
import sys
from pathlib import Path
import numpy as np
from vibro.store import bundle, manifest
from vibro.store.bundle import BundleParts
from vibro.store.rundir import RunDir

def work(out, generation):
    with RunDir.open(out, force=True) as run:
        with run.stage("10-a", "key") as stage:
            (stage.path / "big").write_bytes(bytes(200_000))
        run.write_text("summary.json", str(generation))
        run.write_text("quarantine.csv", str(generation) * 100_000)
        state = {"x": np.full(1000, generation)}
        bundle.save(run.path / "model", BundleParts({"generation": generation}, {"detectors/a": state}))
        manifest.write(run.path, manifest.build(run.path, status="complete", seed=generation))
"""
LOOP = (
    WORK
    + """
generation = int(sys.argv[2])
while True:
    work(Path(sys.argv[1]), generation)
    print(generation, flush=True)
    generation += 1
"""
)


def start(code: str, *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def generation_of(out: Path) -> int:
    """The generation that a whole, undamaged run holds."""
    seed = manifest.verify(out)["seed"]
    assert (out / "summary.json").read_text() == str(seed)
    assert (out / "quarantine.csv").read_text() == str(seed) * 100_000
    assert bundle.load(out / "model").meta == {"generation": seed}
    return seed


def test_kill_at_any_time_leaves_the_old_run_or_the_new_one(tmp_path):
    out = tmp_path / "out"
    chance = random.Random(5)
    last = 0
    for _ in range(4):
        child = start(LOOP, out, last + 1)
        assert int(child.stdout.readline()) == last + 1
        time.sleep(chance.uniform(0, 0.3))
        child.kill()
        told = [int(line) for line in child.stdout.read().split()]
        child.wait()
        found = generation_of(out)
        assert found >= max(told, default=last + 1)
        last = found
    with RunDir.open(out, force=True) as run:  # no cleaning by hand
        run.write_json("manifest.json", {"schema": 1, "status": "complete", "files": {}})
    assert {path.name for path in tmp_path.iterdir()} == {"out"}


RACE = """
import sys, time
from pathlib import Path
from vibro.errors import LockedError
from vibro.store.rundir import RunDir
import filelock
print("ready", flush=True)
while not Path(sys.argv[2]).exists():
    time.sleep(0.002)
begin = time.monotonic()
try:
    with RunDir.open(Path(sys.argv[1])) as run:
        print("won", flush=True)
        time.sleep(1.5)
        run.write_text("summary.json", "done")
except LockedError as error:
    print(f"lost {time.monotonic() - begin:.3f} {error}", flush=True)
    sys.exit(error.exit_code)
"""


def test_of_many_that_start_at_once_exactly_one_runs(tmp_path):
    out, signal = tmp_path / "out", tmp_path / "go"
    children = [start(RACE, out, signal) for _ in range(5)]
    for child in children:
        assert child.stdout.readline().strip() == "ready"
    signal.write_text("")
    said = [child.communicate(timeout=30)[0].strip() for child in children]
    codes = [child.returncode for child in children]
    assert sorted(codes) == [0, 7, 7, 7, 7], said
    winner = children[codes.index(0)].pid
    for code, line in zip(codes, said, strict=True):
        if code == 7:
            assert float(line.split()[1]) <= 2.0
            assert f"process {winner} on" in line or "another process" in line
    assert (out / "summary.json").read_text() == "done"


FULL = """
import resource, signal, sys
from pathlib import Path
import numpy as np
from vibro.errors import VibroError
from vibro.store import tables
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
n = 20_000
text = np.full(n, "0123456789abcdef")
number = np.random.default_rng(0).normal(size=n)
columns = {"record_id": text, "source": text, "row": np.arange(n), "sensor_id": text, "level": text, "reason": text,
           "data_time": np.zeros(n, "datetime64[ns]"), "score": number, "persistent_score": number, "p_value": number,
           "agreement": number, "confidence": number}
def both():
    tables.write_scores(Path(sys.argv[1]), columns)
def parquet():
    tables._write_parquet(Path(sys.argv[1]) / "scores.parquet", columns)
for write in (both, parquet):
    try:
        write()
    except VibroError as error:
        print(error.exit_code, error)
"""


def test_full_disk_is_one_clear_error(tmp_path):
    child = start(FULL, tmp_path)
    out, err = child.communicate(timeout=60)
    lines = out.strip().splitlines()
    assert len(lines) == 2 and all(line.startswith("8 cannot write") for line in lines), (out, err)
    assert "scores.csv" in lines[0] and "scores.parquet" in lines[1]
    assert list(tmp_path.iterdir()) == []


CALLS = ("fsync", "open", "mkdir", "replace", "rename", "rmdir", "unlink", "link")


class Failing:
    """Lets the n-th call that changes the disk fail."""

    def __init__(self, monkeypatch, n: int, code: int) -> None:
        self.left, self.code, self.fired = n, code, False
        for name in CALLS:
            monkeypatch.setattr(os, name, self._wrap(getattr(os, name)))
        for name in ("mkdir", "replace", "rename"):
            monkeypatch.setattr(Path, name, self._wrap(getattr(Path, name)))

    def _wrap(self, real):
        def call(*args, **kwargs):
            self.left -= 1
            if self.left == 0:
                self.fired = True
                raise OSError(self.code, os.strerror(self.code))
            return real(*args, **kwargs)

        return call


SLOW = [pytest.param(code, marks=pytest.mark.slow) for code in (errno.EIO, errno.EACCES, errno.EDQUOT)]


@pytest.mark.parametrize("code", [errno.ENOSPC, *SLOW])
def test_nth_failing_call_keeps_the_old_run(tmp_path, monkeypatch, code):
    scope: dict[str, object] = {}
    exec(WORK, scope)
    work, out = scope["work"], tmp_path / "out"
    work(out, 1)
    expected, n, failures = 1, 0, 0
    while True:
        n += 5 if code == errno.ENOSPC else 1
        with monkeypatch.context() as patched:
            failing = Failing(patched, n, code)
            try:
                work(out, 2)
                raised = False
            except VibroError as error:
                assert isinstance(error, ResourceError), error
                assert str(tmp_path) in error.message
                raised = True
        found = generation_of(out)
        if raised:
            failures += 1
            assert found in (expected, 2)
        if not failing.fired:
            break
        expected = found
        if found == 2:
            work(out, 1)
            expected = 1
    assert found == 2 and failures >= 5
    assert {path.name for path in tmp_path.iterdir()} == {"out"}


def test_is_run_tells_runs_from_other_folders(tmp_path):
    assert not is_run(tmp_path)
    (tmp_path / "summary.json").write_text(json.dumps({}))
    assert not is_run(tmp_path)
    manifest.write(tmp_path, manifest.build(tmp_path, status="failed"))
    assert is_run(tmp_path)


def test_bundle_that_cannot_be_written_leaves_no_trace(tmp_path, monkeypatch):
    def fail(*args, **kwargs):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", fail)
    with pytest.raises(ResourceError, match=r"needed"):
        bundle.save(tmp_path / "model", BundleParts({}, {"a": {"x": np.zeros(3)}}))
    assert list(tmp_path.iterdir()) == []


def test_quarantine_of_many_findings_is_streamed(tmp_path):
    row = {"source": "a", "code": "Q001", "reason": "decode", "disposition": "quarantined"}
    tables.write_quarantine(tmp_path, (row for _ in range(50_000)))
    assert sum(1 for _ in tables.read_table(tmp_path / "quarantine.csv")) == 50_000


def test_an_event_that_could_not_be_written_does_not_come_after_the_manifest(tmp_path):
    from vibro.events import StageStarted
    from vibro.store.eventlog import EventLog

    path = tmp_path / "events.jsonl"
    with EventLog(path) as log:
        log.on_event(StageStarted("ingest"))
        whole = path.read_bytes()
        handle, log._handle = log._handle, open("/dev/full", "ab", buffering=0)
        with pytest.raises(ResourceError, match=r"events\.jsonl"):
            log.on_event(StageStarted("fit"))
        log._handle.close()
        log._handle = handle
    assert path.read_bytes() == whole and whole.count(b"\n") == 1
