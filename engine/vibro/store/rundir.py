"""The directory of one run: locked, built in stages, and replaced only by a run that ended well."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from vibro.errors import ConfigError, ResourceError
from vibro.io import files
from vibro.store.lock import LOCK, LOCK_INFO, Lock, network_file_system

STAGES = "stages"
STAGE_FILE = "stage.json"
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
_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS}


@dataclass
class Stage:
    """One stage of a run: ``path`` is where its files lie; ``reused`` says that they are there already."""

    path: Path
    reused: bool


@dataclass
class RunDir:
    """An open run directory, from ``RunDir.open`` or ``RunDir.edit``.

    ``path`` is where files are to be written: OUT itself, or a folder beside it while another run is being replaced.
    ``warnings`` holds sentences for the summary.
    """

    out: Path
    path: Path
    resume: bool = False
    warnings: list[str] = field(default_factory=list)
    _locks: list[Lock] = field(default_factory=list)

    @classmethod
    @contextmanager
    def open(cls, out: Path, *, force: bool = False, resume: bool = False) -> Iterator[RunDir]:
        """Locks OUT for one run and releases it at the end.

        OUT must be absent, empty, or hold an unfinished run and ``resume``. ``force`` replaces whatever run is there,
        in one step and only when the body ends well; a run that fails leaves its own files in ``OUT/failed`` and
        everything else as it was. Errors: ConfigError, LockedError, ResourceError.
        """
        out = real_path(out)
        files.recover(out)
        _refuse_foreign(out)
        created = not out.exists()
        with files.disk_errors(out):
            out.mkdir(parents=True, exist_ok=True)
        with cls._locked(out, created) as run:
            run.resume = resume
            occupied = bool(content(out))
            if occupied and not force:
                _refuse_unless_resumable(out, resume)
            if occupied and force:
                run._begin_beside()
                with run._replacing():
                    yield run
            else:
                run._sweep()
                yield run

    @classmethod
    @contextmanager
    def edit(cls, out: Path) -> Iterator[RunDir]:
        """Locks a run to rewrite some of its files; all of them change in one step when the body ends well."""
        out = real_path(out)
        files.recover(out)
        if not is_run(out):
            raise ConfigError(f"{out} is no run directory", hint="name the folder given to -o of vibro ensemble run")
        with cls._locked(out) as run:
            run._begin_beside()
            _copy_links(out, run.path)
            with run._replacing(keep=False):
                yield run

    @classmethod
    @contextmanager
    def copy(cls, source: Path, out: Path) -> Iterator[RunDir]:
        """A copy of a run to rewrite files of; it appears at OUT, which is absent or empty, when the body ends well."""
        out = real_path(out)
        if content(out) or (out / LOCK).exists():
            raise ConfigError(f"{out} is not empty", hint="choose another -o")
        with files.new_folder(out) as building:
            shutil.copytree(source, building, dirs_exist_ok=True, ignore=shutil.ignore_patterns(LOCK, LOCK_INFO))
            yield cls(out=out, path=building)
            _tidy(building)

    @contextmanager
    def stage(self, name: str, key: str, *, need: int = 0) -> Iterator[Stage]:
        """A folder of intermediate files that appears whole or not at all.

        ``key`` is the hash of everything the stage depends on: inputs, settings, versions. With ``resume`` a finished
        stage of the same key whose files are undamaged is handed out as ``reused``. ``need`` in bytes is checked against
        the free space. ``stage.path`` is the final folder once the body has ended.
        """
        self.check()
        final = self.path / STAGES / name
        if self.resume and stage_matches(final, key):
            yield Stage(final, reused=True)
            return
        building = final.with_name(f".tmp-{os.getpid()}-{name}")
        with files.disk_errors(final, need):
            for leftover in (final, building):
                if leftover.exists():
                    shutil.rmtree(leftover)
            building.mkdir(parents=True)
        files.check_space(building, need)
        stage = Stage(building, reused=False)
        try:
            with self._disk_errors_of_body(building, need):
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

    def check(self) -> None:
        """LockedError if the lock file was removed."""
        for lock in self._locks:
            lock.check()

    def write_text(self, name: str, text: str) -> None:
        """Writes one file of the run, atomically."""
        files.write_text(self.path / name, text)

    def write_bytes(self, name: str, content: bytes) -> None:
        """Writes one file of the run, atomically."""
        files.write_bytes(self.path / name, content)

    def write_json(self, name: str, value: object) -> None:
        """Writes one file of the run as JSON, atomically."""
        files.write_text(self.path / name, files.to_json(value))

    @classmethod
    @contextmanager
    def _locked(cls, out: Path, created: bool = False) -> Iterator[RunDir]:
        run = cls(out=out, path=out, _locks=[Lock.acquire(out)])
        kind = network_file_system(out)
        if kind:
            run.warnings.append(f"{out} lies on a network file system ({kind}), where locks may not hold")
        try:
            yield run
        finally:
            with suppress(OSError, ResourceError):  # no result: the new folder is removed, if the disk allows
                if not content(out):
                    (out / LOCK).unlink(missing_ok=True)
                    (out / LOCK_INFO).unlink(missing_ok=True)
                    if created:
                        out.rmdir()
            for lock in run._locks:
                lock.release(out)

    def _begin_beside(self) -> None:
        """Puts the work into a folder beside OUT; with ``resume`` into the one that an interrupted run left."""
        files.refuse_mount(self.out)
        beside = _beside(self.out)
        with files.disk_errors(beside):
            if beside.exists() and (not self.resume or run_status(beside) == "complete"):
                shutil.rmtree(beside)
            beside.mkdir(exist_ok=True)
        self.path = beside
        self._locks.append(Lock.acquire(beside))
        self._sweep()

    @contextmanager
    def _replacing(self, *, keep: bool = True) -> Iterator[None]:
        """Replaces OUT by the new folder if the body ends well; if not, ``keep`` says what stays of the new folder."""
        try:
            yield
            _carry_over(self.out, self.path)
            _tidy(self.path)
            with files.disk_errors(self.path):
                files.sync_tree(self.path)
            files.swap_folders(self.path, self.out)
        except BaseException:
            if keep:
                with suppress(OSError):  # the error that ended the body is the one to report
                    self._keep_evidence()
            else:
                shutil.rmtree(self.path, ignore_errors=True)
            raise
        shutil.rmtree(self.path, ignore_errors=True)
        self.path = self.out

    def _keep_evidence(self) -> None:
        """After a failure: results that say ``failed`` go to ``OUT/failed``; finished stages wait for ``resume``."""
        if run_status(self.path) == "failed":
            shutil.rmtree(self.path / STAGES, ignore_errors=True)
            shutil.rmtree(self.out / FAILED, ignore_errors=True)
            for name in (LOCK, LOCK_INFO):
                (self.path / name).unlink(missing_ok=True)
            self.path.rename(self.out / FAILED)
        elif not (self.path / STAGES).is_dir():
            shutil.rmtree(self.path, ignore_errors=True)

    def _sweep(self) -> None:
        """Removes unfinished work of a killed run; finished stages stay."""
        with files.disk_errors(self.path):
            for path in [*self.path.iterdir(), *(self.path / STAGES).glob(".tmp-*")]:
                if path.name in PUBLIC or path.name.startswith(".tmp-"):
                    _remove(path)

    @contextmanager
    def _disk_errors_of_body(self, building: Path, need: int) -> Iterator[None]:
        """ResourceError for a failing disk, but not for an input file that cannot be read."""
        try:
            yield
        except OSError as error:
            ours = isinstance(error.filename, str) and Path(error.filename).is_relative_to(self.path)
            if not ours and error.errno not in _DISK:
                raise
            with files.disk_errors(building, need):
                raise


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


def clear(folder: Path) -> None:
    """Removes what a run has written into a folder; the user's own files stay."""
    for name in content(folder):
        if name in PUBLIC | INTERNAL or name.startswith(".tmp-"):
            _remove(folder / name)


