"""Tasks for the workers of an executor, the longest of those that wait first, so that no worker is left with a long one alone."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future
from heapq import heappop, heappush
from itertools import count
from threading import RLock
from typing import Any


class LongestFirst:
    """Hands an executor with ``workers`` one task for each, and the next one when a task is done.

    An executor takes its tasks in the order of their arrival; those that wait here can still be overtaken.
    """

    def __init__(self, executor: Executor, workers: int) -> None:
        self._executor = executor
        self._free = workers
        self._lock = RLock()  # a task that is done at once calls back from the thread that submits it
        self._number = count()
        self._waiting: list[tuple[float, int, Future[Any], Callable[[Any], Any], Any]] = []

    def submit(self, length: float, work: Callable[[Any], Any], task: Any) -> Future[Any]:
        """The future of ``work(task)``; ``length``: what it takes beside the others, in any unit."""
        future: Future[Any] = Future()
        with self._lock:
            heappush(self._waiting, (-length, next(self._number), future, work, task))
            self._fill()
        return future

    def _fill(self) -> None:
        while self._waiting and self._free:
            _, _, future, work, task = heappop(self._waiting)
            try:
                begun = self._executor.submit(work, task)
            except BrokenExecutor as error:
                future.set_exception(error)
                continue
            self._free -= 1
            begun.add_done_callback(lambda done, future=future: self._done(done, future))  # type: ignore[misc]

    def _done(self, begun: Future[Any], future: Future[Any]) -> None:
        error = CancelledError() if begun.cancelled() else begun.exception()
        with self._lock:
            self._free += 1
            if isinstance(error, BrokenExecutor):  # it calls from within its end and must not be given more
                for _, _, other, _, _ in self._waiting:
                    other.set_exception(error)
                self._waiting.clear()
            self._fill()
        if error is None:
            future.set_result(begun.result())
        else:
            future.set_exception(error)
