"""Which files of a folder have arrived whole: those that rest, and that nobody still writes."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from vibro.ingest.files import SETTINGS, natural, source_name

State = tuple[int, int, int, int]  # bytes, times of change of content and of name in ns, inode
HIDDEN = (".", "~")  # names that begin so belong to programs that are still at work


@dataclass
class _Seen:
    """A file that is not settled: its state, since when it is so, and since when it has been waited for."""

    state: State
    since: float
    first: float
    told: bool = False
    tried: bool = False


class Arrivals:
    """Looks at a folder again and again, and gives each file once it has not changed for ``settle`` seconds."""

    def __init__(
        self,
        folder: Path,
        known: Callable[[str], str],
        *,
        settle: float,
        patience: float,
        now: Callable[[], float] = time.monotonic,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._folder = folder
        self._known = known
        self._settle = settle
        self._patience = patience
        self._now = now
        self._clock = clock  # that of the times of files
        self._waiting: dict[str, _Seen] = {}
        self.problems: dict[str, str] = {}  # folders that cannot be read -> why

    @property
    def waiting(self) -> int:
        """Files that are there and not taken yet."""
        return len(self._waiting)

    def look(self) -> list[tuple[Path, str, str, bool]]:
        """Path, source and state of the files that have come to rest, in natural order of their sources.

        The last value: the file has rested so long that it is taken as it is, whole or not; by its own times where it has
        rested since before the watch began.
        """
        now, there, whole = self._now(), set(), []
        for path, state in self._files(self._folder):
            source = source_name(path, self._folder)
            if self._known(source) == repr(state):
                continue
            there.add(source)
            seen = self._waiting.get(source)
            if seen is None or seen.state != state:
                self._waiting[source] = _Seen(state, now, now if seen is None else seen.first, bool(seen and seen.told))
                continue
            rested = max(now - seen.since, self._clock() - max(state[1], state[2]) / 1e9)
            late = rested >= self._patience
            if now - seen.since >= self._settle and (late or not seen.tried):
                seen.tried = True
                whole.append((path, source, repr(state), late))
        self._waiting = {source: seen for source, seen in self._waiting.items() if source in there}
        return sorted(whole, key=lambda item: natural(item[1]))

    def take(self, source: str) -> None:
        """The file has been scored."""
        self._waiting.pop(source, None)

    def restless(self) -> list[str]:
        """Sources that have changed for longer than the patience without a rest; each is named once."""
        now, found = self._now(), []
        for source, seen in self._waiting.items():
            if not seen.told and now - seen.first >= self._patience and now - seen.since < self._settle:
                seen.told = True
                found.append(source)
        return found

    def _files(self, folder: Path) -> Iterator[tuple[Path, State]]:
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    if entry.name.startswith(HIDDEN) or entry.name == SETTINGS:
                        continue
                    try:
                        if entry.is_dir(follow_symlinks=False):
                            yield from self._files(Path(entry.path))
                        elif entry.is_file(follow_symlinks=False):
                            status = entry.stat(follow_symlinks=False)
                            state = (status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)
                            yield Path(entry.path), state
                    except FileNotFoundError:
                        continue  # gone since it was listed
        except OSError as error:
            if folder == self._folder:
                raise
            self.problems.setdefault(source_name(folder, self._folder), error.strerror or str(error))
