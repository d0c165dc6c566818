"""The directory of one run: locked, built in stages, and replaced only by a run that ended well."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from vibro.errors import ConfigError, ResourceError
from vibro.io import files
from vibro.store import stages
from vibro.store.lock import LOCK, LOCK_INFO, Lock, network_file_system
from vibro.store.moving import carry_over, copy_links, tidy
from vibro.store.place import (
    FAILED,
    PUBLIC,
    STAGES,
    beside_of,
    content,
    is_run,
    real_path,
    refuse_foreign,
    refuse_unless_resumable,
    remove,
    run_status,
)
from vibro.store.stages import Stage


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
        refuse_foreign(out)
        created = not out.exists()
        with files.disk_errors(out):
            out.mkdir(parents=True, exist_ok=True)
        with cls._locked(out, created) as run:
            run.resume = resume
            occupied = bool(content(out))
            if occupied and not force:
                refuse_unless_resumable(out, resume)
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
            copy_links(out, run.path)
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
            tidy(building)

    @contextmanager
    def stage(self, name: str, key: str, *, need: int = 0) -> Iterator[Stage]:
        """A folder of intermediate files that appears whole or not at all.

        ``key`` is the hash of everything the stage depends on: inputs, settings, versions. With ``resume`` a finished
        stage of the same key whose files are undamaged is handed out as ``reused``. ``need`` in bytes is checked against
        the free space. ``stage.path`` is the final folder once the body has ended.
        """
        self.check()
        final = self.path / STAGES / name
        if self.resume and stages.matches(final, key):
            yield Stage(final, reused=True)
            return
        with stages.build(final, key, need=need, run=self.path) as stage:
            yield stage

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
        beside = beside_of(self.out)
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
            carry_over(self.out, self.path)
            tidy(self.path)
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
                    remove(path)
