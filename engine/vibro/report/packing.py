"""Numbers for the scripts of a page: base64 of little-endian integers with a scale, a tenth of the same numbers as text."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vibro.report.svg import Svg

NOTHING = -32_768  # stands for NaN
_TOP = 32_767


def packed(values: ArrayLike) -> dict[str, Any]:
    """Numbers (n,) as 16-bit steps of their range; NaN and infinity are kept as missing."""
    x = np.asarray(values, np.float64)
    known = np.isfinite(x)
    low, high = (float(x[known].min()), float(x[known].max())) if known.any() else (0.0, 0.0)
    step = (high - low) / (2 * _TOP) or 1.0
    steps = np.where(known, np.round((np.where(known, x, low) - low) / step) - _TOP, NOTHING)
    return {"offset": low + _TOP * step, "step": step, "i16": _base64(steps.astype("<i2"))}


def packed_codes(values: ArrayLike) -> dict[str, Any]:
    """Small whole numbers (n,), 0 to 255."""
    return {"u8": _base64(np.asarray(values, np.uint8))}


def packed_places(values: ArrayLike) -> dict[str, Any]:
    """Places (n,) on an axis, such as seconds: 32-bit steps of their range, which keep near ones apart; even ones by count."""
    x = np.asarray(values, np.float64)
    low, high = (float(x.min()), float(x.max())) if len(x) else (0.0, 0.0)
    if len(x) > 2 and np.ptp(np.diff(x)) <= 1e-9 * (high - low):
        return {"offset": low, "step": (high - low) / (len(x) - 1), "count": len(x)}
    step = (high - low) / (2**31 - 1) or 1.0
    return {"offset": low, "step": step, "i32": _base64(np.round((x - low) / step).astype("<i4"))}


def data_block(value: Any) -> Svg:
    """JSON for a data block of the page: no text in it can end the block."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return Svg(text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029"))


def _base64(values: NDArray[Any]) -> str:
    return b64encode(np.ascontiguousarray(values).tobytes()).decode()
