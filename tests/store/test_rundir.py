"""The run directory: who may write where, what a failure leaves, stages that appear whole."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from vibro.errors import ConfigError, LockedError, ResourceError
from vibro.io import files
from vibro.store import lock
from vibro.store.lock import LOCK, LOCK_INFO
from vibro.store.place import run_status
from vibro.store.rundir import RunDir


def finish(run: RunDir, text: str = "one", status: str = "complete") -> None:
    run.write_text("scores.csv", text)
    run.write_json("manifest.json", {"schema": 1, "status": status})


def finished(out: Path, text: str = "old") -> Path:
    with RunDir.open(out) as run:
        finish(run, text)
    return out


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_fresh_run_writes_in_place(tmp_path):
    out = tmp_path / "a" / "out"
    with RunDir.open(out) as run:
        assert run.path == out
        assert json.loads((out / LOCK_INFO).read_text())["pid"] == os.getpid()
        finish(run)
    assert names(out) == {LOCK, "scores.csv", "manifest.json"}
    assert run_status(out) == "complete"


def test_foreign_folder_is_refused_even_with_force(tmp_path):
    (tmp_path / "thesis.txt").write_text("precious")
    for force in (False, True):
        with pytest.raises(ConfigError, match="holds no run"), RunDir.open(tmp_path, force=force, resume=True):
            pass
    assert names(tmp_path) == {"thesis.txt"}


def test_file_in_place_of_out_is_refused(tmp_path):
    (tmp_path / "out").write_text("")
    with pytest.raises(ConfigError, match="is a file"), RunDir.open(tmp_path / "out"):
        pass


def test_finished_run_needs_force(tmp_path):
    out = finished(tmp_path / "out")
    for resume in (False, True):
        with pytest.raises(ConfigError, match="finished run") as caught, RunDir.open(out, resume=resume):
            pass
        assert "--force" in caught.value.hint
    assert (out / "scores.csv").read_text() == "old"


def test_unfinished_run_needs_resume_or_force(tmp_path):
    out = tmp_path / "out"
    with pytest.raises(RuntimeError), RunDir.open(out) as run, run.stage("10-a", "k") as stage:
        (stage.path / "x").write_text("x")
        run.write_text("scores.csv", "half")
        raise RuntimeError
    with pytest.raises(ConfigError, match="unfinished run"), RunDir.open(out):
        pass
    with RunDir.open(out, resume=True) as run:
        assert not (out / "scores.csv").exists()  # results of the broken run are not mixed with the new ones
        finish(run)


def test_failed_start_leaves_no_folder(tmp_path):
    with pytest.raises(RuntimeError), RunDir.open(tmp_path / "out"):
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_force_swaps_only_at_the_end(tmp_path):
    out = finished(tmp_path / "out")
    (out / "notes.txt").write_text("mine")
    (out / "report.html").write_text("old report")
    with RunDir.open(out, force=True) as run:
        finish(run, "new")
        assert (out / "scores.csv").read_text() == "old"
        assert run.path != out
    assert run.path == out
    assert (out / "scores.csv").read_text() == "new"
    assert (out / "notes.txt").read_text() == "mine"
    assert not (out / "report.html").exists()
    assert names(tmp_path) == {"out"}


def test_failed_force_leaves_old_results_and_evidence(tmp_path):
    out = finished(tmp_path / "out")
    with pytest.raises(RuntimeError), RunDir.open(out, force=True) as run:
        finish(run, "new", status="failed")
        raise RuntimeError
    assert (out / "scores.csv").read_text() == "old"
    assert (out / "failed" / "scores.csv").read_text() == "new"
    assert names(tmp_path) == {"out"}


def test_interrupted_force_can_go_on(tmp_path):
    out = finished(tmp_path / "out")
    with pytest.raises(KeyboardInterrupt), RunDir.open(out, force=True) as run:
        with run.stage("10-a", "key") as stage:
            (stage.path / "x").write_text("x")
        raise KeyboardInterrupt
    assert (out / "scores.csv").read_text() == "old"
    with pytest.raises(ConfigError) as caught, RunDir.open(out, resume=True):
        pass
    assert "--force --resume" in caught.value.hint
    with RunDir.open(out, force=True, resume=True) as run:
        with run.stage("10-a", "key") as stage:
            assert stage.reused
        finish(run, "new")
    assert (out / "scores.csv").read_text() == "new"
    assert names(tmp_path) == {"out"}


def test_swap_without_kernel_help_recovers_from_a_crash(tmp_path, monkeypatch):
    out = finished(tmp_path / "out")
    monkeypatch.setattr(files, "_exchange", lambda new, old: False)
    with RunDir.open(out, force=True) as run:
        finish(run, "new")
    assert (out / "scores.csv").read_text() == "new"
    out.rename(files.parked(out))  # the state between the two renames
    with RunDir.edit(out) as run:
        assert (run.path / "scores.csv").read_text() == "new"
    assert names(tmp_path) == {"out"}


def test_edit_changes_all_files_or_none(tmp_path):
    out = finished(tmp_path / "out")
    (out / "events.jsonl").write_text("{}\n")
    with pytest.raises(RuntimeError), RunDir.edit(out) as run:
        run.write_text("scores.csv", "new")
        with (run.path / "events.jsonl").open("a") as handle:
            handle.write("more\n")
        raise RuntimeError
    assert (out / "scores.csv").read_text() == "old"
    assert (out / "events.jsonl").read_text() == "{}\n"
    with RunDir.edit(out) as run:
        run.write_text("scores.csv", "new")
    assert (out / "scores.csv").read_text() == "new"
    assert run_status(out) == "complete"
    assert names(tmp_path) == {"out"}
    with pytest.raises(ConfigError, match="no run directory"), RunDir.edit(tmp_path / "nothing"):
        pass


HOLD = """
import sys, time
from pathlib import Path
from vibro.store.rundir import RunDir
with RunDir.open(Path(sys.argv[1])) as run:
    print("held", flush=True)
    time.sleep(60)
