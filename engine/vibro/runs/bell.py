"""Waiting for a folder to change: told by the kernel where it tells, else looking again and again."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from vibro.store.lock import network_file_system

EVERY = 1.0  # seconds from look to look where nobody tells of changes


def bell(folder: Path) -> Callable[[float], None]:
    """A function that waits at most so many seconds, less if the folder changes.

    On network file systems, which tell nothing of what other machines do, and without the extra ``vibro[watch]`` it waits
    a second at most.
    """
    if find_spec("watchfiles") is None or network_file_system(folder):
        return lambda seconds: time.sleep(min(seconds, EVERY))
    from watchfiles import watch

    changes: Iterator[Any] = watch(folder, watch_filter=None, rust_timeout=int(1000 * EVERY), yield_on_timeout=True)

    def wait(seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end and not next(changes):
            pass

    return wait
