"""One task a detector, ordered by view so that only the views in use are alive; in this process or in workers."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import BrokenExecutor, Executor, Future
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ParamSpec, TypeVar

import numpy as np
from numpy.typing import NDArray

from vibro.api import ViewKey
from vibro.context import seldom
from vibro.core.longest import LongestFirst
from vibro.core.plan import Plan
from vibro.core.shared import SharedArrays
from vibro.core.task import ArrayRef, DetectorResult, FitTask, ScoreTask, joined
from vibro.core.views import ViewStore
from vibro.core.worker import has_view
from vibro.errors import NotApplicableError, ResourceError, short_of_memory
from vibro.events import Event, StageFinished, StageStarted, TaskFinished, TaskProgress, TaskStarted

Task = TypeVar("Task", FitTask, ScoreTask)


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
        running: dict[str, list[Future[DetectorResult]]] = {}
        view_of = {d.id: d.view for d in plan.detectors}
        rank = {key: i for i, key in enumerate(plan.views)}

        def drain(*, wait: bool) -> None:
            for ident in [i for i, parts in running.items() if wait or all(f.done() for f in parts)]:
                try:
                    result = joined([future.result() for future in running.pop(ident)])
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

        queue = LongestFirst(self.executor, getattr(self.executor, "workers", sys.maxsize))
        shared: dict[tuple[bool, ViewKey], ArrayRef] = {}
        files = SharedArrays(self.folder)

        def ref(x: NDArray[np.float32], ident: str, *, copied: bool) -> ArrayRef:
            if self.serial:
                return ArrayRef(x)
            key = copied, view_of[ident]
            if key not in shared:
                shared[key] = files.ref(x)
            return shared[key]

        for ident in sorted(tasks, key=lambda i: rank.get(view_of[i], -1)):
            self.emit(TaskStarted(stage, ident))
            task, disturbed = tasks[ident], None
            try:
                x = store.get(view_of[ident])
                if isinstance(task, FitTask) and not has_view(x, task.rows).any():
                    raise NotApplicableError(f"view {view_of[ident]} gives no record to fit on a value")
                if copies is not None and _wants_copies(task):
                    copies.states.update(store.states)
                    disturbed = copies.get(view_of[ident])
            except NotApplicableError as error:
                results[ident] = DetectorResult(ident, "excluded", error.message, phase="view")
                continue
            except ResourceError:
                raise
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
            parts = [task] if self.serial or isinstance(task, FitTask) else task.parts(len(x))
            running[ident] = [queue.submit(task.cls.seconds, work, part) for part in parts]
            drain(wait=False)
        drain(wait=True)
        files.clear()
        self.emit(StageFinished(stage, time.perf_counter() - clock))
        return results

    def _progress(self, stage: str, ident: str) -> Callable[[int, int], None]:
        return seldom(lambda done, total: self.emit(TaskProgress(stage, ident, done, total)))


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


class FarExecutor(Executor):
    """One whose workers may be on other machines: they make views too, not only fits and scores."""
