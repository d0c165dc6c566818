"""What lies at OUT, and whether a run may have that place."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from vibro.errors import ConfigError
from vibro.io import files
from vibro.store.lock import LOCK, LOCK_INFO

STAGES = "stages"
FAILED = "failed"  # inside OUT: what a failed run with --force left
PUBLIC = frozenset(
    (
        "manifest.json",
        "summary.json",
        "scores.csv",
        "scores.parquet",
        "quarantine.csv",
        "events.jsonl",
        "machines.csv",
        "cases.csv",
        "report.html",
        "classes.csv",
        "labels.csv",
        "model",
    )
)
INTERNAL = frozenset({STAGES, FAILED, LOCK, LOCK_INFO})


def real_path(out: Path) -> Path:
    """Absolute path of OUT, links followed, so that a rename meets the folder and not a link to it."""
    try:
        found = Path(out).resolve()
    except RuntimeError:  # as Python 3.11 and 3.12 say it
        raise ConfigError(f"{out} is a link to itself", hint="choose another -o") from None
    if not found.name:
        raise ConfigError(f"{out} is the root of a disk", hint="choose a folder in it")
    return found


def content(folder: Path) -> list[str]:
    """Sorted names in a folder but for the lock's; a folder that is not there is empty."""
    if not folder.exists():
        return []
    if not folder.is_dir():
        raise ConfigError(f"{folder} is a file, not a folder", hint="choose another -o")
    with files.disk_errors(folder):
        return sorted(path.name for path in folder.iterdir() if path.name not in (LOCK, LOCK_INFO))


def is_run(folder: Path) -> bool:
    """Whether vibro works or has worked in this folder; a model bundle is no run, though it has a manifest."""
    return (folder / LOCK).is_file() or run_status(folder) is not None


def run_status(folder: Path) -> str | None:
    """``complete``, ``failed``, ``interrupted`` as the manifest says, ``damaged``, or None without a manifest."""
    path = folder / "manifest.json"
    if path.exists() and not path.is_file():  # a pipe would never end
        return "damaged"
    try:
        found = json.loads(path.read_text("utf-8"))
        if "format" in found and "status" not in found:
            return None
        status = found["status"]
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError):
        return "damaged"
    return str(status)


def check_free(out: Path, *, force: bool) -> None:
    """ConfigError, before any work, for an OUT that holds a finished run or something else."""
    out = real_path(out)
    refuse_foreign(out)
    if run_status(out) == "complete" and not force:
        refuse_unless_resumable(out, resume=False)


def refuse_foreign(out: Path) -> None:
    """ConfigError for a folder that holds files and no run."""
    if content(out) and not is_run(out):
        raise ConfigError(f"{out} is not empty and holds no run", hint="choose another -o, or empty that folder")


def refuse_unless_resumable(out: Path, resume: bool) -> None:
    """ConfigError for a run that is finished, damaged, or unfinished and not to be resumed."""
    status = run_status(out)
    if status == "complete":
        hint = "--force replaces it"
        if beside_of(out).is_dir():
            hint += "; --force --resume goes on with the interrupted run that was to replace it"
        raise ConfigError(f"{out} holds a finished run", hint=hint)
    if status == "damaged":
        raise ConfigError(f"{out} holds a run with a damaged manifest.json", hint="--force replaces it")
    if not resume:
        raise ConfigError(f"{out} holds an unfinished run", hint="--resume goes on with it, --force replaces it")


def beside_of(out: Path) -> Path:
    """The folder in which a run that is to replace OUT is built."""
    return out.with_name(f".{out.name}.vibro-new")


def clear(folder: Path) -> None:
    """Removes what a run has written into a folder; the user's own files stay."""
    for name in content(folder):
        if name in PUBLIC | INTERNAL or name.startswith(".tmp-"):
            remove(folder / name)


def remove(path: Path) -> None:
    """Removes a file, a link or a folder."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()
