"""Small signals and what the dialects have in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

N = 64
FS = 2000.0
DAY = "2024-03-01"
START = np.datetime64("2024-03-01T08:00:00", "ns")
NO_TIME = np.datetime64("NaT", "ns")
T = np.arange(N) / FS
_rng = np.random.default_rng(16)
X, Y, Z = (np.round(_rng.normal(0, 2, N), 5) for _ in range(3))
XYZ = {"x": X, "y": Y, "z": Z}


@dataclass(frozen=True)
class Dialect:
    """A file as some program writes it, and what must be read of it: samples by channel, in the order of the file."""

    name: str
    file: str
    make: Callable[[Path], object]
    channels: Mapping[str, Any]
    fs: float = 0.0
    time: np.datetime64 = NO_TIME
    sensor: str = ""
    unit: str = ""
    covariates: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()  # words that the notes must hold
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Broken:
    """A file that cannot be read: the reason, and words that the refusal must hold."""

    name: str
    file: str
    make: Callable[[Path], object]
    code: str
    words: tuple[str, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)
    good: int = 0  # records that are read all the same


def text(content: str, encoding: str = "utf-8") -> Callable[[Path], object]:
    """Writes a text."""
    return lambda path: path.write_bytes(content.encode(encoding))


def raw(content: bytes) -> Callable[[Path], object]:
    """Writes bytes."""
    return lambda path: path.write_bytes(content)


def rows(*columns: Any, mark: str = ",", decimal: str = ".", end: str = "\n", form: str = "{!r}") -> str:
    """Lines with a cell of each column; texts stay as they are."""
    lines = []
    for cells in zip(*columns, strict=True):
        shown = [cell if isinstance(cell, str) else form.format(float(cell)).replace(".", decimal) for cell in cells]
        lines.append(mark.join(shown))
    return end.join([*lines, ""])


def clock(form: str, step: float = 1 / FS, n: int = N) -> list[str]:
    """Times of day from 08:00 on, as dates that numpy writes, cut and changed by ``form``."""
    stamps = START + (np.arange(n) * step * 1e9).round().astype("timedelta64[ns]")
    return [form.format(day=str(s)[:10], time=str(s)[11:], s=s) for s in stamps]
