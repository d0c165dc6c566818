"""A batch as files that open again: samples as ``signals.npy``, every column in ``index.safetensors``, no pickle."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vibro.data import SignalBatch
from vibro.errors import StateError
from vibro.ingest.matrix import open_samples
from vibro.ingest.reader import SIGNALS
from vibro.io.files import disk_errors
from vibro.io.tensors import decode_text, encode_text, load_tensors, save_tensors

INDEX = "index.safetensors"
_NUMBERS = ("sensor", "machine", "recording", "source", "row", "covariates", "quality")
_NAMES = ("sensors", "machines", "recordings", "sources", "covariate_names")


def save_batch(batch: SignalBatch, folder: Path) -> None:
    """Writes the batch into a folder; samples that lie there already are left alone."""
    with disk_errors(folder, batch.x.nbytes):
        folder.mkdir(parents=True, exist_ok=True)
        if not _lies_at(batch.x, folder / SIGNALS):
            np.save(folder / SIGNALS, np.ascontiguousarray(batch.x, dtype="<f4"), allow_pickle=False)
    state = {name: np.ascontiguousarray(getattr(batch, name)) for name in _NUMBERS}
    state |= {name: encode_text(getattr(batch, name)) for name in _NAMES}
    state["ids"] = encode_text(batch.ids)
    state["time"] = batch.time.astype("datetime64[ns]").view(np.int64)
    state["fs"] = np.asarray(batch.fs, dtype=np.float64)
    state["unit"] = encode_text([batch.unit])
    save_tensors(folder / INDEX, state)


def open_batch(folder: Path) -> SignalBatch:
    """The batch in a folder, its samples as a read-only memory map; StateError if a file is missing or damaged."""
    try:
        state = load_tensors(folder / INDEX)
        parts: dict[str, Any] = {name: state[name] for name in _NUMBERS}
        parts |= {name: tuple(map(str, decode_text(state[name]))) for name in _NAMES}
        return SignalBatch(
            x=open_samples(folder / SIGNALS),
            ids=decode_text(state["ids"]),
            time=state["time"].view("datetime64[ns]"),
            fs=float(state["fs"]),
            unit=str(decode_text(state["unit"])[0]),
            **parts,
        )
    except (OSError, KeyError, ValueError) as error:
        raise StateError(f"the stored records in {folder} cannot be opened: {error}") from None


def _lies_at(x: NDArray[np.float32], path: Path) -> bool:
    return isinstance(x, np.memmap) and path.exists() and Path(str(x.filename)).resolve() == path.resolve()
