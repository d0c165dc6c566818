"""Files appear whole or not at all."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from vibro.errors import ConfigError, ResourceError
from vibro.io import files


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.mark.parametrize("call", ["fsync", "replace", "write"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EACCES, errno.EDQUOT])
def test_failed_write_keeps_the_old_file(tmp_path, monkeypatch, call, code):
    path = tmp_path / "summary.json"
    files.write_text(path, "old")

    def fail(*args, **kwargs):
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patched:
        if call == "fsync":
            patched.setattr(os, "fsync", fail)
        elif call == "replace":
            patched.setattr(Path, "replace", fail)
        with pytest.raises(ResourceError, match=r"summary\.json"), files.atomic(path) as handle:
            handle.write(b"new")
            if call == "write":
                fail()
    assert path.read_text() == "old"
    assert names(tmp_path) == {"summary.json"}


def test_the_folder_one_is_in_has_a_name_too(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with files.new_folder(Path()) as building:
        (building / "a").write_text("whole")
    assert names(tmp_path) == {"here"} and names(tmp_path / "here") == {"a"}


WRITER = """
import sys, time
from pathlib import Path
from vibro.io import files
target = Path(sys.argv[2])
with (files.atomic(target) if sys.argv[1] == "file" else files.new_folder(target)) as made:
    made.write(b"half") if sys.argv[1] == "file" else (made / "a").write_text("half")
    print("half", flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_what_a_killed_writer_leaves_goes_with_the_next_one_and_that_of_a_living_one_stays(tmp_path, kind):
    target = tmp_path / "a[1]"

    def write() -> None:
        if kind == "file":
            files.write_text(target, "whole")
        else:
            with files.new_folder(target, replace=True) as made:
                (made / "a").write_text("whole")

    with subprocess.Popen([sys.executable, "-c", WRITER, kind, target], stdout=subprocess.PIPE) as writer:
        try:
            assert writer.stdout.readline() == b"half\n"
            (tmp_path / ".tmp-1-other").write_text("of another target")
            os.mkfifo(tmp_path / ".tmp-2-a[1]")
            write()
            unfinished = f".tmp-{writer.pid}-a[1]"
            assert names(tmp_path) == {"a[1]", unfinished, ".tmp-1-other"}
        finally:
            writer.kill()
    write()
    assert names(tmp_path) == {"a[1]", ".tmp-1-other"}
    assert "whole" in ((target / "a") if kind == "folder" else target).read_text()


def test_a_temporary_folder_that_cannot_be_made_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with files.scratch_folder() as folder:
        (folder / "x").write_text("x")
    assert names(tmp_path) == set()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    with pytest.raises(ResourceError, match="cannot write .*gone"), files.scratch_folder():
        pass


def test_a_new_folder_appears_whole_or_not_at_all(tmp_path):
    with pytest.raises(ZeroDivisionError), files.new_folder(tmp_path / "a") as made:
        (made / "x").write_text("x")
        raise ZeroDivisionError
    assert names(tmp_path) == set()
    (tmp_path / "a").mkdir()
    with files.new_folder(tmp_path / "a") as made:
        (made / "x").write_text("x")
    assert names(tmp_path) == {"a"} and names(tmp_path / "a") == {"x"}
    with pytest.raises(ResourceError, match="not empty"), files.new_folder(tmp_path / "a"):
        pass
    assert names(tmp_path) == {"a"} and names(tmp_path / "a") == {"x"}


def test_a_mount_point_is_refused_before_any_work():
    with pytest.raises(ConfigError, match="mount point"), files.new_folder(Path("/proc")):
        raise AssertionError("work began")


def test_a_page_takes_the_place_of_a_page_and_of_no_other_file(tmp_path):
    table, page = tmp_path / "scores.csv", tmp_path / "diff.HTML"
    table.write_text("kept")
    with pytest.raises(ConfigError, match="scores.csv is there already"):
        files.write_page(table, "lost")
    for text in ("first", "second"):
        files.write_page(page, text)
    assert (table.read_text(), page.read_text()) == ("kept", "second")


def test_a_run_takes_no_page_but_its_own(tmp_path):
    (tmp_path / "manifest.json").write_text("{}")
    with pytest.raises(ConfigError, match="is a run, and this page is none of its own"):
        files.write_page(tmp_path / "report.html", "other")
    assert not (tmp_path / "report.html").exists()
    files.write_page(tmp_path / "report.html", "own", tmp_path)
    assert (tmp_path / "report.html").read_text() == "own"
