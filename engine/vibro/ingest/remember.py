"""A cache of parsed files: the next run reads the numbers from a memory map instead of parsing the text again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray

from vibro.api import State
from vibro.core.view_key import code_of
from vibro.core.views import Cache
from vibro.data import Record, Rejected
from vibro.ingest.files import Found
from vibro.ingest.worker import FIELDS, Memory, rebuilt

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
