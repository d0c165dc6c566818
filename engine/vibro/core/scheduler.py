"""One task a detector, ordered by view so that only the views in use are alive; in this process or in workers."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from concurrent.futures import BrokenExecutor, Executor, Future
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from typing import ParamSpec, TypeVar

import numpy as np
from numpy.typing import NDArray

from vibro.api import ViewKey
from vibro.core.plan import Plan
from vibro.core.views import ViewStore
from vibro.core.worker import ArrayRef, DetectorResult, FitTask, ScoreTask
from vibro.data import new_map
from vibro.errors import ContractError, NotApplicableError, ResourceError, short_of_memory
from vibro.events import Event, StageFinished, StageStarted, TaskFinished, TaskProgress, TaskStarted

Task = TypeVar("Task", FitTask, ScoreTask)
PROGRESS_PERIOD = 0.1  # seconds between two progress events of a task


@dataclass(frozen=True)
class TaskRunner:
    """Runs the tasks of a stage: on which executor, where workers find their arrays, and which observer is told."""

    executor: Executor
    folder: Path | None
    emit: Callable[[Event], None]

    @property
    def serial(self) -> bool:
        """Whether all is done in this process."""
        return isinstance(self.executor, SerialExecutor)

    def run(
        self,
        stage: str,
        plan: Plan,
        store: ViewStore,
        tasks: Mapping[str, Task],
        work: Callable[[Task], DetectorResult],
        copies: ViewStore | None = None,
    ) -> dict[str, DetectorResult]:
        """The result of every task by detector; ``copies``: views of disturbed copies, by extractors as ``store`` fits them."""
        clock = time.perf_counter()
        self.emit(StageStarted(stage, len(tasks)))
        results: dict[str, DetectorResult] = {}
        running: dict[Future[DetectorResult], str] = {}
        view_of = {d.id: d.view for d in plan.detectors}
        rank = {key: i for i, key in enumerate(plan.views)}

        def drain(*, wait: bool) -> None:
            for future in [f for f in running if wait or f.done()]:
                ident = running.pop(future)
                try:
                    result = future.result()
                except BrokenExecutor:
                    raise ResourceError(
                        f"a worker process died while {ident} was at work (out of memory, or a crash in a library)",
                        hint="use --executor serial, fewer processes, or leave that detector out",
                    ) from None
                results[ident] = result
                store.release(view_of[ident])
                if copies is not None and _wants_copies(tasks[ident]):
                    copies.release(view_of[ident])
                self.emit(TaskFinished(stage, ident, result.fit_seconds + result.score_seconds))

        shared: dict[tuple[bool, ViewKey], Path] = {}

        def ref(x: NDArray[np.float32], ident: str, *, copied: bool) -> ArrayRef:
            if self.serial:
                return ArrayRef(x)
            key = copied, view_of[ident]
            if key not in shared:
                shared[key] = self._on_disk(x)
            return ArrayRef(path=shared[key])

        for ident in sorted(tasks, key=lambda i: rank.get(view_of[i], -1)):
            self.emit(TaskStarted(stage, ident))
            task, disturbed = tasks[ident], None
            try:
                x = store.get(view_of[ident])
                if copies is not None and _wants_copies(task):
                    copies.states.update(store.states)
                    disturbed = copies.get(view_of[ident])
            except NotApplicableError as error:
                results[ident] = DetectorResult(ident, "excluded", error.message, phase="view")
                continue
            except Exception as error:
                if short_of_memory(error):
                    raise ResourceError(
                        f"memory ran out in view {view_of[ident]}",
                        hint="use --memory, fewer records, or leave out " + ident,
                    ) from error
                reason = f"view {view_of[ident]}: {type(error).__name__}: {error}"
                results[ident] = DetectorResult(ident, "failed", reason, type(error).__name__, "view")
                continue
            if self.serial:
                task = replace(task, ctx=replace(task.ctx, progress=self._progress(stage, ident)))
            task = replace(task, x=ref(x, ident, copied=False))
            if disturbed is not None:
                task = replace(task, copies=ref(disturbed, ident, copied=True))  # type: ignore[call-arg]
            running[self.executor.submit(work, task)] = ident
            drain(wait=False)
        drain(wait=True)
        for path in shared.values():
            rmtree(path.parent, ignore_errors=True)
        self.emit(StageFinished(stage, time.perf_counter() - clock))
        return results

    def _on_disk(self, x: NDArray[np.float32]) -> Path:
        """A file of this array that another process can open, for as long as the stage lasts."""
        if self.folder is None:
            raise ContractError("workers need a folder for their arrays")
        self.folder.mkdir(parents=True, exist_ok=True)
        path = Path(mkdtemp(prefix="shared-", dir=self.folder)) / "array.npy"
        if isinstance(x, np.memmap) and x.filename is not None:
            with suppress(OSError):  # another file system, or gone: the map still holds it
                if np.load(x.filename, mmap_mode="r", allow_pickle=False).shape == x.shape:
                    os.link(x.filename, path)  # the cache may drop its entry before a worker opens it
        if not path.exists():
            new_map(path, x.shape, x.dtype)[...] = x
        return path

    def _progress(self, stage: str, ident: str) -> Callable[[int, int], None]:
        last = 0.0

        def progress(done: int, total: int) -> None:
            nonlocal last
            now = time.monotonic()
            if now - last >= PROGRESS_PERIOD or done >= total:
                last = now
                self.emit(TaskProgress(stage, ident, done, total))

        return progress


def _wants_copies(task: FitTask | ScoreTask) -> bool:
    return isinstance(task, FitTask) and task.copy_of is not None


P = ParamSpec("P")


T = TypeVar("T")


class SerialExecutor(Executor):
    """Runs a task inside ``submit``: the default and the reproducible one."""

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """The finished future of fn(*args)."""
        future: Future[T] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future
