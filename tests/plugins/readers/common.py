"""What the tests of readers share: lines of records, and a slow reading of numbers."""

from __future__ import annotations

import json
import math
import re

import numpy as np

from vibro.api import Context

STAMP = "2024-03-01T00:00:00.000Z"


def read(cls, path, **settings):
    return list(cls.make(settings, Context()).read(path))


def line(signal, **more) -> bytes:
    return json.dumps({"data_time": STAMP, "signal_value": signal, "sensor_id": "s", **more}).encode()


def slow(text: str) -> list[float] | None:
    """Another make of the grammar: one regular expression a token, exact decimal arithmetic by Python."""
    found = []
    for token in text.split(","):
        if not re.fullmatch(r"[+-]?\d+(\.\d+)?([eE][+-]?\d+)?", token.strip(" "), re.ASCII):
            return None
        with np.errstate(over="ignore"):
            value = np.float32(float(token))
        if not math.isfinite(value):
            return None
        found.append(value)
    return found


def same(a, b) -> bool:
    return np.array_equal(np.asarray(a, np.float32).view(np.uint32), np.asarray(b, np.float32).view(np.uint32))
