"""``vibro watch``: scores what arrives in a folder, each record once, and says when a machine's level changes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vibro.errors import ConfigError, IncompatibleModelError
from vibro.host.manager import PluginHost
from vibro.ingest import IngestOptions
from vibro.ingest.accounting import QUARANTINED, REASONS
from vibro.ingest.options import check_options
from vibro.io import files
from vibro.runs.arrivals import Arrivals
from vibro.runs.deliver import Deliver
from vibro.runs.ledger import Ledger
from vibro.runs.scorer import Judged, Scorer
from vibro.store.journal import NAME as JOURNAL
from vibro.store.journal import Journal
from vibro.store.lock import Lock
from vibro.store.place import content, real_path

SOON, LATER = 1.0, 60.0  # seconds from look to look
LINES = (".jsonl", ".csv", ".tsv", ".txt")  # whose last line ends with a line break once they are whole


@dataclass(frozen=True)
class WatchOptions:
    """What ``vibro watch`` is told; spans in seconds.

    ``settle``: how long a file must rest; ``patience``: after which it is taken as it is, whole or not. ``command`` gets
    each event on its standard input, ``webhook`` as a POST. ``covariates``: a table that is read anew at each look.
    """

    folder: Path
    model: Path
    out: Path
    reading: IngestOptions = field(default_factory=IngestOptions)
    covariates: Path | None = None
    covariate_tolerance: float = 600.0
    device: str = "auto"
    once: bool = False
    settle: float = 2.0
    patience: float = 60.0
    command: tuple[str, ...] = ()
    webhook: str = ""


@dataclass
class Watched:
    """What a watch has done since it began."""

    files: int = 0
    records: int = 0
    events: int = 0
    waiting: int = 0


def watch(
    host: PluginHost,
    options: WatchOptions,
    say: Callable[[str], None],
    tell: Callable[[Mapping[str, Any]], None],
    wait: Callable[[float], None] = time.sleep,
) -> Watched:
    """Scores what arrives until it is interrupted, or with ``once`` what is there; ``tell`` takes events, ``say`` notes.

    ``wait(seconds)`` waits for the next look, at most so long. Errors as of ``vibro score``.
    """
    folder, out = real_path(options.folder), real_path(options.out)
    _check(folder, out, options)
    with files.disk_errors(out):
        out.mkdir(parents=True, exist_ok=True)
    lock = Lock.acquire(out)
    try:

        def load() -> Scorer:
            table = None if options.covariates is None else (options.covariates, options.covariate_tolerance)
            return Scorer(host, options.model, folder, options.reading, options.device, table)

        scorer = load()
        journal = Journal(out, {"fit": scorer.fit, "folder": str(folder)})
        try:
            return _Watch(load, scorer, journal, options, say, tell).run(wait)
        finally:
            journal.close()
    finally:
        lock.release(out)


def _check(folder: Path, out: Path, options: WatchOptions) -> None:
    if not folder.is_dir():
        raise ConfigError(f"no such folder: {options.folder}", hint="name the folder that the files arrive in")
    if out == folder or folder in out.parents:
        raise ConfigError(f"-o {options.out} lies inside the folder that is watched", hint="choose another -o")
    if content(out) and not (out / JOURNAL).is_file():
        raise ConfigError(f"{options.out} is not empty and holds no watch", hint="choose another -o")
    if options.covariates is not None and not options.covariates.is_file():
        raise ConfigError(f"--covariates: no such file: {options.covariates}")
    check_options(options.reading)


class _Watch:
    """One watch at work."""

    def __init__(
        self,
        load: Callable[[], Scorer],
        scorer: Scorer,
        journal: Journal,
        options: WatchOptions,
        say: Callable[[str], None],
        tell: Callable[[Mapping[str, Any]], None],
    ) -> None:
        self._load, self._scorer, self._journal = load, scorer, journal
        self._options, self._say, self._tell = options, say, tell
        self._arrivals = Arrivals(scorer.root, self._known, settle=options.settle, patience=options.patience)
        self._deliver = Deliver(options.command, options.webhook, say)
        self._done = Watched()
        self._told: set[str] = set()

    def run(self, wait: Callable[[float], None]) -> Watched:
        """Looks until interrupted; with ``once`` until everything that rests has been scored."""
        looks = 0
        while True:
            with self._reachable():
                self._look()
            self._deliver.send(self._journal)
            looks += 1
            self._done.waiting = self._arrivals.waiting
            if self._options.once and (looks > 1 or not self._arrivals.waiting):
                return self._done
            wait(self._options.settle if self._options.once else self._pause)

    @property
    def _pause(self) -> float:
        """Seconds until the next look if nothing changes: soon while a file or an event waits."""
        return SOON if self._arrivals.waiting or self._deliver.waits(self._journal) else LATER

    def _look(self) -> None:
        if self._scorer.stale:
            self._scorer = self._load()
            self._say("the model has other cuts, marks or baselines now: they count from here on")
        try:
            self._scorer.read_covariates()
        except ConfigError as error:
            if self._options.once:
                raise
            self._once(f"{error.message}; files wait until the table can be read")
            return
        for path, source, state, late in self._arrivals.look():
            self._file(path, source, state, late)
        for source in self._arrivals.restless():
            self._say(f"{source} has been growing for {self._options.patience:g} s; it is scored once it rests")
        for source, why in self._arrivals.problems.items():
            self._once(f"{source} cannot be read: {why}")

    def _file(self, path: Path, source: str, state: str, late: bool) -> None:
        """Scores a file, if it is whole or has been waited for long enough."""
        if not late and path.name.lower().endswith(LINES) and not _ends_with_a_line(path):
            return
        try:
            judged = self._scorer.judge(path)
        except IncompatibleModelError as error:
            judged = Judged(None, None, None, [_refused(source, error.message)])
        except ConfigError as error:
            if self._options.once or self._options.covariates is None:
                raise
            self._once(f"{source} waits: {error.message}")
            return
        except FileNotFoundError:
            return  # deleted meanwhile; nothing of it was scored
        bad = [f for f in judged.findings if f["disposition"] == QUARANTINED]
        if bad and not late:
            self._say(f"{source} is not wholly readable: {bad[0]['detail']}; it is read again when it changes")
            return
        ledger = Ledger(self._journal, self._scorer.fitted, waiting=self._deliver.wanted)
        with self._journal.transaction() as change:
            change.run("INSERT OR REPLACE INTO files VALUES (?, ?)", source, state)
            records, events = ledger.enter(change, source, judged)
        self._arrivals.take(source)
        self._done.files += 1
        self._done.records += records
        for event in events:
            self._done.events += 1
            self._tell(event)

    def _known(self, source: str) -> str:
        """The state in which a file was scored, empty for one that was not."""
        found = self._journal.rows("SELECT state FROM files WHERE source = ?", source)
        return str(found[0][0]) if found else ""

    @contextmanager
    def _reachable(self) -> Iterator[None]:
        """A folder that is gone for a while, as on a network, is told and looked for again."""
        try:
            yield
        except FileNotFoundError:
            if self._options.once:
                raise ConfigError(f"{self._options.folder} is gone") from None
            self._once(f"{self._options.folder} is gone; it is looked for again")

    def _once(self, text: str) -> None:
        if text not in self._told:
            self._told.add(text)
            self._say(text)


def _ends_with_a_line(path: Path) -> bool:
    try:
        with path.open("rb") as handle:
            handle.seek(0, 2)
            if not handle.tell():
                return False
            handle.seek(-1, 2)
            return handle.read(1) == b"\n"
    except OSError:
        return True  # the reader says what is wrong


def _refused(source: str, why: str) -> dict[str, Any]:
    code = "Q018" if "unit is" in why else "Q008"
    return {"source": source, "code": code, "reason": REASONS[code], "disposition": QUARANTINED, "detail": why}
