"""Many small files of text read and shaped in worker processes, ahead of the process that takes them in their order."""

from __future__ import annotations

import shutil
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from vibro.api import Reader
from vibro.core.executors import make_executor, processors
from vibro.core.scheduler import SerialExecutor
from vibro.core.view_key import code_of
from vibro.ingest.files import Choose, Found, Listing
from vibro.ingest.options import IngestOptions
from vibro.ingest.remember import SMALL
from vibro.ingest.shaping import Shaper
from vibro.ingest.worker import Files, Job, Packed, Read, choose, choose_all, read_all, read_file, unpacked

ENOUGH = 128 << 20  # bytes of text in all, from which on workers are worth their start
MANY = 1000  # files, likewise
_BLOCK = 16  # files of a task
_BYTES = 2 << 20  # text of a task
_AHEAD = 8  # tasks a worker has waiting


class ReadAhead:
    """Worker processes for the files of one ingest, if they pay."""

    def __init__(self, readers: list[Reader], folder: Path, stack: ExitStack, wanted: bool) -> None:
        self.readers = readers
        self._folder = folder
        self._stack = stack
        self._wanted = wanted
        self._pool: _Pool | None = None

    def choosing(self, sizes: list[int]) -> Choose:
        """How the readers of files of these sizes are chosen."""
        count = worth(self.readers, sizes) if self._wanted else 0
        if count:
            self._pool = self._stack.enter_context(_Pool(self.readers, self._folder / "ahead", count))
            return self._pool.choose
        classes = [type(reader) for reader in self.readers]
        return lambda paths: (choose(path, classes) for path in paths)

    def reading(self, listing: Listing, options: IngestOptions, shaper: Shaper) -> Iterator[tuple[str, Read | None]]:
        """Sources in their order with what was read of them ahead: small files of readers that parse."""
        small = [found for found in listing.files if type(found.reader).parses and found.size < SMALL]
        if self._pool is not None:
            job = Job(self._pool.made, options, listing.root.name)
            yield from zip((found.source for found in small), self._pool.read(small, job, shaper), strict=True)


class _Pool:
    """Worker processes that choose readers and read files; everything stays in order."""

    def __init__(self, readers: Sequence[Reader], folder: Path, workers: int) -> None:
        self.made = tuple((type(reader), reader.params) for reader in readers)
        self._readers = readers
        self._workers = workers
        self._folder = folder
        folder.mkdir()
        self._pool: Executor = make_executor(f"processes:{workers}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)
        shutil.rmtree(self._folder)

    def choose(self, paths: Sequence[Path]) -> Iterator[int | str | None]:
        """For every path the number of the reader that takes it, None, or why it cannot be opened."""
        blocks = [paths[i : i + 16 * _BLOCK] for i in range(0, len(paths), 16 * _BLOCK)]
        classes = [cls for cls, _ in self.made]
        for answers in self._in_order(choose_all, choose_all, ((classes, block) for block in blocks)):
            yield from answers

    def read(self, files: Sequence[Found], job: Job, shaper: Shaper) -> Iterator[Read | None]:
        """What each file holds; None for one that the caller has to read, so that it meets whatever is wrong with it."""
        number = {id(reader): i for i, reader in enumerate(self._readers)}
        slots = _AHEAD * self._workers + 1  # tasks that wait, and the one whose files are taken

        def here(job: Job, files: Files, into: Path) -> list[Read | None]:
            return [_read_or_none(path, source, self._readers[i], shaper) for path, source, i in files]

        tasks = ((job, block, self._slot(k % slots)) for k, block in enumerate(_blocks(files, number)))
        for k, answers in enumerate(self._in_order(read_all, here, tasks)):
            samples = _samples(self._slot(k % slots)) if any(isinstance(answer, Packed) for answer in answers) else None
            for answer in answers:
                yield answer if samples is None or not isinstance(answer, Packed) else unpacked(answer, samples)

    def _slot(self, k: int) -> Path:
        return self._folder / f"{k}.bin"

    def _in_order(
        self, task: Callable[..., list[Any]], here: Callable[..., list[Any]], arguments: Iterator[tuple[Any, ...]]
    ) -> Iterator[list[Any]]:
        """The answers of tasks in their order; one that no worker has begun is done ``here`` rather than waited for."""
        waiting: deque[tuple[Future[list[Any]], tuple[Any, ...]]] = deque()

        def fill() -> None:
            for args in islice(arguments, _AHEAD * self._workers - len(waiting)):
                waiting.append((self._pool.submit(task, *args), args))

        fill()
        while waiting:
            while not waiting[0][0].done():
                free = next((k for k, (future, _) in enumerate(waiting) if future.cancel()), None)
                if free is None:
                    break
                args = waiting[free][1]
                waiting[free] = (SerialExecutor().submit(here, *args), args)
            yield waiting.popleft()[0].result()
            fill()


def worth(readers: Sequence[Reader], sizes: Sequence[int]) -> int:
    """Workers beside this process for files of these sizes; none where they do not pay or a plugin has its own process."""
    pays = len(sizes) >= MANY or (len(sizes) > 2 * _BLOCK and sum(sizes) >= ENOUGH)
    return processors() - 1 if pays and all(code_of(type(reader)) for reader in readers) else 0


def _read_or_none(path: Path, source: str, reader: Reader, shaper: Shaper) -> Read | None:
    try:
        return read_file(path, source, reader, shaper)
    except Exception:  # it is read again when its turn comes, and says then what is wrong
        return None


def _samples(file: Path) -> NDArray[np.float32]:
    """The samples of a task of a worker."""
    return np.memmap(file, np.float32, "r") if file.stat().st_size else np.zeros(0, np.float32)


def _blocks(files: Sequence[Found], number: dict[int, int]) -> Iterator[list[tuple[Path, str, int]]]:
    block: list[tuple[Path, str, int]] = []
    room = _BYTES
    for found in files:
        block.append((found.path, found.source, number[id(found.reader)]))
        room -= found.size
        if len(block) == _BLOCK or room <= 0:
            yield block
            block, room = [], _BYTES
    if block:
        yield block