def check_free(out: Path, *, force: bool) -> None:
    """ConfigError, before any work, for an OUT that holds a finished run or something else."""
    out = real_path(out)
    _refuse_foreign(out)
    if run_status(out) == "complete" and not force:
        _refuse_unless_resumable(out, resume=False)


def _refuse_foreign(out: Path) -> None:
    if content(out) and not is_run(out):
        raise ConfigError(f"{out} is not empty and holds no run", hint="choose another -o, or empty that folder")


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


def stage_matches(folder: Path, key: str) -> bool:
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


def _refuse_unless_resumable(out: Path, resume: bool) -> None:
    status = run_status(out)
    if status == "complete":
        hint = "--force replaces it"
        if _beside(out).is_dir():
            hint += "; --force --resume goes on with the interrupted run that was to replace it"
        raise ConfigError(f"{out} holds a finished run", hint=hint)
    if status == "damaged":
        raise ConfigError(f"{out} holds a run with a damaged manifest.json", hint="--force replaces it")
    if not resume:
        raise ConfigError(f"{out} holds an unfinished run", hint="--resume goes on with it, --force replaces it")


def _beside(out: Path) -> Path:
    return out.with_name(f".{out.name}.vibro-new")


def _copy_links(out: Path, beside: Path) -> None:
    """Fills a folder with hard links to the files of a run; files that grow in place are copied."""

    def link(source: str, target: str) -> None:
        if Path(source).name != "events.jsonl":
            try:
                os.link(source, target)
                return
            except OSError as error:
                if error.errno not in (errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK, errno.EXDEV):
                    raise
        shutil.copy2(source, target)

    with files.disk_errors(beside):
        for path in out.iterdir():
            if path.name in (LOCK, LOCK_INFO):
                continue
            if path.is_dir() and not path.is_symlink():
                shutil.copytree(path, beside / path.name, copy_function=link, symlinks=True)
            else:
                link(str(path), str(beside / path.name))


def _carry_over(old: Path, new: Path) -> None:
    """Moves the user's own files from the old folder to the new one."""
    with files.disk_errors(new):
        for path in old.iterdir():
            target = new / path.name
            if path.name in PUBLIC | INTERNAL or target.exists():
                continue
            if path.is_dir() and not path.is_symlink():
                shutil.copytree(path, target, symlinks=True)
            else:
                shutil.copy2(path, target, follow_symlinks=False)


def _tidy(folder: Path) -> None:
    """Removes unfinished files that could not be removed where they were made."""
    for path in folder.glob(".tmp-*"):
        with suppress(OSError):
            _remove(path)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()
