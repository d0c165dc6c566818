"""A large file of text parsed by a thread of its own, while the records before are judged, hashed and written."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from vibro.data import Record, Rejected
from vibro.ingest.files import Found

LARGE = 32 << 20  # bytes of text from which on a thread is worth its start
_BATCH = 1 << 20  # bytes of samples that are handed over at a time
_COUNT = 256  # items of a batch, however short they are
_LONG = 4 << 20  # bytes of a batch that must be used up before the next one is begun

Item = Record | Rejected


def worth_a_thread(found: Found) -> bool:
    """Whether there is much text to parse, which compiled code does beside other threads."""
    return type(found.reader).parses and found.size >= LARGE


def beside(items: Iterator[Item]) -> Iterator[Item]:
    """The same items in the same order, the next of them made by a thread while these are used.

    What ``items`` raises is raised behind the items before it. No record is made beside a long one, so that memory holds one.
    """
    with ThreadPoolExecutor(1, "vibro-read") as thread:
        ahead = thread.submit(_batch, items)
        while True:
            batch, size, error = ahead.result()
            if size < _LONG:
                ahead = thread.submit(_batch, items)
            yield from batch
            if error is not None:
                raise error
            if not batch:
                return
            if size >= _LONG:
                batch.clear()
                ahead = thread.submit(_batch, items)


def _batch(items: Iterator[Item]) -> tuple[list[Item], int, BaseException | None]:
    """The next items, the bytes of their samples, and what was raised behind them."""
    batch: list[Item] = []
    size = 0
    try:
        for item in items:
            batch.append(item)
            size += item.signal.nbytes if isinstance(item, Record) else 0
            if size >= _BATCH or len(batch) >= _COUNT:
                break
    except BaseException as error:
        return batch, size, error
    return batch, size, None