"""


def hold(out: Path) -> subprocess.Popen[str]:
    child = subprocess.Popen([sys.executable, "-c", HOLD, str(out)], stdout=subprocess.PIPE, text=True)
    assert child.stdout.readline().strip() == "held"
    return child


def test_second_process_is_refused_and_a_kill_frees_the_lock(tmp_path):
    out = tmp_path / "out"
    child = hold(out)
    try:
        for force in (False, True):
            with pytest.raises(LockedError, match=f"process {child.pid} on .* since 20") as caught:
                with RunDir.open(out, force=force):
                    pass
            assert caught.value.exit_code == 7
    finally:
        child.kill()
        child.wait()
    with RunDir.open(out) as run:
        finish(run)


def test_removed_lock_file_is_noticed_at_the_next_stage(tmp_path):
    with pytest.raises(LockedError, match="removed"), RunDir.open(tmp_path / "out") as run:
        (tmp_path / "out" / LOCK).unlink()
        with run.stage("10-a", "key"):
            pass


def test_soft_lock_is_refused(tmp_path, monkeypatch):
    import filelock

    monkeypatch.setattr(filelock, "FileLock", filelock.SoftFileLock)
    with pytest.raises(LockedError, match="no kernel locks"), RunDir.open(tmp_path / "out"):
        pass


def test_network_file_system_is_named(tmp_path, monkeypatch):
    assert lock.network_file_system(tmp_path) == ""
    mounts = f"/dev/sda / ext4 rw 0 0\nserver:/x {tmp_path} nfs4 rw 0 0\n"
    monkeypatch.setattr(Path, "read_text", lambda self, *a, **k: mounts)
    assert lock.network_file_system(tmp_path / "out") == "nfs4"


def test_stage_appears_whole_and_is_reused_only_unchanged(tmp_path):
    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt), RunDir.open(out) as run:
        with run.stage("10-a", "key") as stage:
            building = stage.path
            (building / "sub").mkdir()
            (building / "sub" / "x").write_text("x")
        assert stage.path == out / "stages" / "10-a"
        assert not building.exists()
        with run.stage("20-b", "key") as stage:
            (stage.path / "y").write_text("y")
        raise KeyboardInterrupt
    (out / "stages" / ".tmp-1-30-c").mkdir()
    (out / "stages" / "20-b" / "y").write_text("z")
    with RunDir.open(out, resume=True) as run:
        assert names(out / "stages") == {"10-a", "20-b"}
        with run.stage("10-a", "key") as stage:
            assert stage.reused
            assert (stage.path / "sub" / "x").read_text() == "x"
        with run.stage("20-b", "key") as stage:
            assert not stage.reused  # damaged
        with run.stage("10-a", "other key") as stage:
            assert not stage.reused
            assert not list(stage.path.iterdir())
        finish(run)


def test_disk_failures_name_path_and_need(tmp_path):
    with RunDir.open(tmp_path / "out") as run:
        with pytest.raises(ResourceError, match="needed") as caught, run.stage("10-a", "key", need=1 << 60):
            pass
        assert caught.value.exit_code == 8
        with pytest.raises(ResourceError, match=r"10-a: No space left on device; 1\.0 MiB are needed"):
            with run.stage("10-a", "key", need=1 << 20):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        with pytest.raises(FileNotFoundError), run.stage("10-a", "key"):
            (tmp_path / "input.jsonl").read_text()  # a missing input is no disk failure
        finish(run)


def test_a_model_is_said_to_be_no_run(tmp_path):
    from vibro.errors import ConfigError
    from vibro.store import manifest

    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "manifest.json").write_text('{"format": 1, "meta": {}}')
    with pytest.raises(ConfigError, match="is a model, not a run directory") as told:
        manifest.read(tmp_path / "model")
    assert told.value.hint is not None and told.value.hint.startswith("vibro score ")
    (tmp_path / "manifest.json").write_text("{}")
    with pytest.raises(ConfigError) as told:
        manifest.read(tmp_path / "model")
    assert told.value.hint == f"name its run: {tmp_path}"
