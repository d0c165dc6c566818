"""Tasks on the workers of a Dask cluster, who find them, and leave their results, in a folder that all machines see."""

from __future__ import annotations

import logging
import time
from asyncio import gather
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from threading import Lock
from typing import Any

from vibro.core.handover import WORK, perform, read_result, versions_here, write_task
from vibro.core.scheduler import FarExecutor, SerialExecutor
from vibro.errors import ConfigError, ResourceError

LOCAL = "local"
MOST = 256  # tasks that the scheduler is given at a time
CONNECT = 10  # seconds within which a scheduler answers
PATIENCE = 60.0  # seconds that a lost scheduler, or the first worker, is waited for
TRIES = 3  # times that a task is handed over if the scheduler is lost
LOOK = 2.0  # seconds between two looks at whether there are workers


class DaskExecutor(FarExecutor):
    """Hands a task over as the path of its folder; Dask itself gives the task of a worker that died to another one.

    Only the tasks of ``handover.WORK`` go to workers; anything else is done here.
    """

    def __init__(self, address: str, workers: int) -> None:
        """``host:port`` of a scheduler, or ``local`` for as many worker processes of this machine; ConfigError without one."""
        try:
            import distributed
        except ImportError:
            raise ConfigError("the Dask executor is not installed", hint="pip install 'vibro[dask]'") from None
        for name in ("distributed", *(name for name in logging.root.manager.loggerDict if "distributed." in name)):
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)  # what matters is told as an error of vibro
        self._address, self._lock, self._closing = address, Lock(), False
        self._cluster: Any = None
        if address == LOCAL:
            try:
                self._cluster = distributed.LocalCluster(  # type: ignore[no-untyped-call]
                    n_workers=workers,
                    threads_per_worker=1,
                    dashboard_address="127.0.0.1:0",
                    silence_logs=logging.CRITICAL + 1,
                )
            except (RuntimeError, OSError) as error:
                raise ResourceError(
                    f"no Dask workers start on this machine: {error}", hint="--executor serial"
                ) from None
        self._client = self._connected(CONNECT)
        if self._client is None:
            raise ConfigError(f"no Dask scheduler answers at {address}", hint="start one: dask scheduler --port 8786")
        self._threads = ThreadPoolExecutor(MOST)

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """The future of ``fn(task)``; the folder of the task lies beside the array of the view that the task reads."""
        if not any(fn is work for work, _ in WORK.values()):
            return SerialExecutor().submit(fn, *args, **kwargs)
        return self._threads.submit(self._result, write_task(fn, *args))

    def __exit__(self, *error: Any) -> None:
        self.shutdown()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Leaves the cluster; tasks that are still at work are given up."""
        self._closing = True
        if self._cluster is not None:
            self._cluster.sync(_end, self._cluster.workers)
        self._client.close()
        self._threads.shutdown(wait=wait, cancel_futures=True)
        if self._cluster is not None:
            self._cluster.close()

    def _result(self, folder: Path) -> Any:
        from distributed import KilledWorker

        for _ in range(TRIES):
            client, future = self._client, None
            try:
                future = client.submit(perform, str(folder), versions_here(), pure=False)
                reason, hint = self._wait(client, future)
            except KilledWorker as error:
                raise ResourceError(
                    f"several Dask workers died at one task (out of memory, or a crash in a library): {error.task}",
                    hint="give the workers more memory, or use --executor serial",
                ) from None
            except ResourceError:
                raise
            except Exception as error:
                if future is not None and future.status == "error":
                    raise ResourceError(
                        f"a Dask worker cannot do its task: {type(error).__name__}: {error}",
                        hint="the log of the worker says more",
                    ) from error
                if self._closing:
                    raise
                self._reconnect(client)
                continue
            if reason:
                raise ResourceError(reason, hint=hint)
            return read_result(folder)
        raise ResourceError(f"the Dask scheduler at {self._address} was lost {TRIES} times", hint="--resume goes on")

    def _wait(self, client: Any, future: Any) -> tuple[str, str]:
        """The result of a future, as long as there are workers or may soon be."""
        alone_since = time.monotonic()
        while True:
            try:
                return future.result(timeout=LOOK)  # type: ignore[no-any-return]
            except TimeoutError:
                if future.done():
                    raise
                if client.scheduler_info(n_workers=1)["workers"]:
                    alone_since = time.monotonic()
            if time.monotonic() - alone_since > PATIENCE:
                raise ResourceError(
                    f"the Dask scheduler at {self._address} has had no worker for {PATIENCE:g} s",
                    hint=f"start one: dask worker {self._address} --nthreads 1",
                )

    def _connected(self, seconds: float) -> Any:
        """A client, or None where no scheduler answers."""
        from distributed import Client

        try:
            return Client(self._cluster or self._address, timeout=seconds, set_as_default=False)  # type: ignore[no-untyped-call]
        except (OSError, ValueError):
            return None

    def _reconnect(self, lost: Any) -> None:
        """Another client in place of a lost one, unless a task of another thread has seen to it already."""
        with self._lock:
            if self._client is not lost:
                return
            lost.close()
            until = time.monotonic() + PATIENCE
            while time.monotonic() < until and not self._closing:
                client = self._connected(CONNECT)
                if client is not None:
                    self._client = client
                    return
                time.sleep(0.5)
            raise ResourceError(
                f"the Dask scheduler at {self._address} has gone, and none came back within {PATIENCE:g} s",
                hint="start it again; --resume goes on",
            )


async def _end(workers: Mapping[Any, Any]) -> None:
    """Ends worker processes of this machine without waiting for what they are at."""
    closing = [worker.close(timeout=0.2) for worker in workers.values()]
    await gather(*closing, return_exceptions=True)  # one that is slow to go has been killed
