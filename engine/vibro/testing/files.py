"""Small files of the usual formats for the checks of readers: good ones, and ones with bad items among the good."""

from __future__ import annotations

import csv
import gzip
import io
import json
import wave
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

SAMPLES = 64


class Example(NamedTuple):
    """One file and what it holds."""

    name: str
    content: bytes
    records: int
    rejected: int = 0


def examples(extension: str) -> list[Example]:
    """Files with this ending; none if the format is not known here."""
    plain = extension.removesuffix(".gz")
    makers = _MAKERS.get(plain, ())
    found = [maker(extension) for maker in makers]
    return [e._replace(content=gzip.compress(e.content, mtime=0)) for e in found] if plain != extension else found


def _signal(i: int) -> NDArray[np.float32]:
    return np.asarray(np.sin(np.arange(SAMPLES) * 0.3 + i) + 0.1 * i, np.float32)


def _object(i: int) -> dict[str, Any]:
    values = ",".join(f"{v:.6g}" for v in _signal(i))
    return {"data_time": f"2024-05-01T10:0{i}:00Z", "signal_value": values, "sensor_id": f"s{i % 2}"}


def _jsonl(extension: str) -> Example:
    return Example(f"good{extension}", "".join(json.dumps(_object(i)) + "\n" for i in range(3)).encode(), 3)


def _jsonl_with_bad(extension: str) -> Example:
    lines = [
        json.dumps(_object(0)),
        "{broken",
        json.dumps({**_object(1), "signal_value": "1,2,x"}),
        json.dumps(_object(2)),
    ]
    return Example(f"mixed{extension}", "\n".join(lines).encode(), 2, 2)


def _json_list(extension: str) -> Example:
    return Example(f"list{extension}", json.dumps([_object(i) for i in range(3)]).encode(), 3)


def _json_one(extension: str) -> Example:
    return Example(f"one{extension}", json.dumps(_object(0)).encode(), 1)


def _csv(extension: str) -> Example:
    out = io.StringIO()
    writer = csv.DictWriter(out, ["sensor_id", "data_time", "signal_value"])
    writer.writeheader()
    writer.writerows(_object(i) for i in range(3))
    return Example(f"good{extension}", out.getvalue().encode(), 3)


def _csv_with_bad(extension: str) -> Example:
    good = _csv(extension).content.decode().splitlines()
    return Example(
        f"mixed{extension}", "\r\n".join([good[0], good[1], 's0,2024-05-01T11:00:00Z,"1,nan,3"']).encode(), 1, 1
    )


def _npz(extension: str) -> Example:
    out = io.BytesIO()
    np.savez(out, signals=np.stack([_signal(i) for i in range(3)]), fs=np.float64(2048.0))
    return Example(f"good{extension}", out.getvalue(), 3)


def _npz_with_bad(extension: str) -> Example:
    signals = np.stack([_signal(i) for i in range(3)])
    signals[1, 5] = np.nan
    out = io.BytesIO()
    np.savez(out, signals=signals, fs=np.float64(2048.0))
    return Example(f"mixed{extension}", out.getvalue(), 2, 1)


def _wav(extension: str) -> Example:
    out = io.BytesIO()
    with wave.open(out, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(2048)
        sound.writeframes((_signal(0) * 8000).astype("<i2").tobytes())
    return Example(f"good{extension}", out.getvalue(), 1)


def _mat(extension: str) -> Example:
    from scipy.io import savemat

    out = io.BytesIO()
    savemat(out, {"vibration": _signal(0)})
    return Example(f"good{extension}", out.getvalue(), 1)


def _parquet(extension: str) -> Example:
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [{**_object(i), "signal_value": _signal(i).tolist()} for i in range(3)]
    out = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), out)
    return Example(f"good{extension}", out.getvalue(), 3)


_MAKERS: dict[str, tuple[Callable[[str], Example], ...]] = {
    ".jsonl": (_jsonl, _jsonl_with_bad),
    ".json": (_json_one, _json_list),
    ".csv": (_csv, _csv_with_bad),
    ".npz": (_npz, _npz_with_bad),
    ".wav": (_wav,),
    ".mat": (_mat,),
    ".parquet": (_parquet,),
}
