"""The index of a batch (ids, sensors, times, covariates; no samples) as plain arrays, and back."""

from __future__ import annotations

from typing import Any

import numpy as np

from vibro.api import State
from vibro.data import SignalBatch
from vibro.io.tensors import decode_text, encode_text

SCORES = "stages/50-score/scores.safetensors"  # where a run keeps its index, beside its scores
_NUMBERS = ("sensor", "machine", "recording", "source", "row", "quality", "covariates")
_NAMES = ("sensors", "machines", "recordings", "sources", "covariate_names")


def index_state(batch: SignalBatch) -> State:
    """The batch without its samples, as plain numeric arrays."""
    state: State = {f"index/{name}": np.ascontiguousarray(getattr(batch, name)) for name in _NUMBERS}
    state |= {f"index/{name}": encode_text(getattr(batch, name)) for name in _NAMES}
    state["index/ids"] = encode_text(batch.ids)
    state["index/time"] = batch.time.astype("datetime64[ns]").view(np.int64)
    state["index/fs"] = np.asarray(batch.fs, dtype=np.float64)
    state["index/unit"] = encode_text([batch.unit])
    return state


def index_of(state: State) -> SignalBatch:
    """The batch of ``index_state`` with empty samples."""
    part: dict[str, Any] = {name: state[f"index/{name}"] for name in _NUMBERS}
    part |= {name: tuple(map(str, decode_text(state[f"index/{name}"]))) for name in _NAMES}
    ids = decode_text(state["index/ids"])
    return SignalBatch(
        x=np.zeros((len(ids), 1, 0), np.float32),
        ids=ids,
        time=state["index/time"].view("datetime64[ns]"),
        fs=float(state["index/fs"]),
        unit=str(decode_text(state["index/unit"])[0]),
        **part,
    )
