"""What a watch has done, in a way that outlives ``kill -9``: tables that grow together with the notes of what is in them.

Every file that arrives is one transaction. Its lines are appended to the tables and synced first; then one commit of the
database (``journal.sqlite``) says which file they are of and how long the tables now are. Opened again, whatever a table holds
beyond its committed length is cut off: that file will be scored again.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from vibro.errors import ConfigError, ResourceError, StateError
from vibro.io import files

NAME = "journal.sqlite"
SCHEMA = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID;
CREATE TABLE tables (name TEXT PRIMARY KEY, bytes INTEGER) WITHOUT ROWID;
CREATE TABLE files (source TEXT PRIMARY KEY, state TEXT) WITHOUT ROWID;
CREATE TABLE known (key TEXT PRIMARY KEY, source TEXT) WITHOUT ROWID;
CREATE TABLE recent (machine TEXT, sensor TEXT, time INTEGER, score REAL, level INTEGER, reason INTEGER, confidence REAL);
CREATE INDEX recent_of ON recent (machine, sensor);
CREATE TABLE machines (machine TEXT PRIMARY KEY, level TEXT) WITHOUT ROWID;
CREATE TABLE scores (sensor TEXT, score REAL);
CREATE INDEX scores_of ON scores (sensor);
CREATE TABLE events (number INTEGER PRIMARY KEY, line TEXT, waiting INTEGER);
"""


class Journal:
    """The tables of a folder and the database that vouches for them. ``meta`` must be what the folder was begun with."""

    def __init__(self, folder: Path, meta: Mapping[str, str]) -> None:
        self.folder = folder
        path = folder / NAME
        try:
            fresh = not path.exists()
            self._base = sqlite3.connect(path, isolation_level=None)
            self._base.execute("PRAGMA synchronous = FULL")
            if fresh or not self._base.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                self._base.executescript(f"BEGIN; {SCHEMA} COMMIT;")
                self._base.executemany("INSERT INTO meta VALUES (?, ?)", meta.items())
            known = dict(self._base.execute("SELECT name, value FROM meta").fetchall())
        except sqlite3.DatabaseError as error:
            raise StateError(f"{path} is damaged: {error}", hint="watch into another -o") from None
        for name, value in meta.items():
            if known.get(name) != value:
                raise ConfigError(
                    f"{folder} was begun with another {name}: {known.get(name)}, now {value}", hint="choose another -o"
                )
        for name, size in self._base.execute("SELECT name, bytes FROM tables").fetchall():
            self._cut(name, size)

    def close(self) -> None:
        """Closes the database."""
        self._base.close()

    def rows(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """The rows of a query."""
        return self._base.execute(sql, values).fetchall()

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """All or nothing: on an error tables and database are as before; ResourceError for a disk that does not take them."""
        change = Transaction(self.folder, self._base)
        try:
            self._base.execute("BEGIN IMMEDIATE")
            yield change
            change.sync()
            self._base.execute("COMMIT")
        except BaseException as error:
            change.close()
            if self._base.in_transaction:
                self._base.execute("ROLLBACK")
            for name, size in change.before.items():
                self._cut(name, size)
            if isinstance(error, sqlite3.Error):
                raise ResourceError(f"cannot write {self.folder / NAME}: {error}", hint="check that disk") from error
            raise

    def _cut(self, name: str, size: int) -> None:
        path = self.folder / name
        found = path.stat().st_size if path.exists() else 0
        if found < size:
            raise StateError(f"{path} is damaged: it holds {found} bytes of {size}", hint="watch into another -o")
        if found > size:
            with files.disk_errors(path):
                os.truncate(path, size)


class Transaction:
    """One file's worth of lines and notes."""

    def __init__(self, folder: Path, base: sqlite3.Connection) -> None:
        self._folder = folder
        self._base = base
        self._open: dict[str, Any] = {}
        self.before: dict[str, int] = {}

    def run(self, sql: str, *values: Any) -> None:
        """A change of the database."""
        self._base.execute(sql, values)

    def append(self, name: str, header: bytes, lines: bytes) -> None:
        """Appends lines to a table, which begins with the header."""
        path = self._folder / name
        with files.disk_errors(path, len(lines)):
            if name not in self._open:
                handle = self._open[name] = path.open("ab", buffering=0)
                self.before[name] = handle.tell()
            handle = self._open[name]
            block = lines if handle.tell() else header + lines
            if handle.write(block) != len(block):
                raise ResourceError(f"cannot write {path}: the disk took a part", hint="free space on that disk")

    def sync(self) -> None:
        """Makes the tables durable and notes their length."""
        for name, handle in self._open.items():
            with files.disk_errors(self._folder / name):
                os.fsync(handle.fileno())
            self._base.execute("INSERT OR REPLACE INTO tables VALUES (?, ?)", (name, handle.tell()))
        self.close()

    def close(self) -> None:
        """Closes the tables."""
        for handle in self._open.values():
            handle.close()
        self._open = {}
