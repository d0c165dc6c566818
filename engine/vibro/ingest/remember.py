"""A cache of parsed files: the next run reads the numbers from a memory map instead of parsing the text again."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, astuple, fields
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vibro.api import State
from vibro.core.view_key import code_of
from vibro.data import Record, Rejected
from vibro.ingest.files import Found

if TYPE_CHECKING:
    from vibro.core.views import Cache

MOST = 64 << 20  # bytes that the items of a file may take without their samples
FIELDS = tuple(f.name for f in fields(Record) if f.name not in ("signal", "time"))
Item = tuple[tuple[int, ...] | None, int | None, Sequence[Any]]
_PLAIN = (str, int, float, bool)
SMALL = 1 << 20  # bytes of a file that is parsed as fast as an entry of the cache is looked up


def key_of(found: Found, digest: str) -> str:
    """Name of what a reader makes of a file with this sha256; empty where it is not to be kept.

    That is so for readers that do not parse, and for those whose code cannot be seen.
    """
    reader = found.reader
    code = code_of(type(reader)) if type(reader).parses else ""
    if not code:
        return ""
    settings = json.dumps(asdict(reader.params), default=repr)
    parts = (
        "read",
        *FIELDS,
        code,
        settings,
        found.path.name,
        digest,
    )
    return sha256("\0".join(parts).encode("utf-8", "backslashreplace")).hexdigest()


Kept = tuple[NDArray[np.float32], State]


def keep(memory: Memory, cache: Cache, key: str, samples: NDArray[np.float32], notes: list[str]) -> None:
    """Into the cache: the items, their samples one behind the other, and what the reader said of the file."""
    lines = memory.lines
    if len(samples) and lines is not None:
        told = np.frombuffer(json.dumps(notes).encode(), np.uint8)
        cache.put(key, samples, {"items": np.frombuffer(lines, np.uint8), "notes": told})


def recall(kept: Kept) -> Iterator[Record | Rejected]:
    """The items of a file from the cache, as its reader gave them."""
    samples, state = kept
    return rebuilt(samples, map(json.loads, state["items"].tobytes().splitlines()))


def said(kept: Kept) -> list[str]:
    """What the reader said of the file."""
    found: list[str] = json.loads(kept[1]["notes"].tobytes())
    return found


class Memory:
    """Records the items of one file while they are read, to be cached with their samples; stops above MOST bytes."""

    def __init__(self) -> None:
        self._lines = bytearray()
        self._plain = True

    def listen(self, items: Iterator[Record | Rejected]) -> Iterator[Record | Rejected]:
        """Yields the same items; an item is recorded when the next one is requested, that is, after its check has passed."""
        for item in items:
            yield item
            if self._plain and len(self._lines) <= MOST:
                try:
                    self._lines += json.dumps(plain(item)).encode() + b"\n"
                except TypeError:  # a value of a type that JSON has not: such a file is read anew
                    self._plain = False

    @property
    def lines(self) -> bytes | None:
        """The items as lines of JSON; None where they are too many, or hold what JSON has not."""
        return bytes(self._lines) if self._plain and len(self._lines) <= MOST else None


def plain(item: Record | Rejected) -> Item:
    """Shape, time and all other fields of a record; of a rejected item its fields, with None for shape and time.

    TypeError for a value that is neither text nor a number.
    """
    if isinstance(item, Rejected):
        return None, None, astuple(item)
    time = int(item.time.astype("datetime64[ns]").astype(np.int64))
    return item.signal.shape, time, [_value(getattr(item, name)) for name in FIELDS]


def _value(value: object) -> object:
    if type(value) in _PLAIN:
        return value
    if isinstance(value, Mapping):
        return {str(name): _value(inner) for name, inner in value.items()}
    raise TypeError(f"{type(value).__name__} is no text or number")


def rebuilt(samples: NDArray[np.float32], items: Iterable[Item]) -> Iterator[Record | Rejected]:
    """Items from what ``plain`` has made of them, and the samples of all of them."""
    start = 0
    for shape, time, values in items:
        if shape is None:
            yield Rejected(*values)
            continue
        signal = samples[start : start + shape[0] * shape[1]].reshape(shape)
        start += signal.size
        yield Record(signal, time=np.datetime64(time, "ns"), **dict(zip(FIELDS, values, strict=True)))
