"""Many small files of text taken in worker processes, ahead of the process that puts them in their order."""

from __future__ import annotations

import shutil
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from vibro.api import Reader
from vibro.core.executors import make_executor, processors
from vibro.core.scheduler import SerialExecutor
from vibro.core.view_key import code_of
from vibro.ingest.files import Found
from vibro.ingest.intake import Part
from vibro.ingest.options import IngestOptions
from vibro.ingest.remember import SMALL
from vibro.ingest.worker import Job, Made, prepare, take_files

T = TypeVar("T")
ENOUGH = 400 << 20  # bytes of text in all, from which on workers are worth their start (benchmarks.speed.tables)
MANY = 4000  # files, likewise
_BLOCK = 16  # files of a task
_BYTES = 2 << 20  # text of a task
_AHEAD = 8  # tasks a worker has waiting
DIED = "one died (out of memory, or a crash in a library)"


class ReadAhead:
    """Worker processes for the files of one ingest, if they pay."""

    def __init__(self, readers: list[Reader], folder: Path, stack: ExitStack, wanted: bool) -> None:
        self.readers = readers
        self._folder = folder
        self._stack = stack
        self._wanted = wanted
        self._pool: _Pool | None = None

    def start(self, sizes: list[int]) -> None:
        """Starts the workers where they pay for files of these sizes."""
        if self._wanted and (count := worth(self.readers, sizes)):
            self._pool = self._stack.enter_context(_Pool(self.readers, self._folder / "ahead", count))

    def reading(
        self, entries: Sequence[tuple[str, Found | str]], options: IngestOptions, root: str
    ) -> Iterator[tuple[int, Part, Path]]:
        """Runs of small files whose readers parse: the entry that each begins with, what it holds, where its samples lie."""
        return iter(()) if self._pool is None else self._pool.take(entries, Job(self._pool.made, options, root))

    def told(self) -> Iterator[str]:
        """What deserves to be said of the workers."""
        if self._pool is not None and self._pool.failed:
            yield f"worker processes could not read some files, which were then read without them: {self._pool.failed}"


class _Pool:
    """Worker processes that take files; everything stays in order."""

    def __init__(self, readers: Sequence[Reader], folder: Path, workers: int) -> None:
        self.made: Made = tuple((type(reader), reader.params) for reader in readers)
        self._readers = readers
        self._workers = workers
        self._folder = folder
        self.failed = ""  # how the first worker failed
        folder.mkdir()
        self._pool: Executor = make_executor(f"processes:{workers}")
        for _ in range(workers):
            self._submitted(prepare, (self.made,))  # they start while the readers of the files are chosen

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)
        shutil.rmtree(self._folder)

    def take(self, entries: Sequence[tuple[str, Found | str]], job: Job) -> Iterator[tuple[int, Part, Path]]:
        """What the files hold, without those that the caller has to take, so that it meets whatever is wrong with them."""
        blocks = list(_blocks(entries, {id(reader): i for i, reader in enumerate(self._readers)}))
        slots = _AHEAD * self._workers + 1  # tasks that wait, and the one whose samples are taken
        tasks = ((job, block, self._slot(k % slots)) for k, (_, block) in enumerate(blocks))
        for k, part in enumerate(self._in_order(take_files, tasks)):
            if isinstance(part, str):
                self.failed = self.failed or part
            else:
                yield blocks[k][0], part, self._slot(k % slots)

    def _slot(self, k: int) -> Path:
        return self._folder / f"{k}.bin"

    def _in_order(self, task: Callable[..., T], arguments: Iterator[tuple[Any, ...]]) -> Iterator[T]:
        """The answers of tasks in their order; one that no worker has begun is done here rather than waited for.

        So is what a worker was at that died.
        """
        waiting: deque[tuple[Future[T], tuple[Any, ...]]] = deque()

        def fill() -> None:
            for args in islice(arguments, _AHEAD * self._workers - len(waiting)):
                waiting.append((self._submitted(task, args), args))

        fill()
        while waiting:
            while not waiting[0][0].done():
                free = next((k for k, (future, _) in enumerate(waiting) if future.cancel()), None)
                if free is None:
                    break
                args = waiting[free][1]
                waiting[free] = (SerialExecutor().submit(task, *args), args)
            future, args = waiting.popleft()
            if isinstance(future.exception(), BrokenExecutor):
                self.failed = self.failed or DIED
                yield task(*args)
            else:
                yield future.result()
            fill()

    def _submitted(self, task: Callable[..., T], args: tuple[Any, ...]) -> Future[T]:
        try:
            return self._pool.submit(task, *args)
        except BrokenExecutor:
            self.failed = self.failed or DIED
            return SerialExecutor().submit(task, *args)


def worth(readers: Sequence[Reader], sizes: Sequence[int]) -> int:
    """Workers beside this process for files of these sizes; none where they do not pay or a plugin has its own process."""
    pays = len(sizes) >= MANY or (len(sizes) > 2 * _BLOCK and sum(sizes) >= ENOUGH)
    return processors() - 1 if pays and all(code_of(type(reader)) for reader in readers) else 0


def _blocks(
    entries: Sequence[tuple[str, Found | str]], number: dict[int, int]
) -> Iterator[tuple[int, list[tuple[Path, str, int]]]]:
    """Neighbouring entries that workers take, with the place of the first."""
    block: list[tuple[Path, str, int]] = []
    room = _BYTES
    for i, (source, found) in enumerate(entries):
        small = isinstance(found, Found) and found.size < SMALL and type(found.reader).parses
        if block and (not small or len(block) == _BLOCK or room <= 0):
            yield i - len(block), block
            block, room = [], _BYTES
        if isinstance(found, Found) and small:
            block.append((found.path, source, number[id(found.reader)]))
            room -= found.size
    if block:
        yield len(entries) - len(block), block
