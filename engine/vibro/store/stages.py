"""Stages of a run: folders of intermediate files that appear whole or not at all, for ``--resume``."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from vibro.io import files

STAGE_FILE = "stage.json"
_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS}


@dataclass
class Stage:
    """One stage of a run: ``path`` is where its files lie; ``reused`` says that they are there already."""

    path: Path
    reused: bool


@contextmanager
def build(final: Path, key: str, *, need: int, run: Path) -> Iterator[Stage]:
    """A stage that becomes the folder ``final`` when the body ends well, and is removed if it does not.

    ``need`` in bytes is checked against the free space; ``run``: the folder of the run that the stage belongs to.
    """
    building = final.with_name(f".tmp-{os.getpid()}-{final.name}")
    with files.disk_errors(final, need):
        for leftover in (final, building):
            if leftover.exists():
                shutil.rmtree(leftover)
        building.mkdir(parents=True)
    files.check_space(building, need)
    stage = Stage(building, reused=False)
    try:
        with _disk_errors_of_body(run, building, need):
            yield stage
        with files.disk_errors(final, need):
            description = {"key": key, "files": describe(building)}
            files.write_text(building / STAGE_FILE, files.to_json(description))
            files.sync_tree(building)
            building.rename(final)
            files.sync_folder(final.parent)
    except BaseException:
        shutil.rmtree(building, ignore_errors=True)
        raise
    stage.path = final


def matches(folder: Path, key: str) -> bool:
    """Whether a finished stage has this key and exactly the files it was finished with."""
    if not (folder / STAGE_FILE).is_file():
        return False
    try:
        description = json.loads((folder / STAGE_FILE).read_text("utf-8"))
        return bool(
            description["key"] == key and description["files"] == describe(folder, skip=frozenset({STAGE_FILE}))
        )
    except (OSError, ValueError, KeyError, TypeError):
        return False


def describe(folder: Path, skip: frozenset[str] = frozenset()) -> dict[str, dict[str, object]]:
    """``{path: {sha256, bytes}}`` of every file below a folder; ``skip`` names entries of its top that are left out.

    What is no plain file, such as a pipe, has an empty hash.
    """
    found = {}
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder)
        if relative.parts[0] not in skip and not path.is_dir():
            sha, size = files.digest(path) if path.is_file() else ("", 0)
            found[relative.as_posix()] = {"sha256": sha, "bytes": size}
    return found


@contextmanager
def _disk_errors_of_body(run: Path, building: Path, need: int) -> Iterator[None]:
    """ResourceError for a failing disk, but not for an input file that cannot be read."""
    try:
        yield
    except OSError as error:
        ours = isinstance(error.filename, str) and Path(error.filename).is_relative_to(run)
        if not ours and error.errno not in _DISK:
            raise
        with files.disk_errors(building, need):
            raise
