"""Executors that tasks run on: in this process, in worker processes, or on a Dask cluster."""

from __future__ import annotations

import os
import signal
import threading
from concurrent.futures import Executor, ProcessPoolExecutor
from multiprocessing import connection, get_context, parent_process
from types import TracebackType

from vibro.core.scheduler import SerialExecutor
from vibro.errors import ConfigError

LONG = 60.0  # seconds of work on one core from which workers are worth their start


def resolve_executor(spec: str, seconds: float, device: str) -> str:
    """What ``auto`` stands for: a worker for each processor, at most four, where the work takes long on one, else serial.

    ``seconds``: what it will take about; a GPU is not shared between workers.
    """
    if spec != "auto":
        return spec
    workers = min(processors(), 4)
    return f"processes:{workers}" if seconds > LONG and workers > 1 and device == "cpu" else "serial"


def processors() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def make_executor(spec: str) -> Executor:
    """``serial``, ``processes:N``, ``dask://host:port`` or ``dask://local`` (extra ``vibro[dask]``)."""
    scheme, _, rest = spec.partition(":")
    if spec == "serial":
        return SerialExecutor()
    if scheme == "processes" and rest.isdecimal() and int(rest) > 0:
        return Workers(int(rest))
    if scheme == "dask" and rest.startswith("//") and rest != "//":
        from vibro.core.dask import DaskExecutor

        return DaskExecutor(rest.removeprefix("//"), processors())
    raise ConfigError(
        f"unknown executor {spec!r}", hint="use auto, serial, processes:2, dask://local or dask://host:port"
    )


class Workers(ProcessPoolExecutor):
    """Worker processes that are ended at once when the work that they belong to fails or is interrupted."""

    def __init__(self, workers: int) -> None:
        super().__init__(workers, mp_context=get_context("spawn"), initializer=end_with_parent)
        self.workers = workers

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        if kind is not None:
            for process in list((self._processes or {}).values()):
                process.kill()
        return super().__exit__(kind, error, trace)


def end_with_parent() -> None:
    """Ends this worker process as soon as its parent has gone, however it went; the parent alone answers Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = parent_process()
    if parent is not None:

        def watch() -> None:
            connection.wait([parent.sentinel])
            os._exit(1)

        threading.Thread(target=watch, daemon=True).start()
