"""Mutated files: whatever is in a file, ingest ends with a verdict on every record, or with one of its documented errors.

``python -m pytest tests/hardening/test_fuzz.py -m slow`` tries 10,000; ``VIBRO_FUZZ=1000000`` in the environment sets another
number, ``VIBRO_FUZZ_SEED`` another seed. A file that fails is kept, and its path is part of the message.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import random
import shutil
import wave
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from vibro.context import Context
from vibro.errors import DataError, VibroError
from vibro.host.manager import PluginHost
from vibro.ingest import IngestOptions, ingest

from .made import FS, signals

SEED = int(os.environ.get("VIBRO_FUZZ_SEED", "0"))
TOKENS = [
    b"NaN",
    b"1e999",
    b"-",
    b"\x00",
    b"\xff",
    b"[",
    b"}",
    b'"',
    b",",
    b"\n",
    b"\r",
    b"18446744073709551616",
    b"(-1, ",
]
TOKENS += [
    b"2024-02-30T00:00:00Z",
    b"\xef\xbb\xbf",
    "中".encode(),
    b"True",
    b"\x7f\xff\xff\xff",
    b"\x80" * 8,
    b"1_0",
    b"0x1",
]


def texts(n: int = 6) -> list[dict]:
    return [
        {
            "data_time": f"2024-01-01T00:{i:02}:00Z",
            "sensor_id": "ab"[i % 2],
            "fs": FS,
            "signal_value": ",".join(f"{v:.5f}" for v in row),
        }
        for i, row in enumerate(signals(n, faults=1)[:, :64])
    ]


def formats() -> dict[str, bytes]:
    """A small valid file of every kind that can be made without much code."""
    rows = texts()
    jsonl = "".join(json.dumps(row) + "\n" for row in rows).encode()
    table, npz, mat, parquet, wav = (io.BytesIO() for _ in range(5))
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    table.write(text.getvalue().encode())
    x = signals(6, faults=1)[:, :64]
    np.savez(
        npz,
        signals=x,
        fs=float(FS),
        sensor_id=np.array(["a", "b"] * 3),
        data_time=np.array([r["data_time"] for r in rows]),
    )
    import pyarrow as pa
    from pyarrow import parquet as pq
    from scipy.io import savemat

    savemat(mat, {"x": x[0], "fs": FS})
    listed = [{**row, "signal_value": [float(v) for v in row["signal_value"].split(",")]} for row in rows]
    pq.write_table(pa.Table.from_pylist(listed), parquet)
    with wave.open(wav, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(FS)
        out.writeframes((1000 * x[0]).astype("<i2").tobytes())
    return {
        ".jsonl": jsonl,
        ".jsonl.gz": gzip.compress(jsonl, mtime=0),
        ".json": json.dumps(rows).encode(),
        ".csv": table.getvalue(),
        ".npz": npz.getvalue(),
        ".mat": mat.getvalue(),
        ".parquet": parquet.getvalue(),
        ".wav": wav.getvalue(),
    }


def mutated(chance: random.Random, content: bytes) -> bytes:
    """One to four changes: bits, tokens, cuts, copies, swaps."""
    data = bytearray(content)
    for _ in range(chance.randint(1, 4)):
        size = max(1, len(data))
        at, length = chance.randrange(size), chance.choice((1, 2, 8, 64, 512))
        kind = chance.randrange(7)
        if kind == 0 and data:
            data[at] ^= 1 << chance.randrange(8)
        elif kind == 1:
            token = chance.choice(TOKENS)
            data[at : at + chance.choice((0, len(token)))] = token
        elif kind == 2:
            del data[at : at + length]
        elif kind == 3:
            data[at:at] = data[chance.randrange(size) :][:length]
        elif kind == 4:
            del data[at:]
        elif kind == 5:
            data[at : at + length] = bytes(chance.randrange(256) for _ in range(length))
        else:
            data[at : at + length] = bytes(len(data[at : at + length]))
    return bytes(data)


def fuzz(tmp_path: Path, count: int, seed: int, names: list[str]) -> None:
    """Ingests mutated files one by one; AssertionError names the file that was kept."""
    host = PluginHost.create(autoload=False)
    readers = [cls.make({}, Context()) for cls in host.components("reader")]
    sources, chance = formats(), random.Random(seed)
    for k in range(count):
        name = names[k % len(names)]
        place = tmp_path / str(k)
        place.mkdir()
        path = place / f"x{name}"
        path.write_bytes(mutated(chance, sources[name]))
        try:
            found = ingest([path], readers, IngestOptions(need_fs=False), place / "work", lambda event: None)
            books, batch = found.accounting.total, found.batch
            assert books.read == books.accepted + books.quarantined
            assert len(batch) == books.accepted and np.isfinite(batch.x).all()
            assert len(set(batch.ids.tolist())) == len(batch)
        except DataError as error:
            assert "no record" in error.message or "nothing" in error.message, f"{path}: {error}"
        except VibroError as error:
            assert error.exit_code in (2, 3, 4), f"{path} (seed {seed}, number {k}): {type(error).__name__}: {error}"
        except Exception as error:
            raise AssertionError(f"{path} (seed {seed}, number {k}): {type(error).__name__}: {error}") from error
        shutil.rmtree(place)


@pytest.mark.parametrize("name", [".jsonl", ".jsonl.gz", ".json", ".csv", ".npz", ".mat", ".parquet", ".wav"])
def test_mutated_files_of_each_format(tmp_path, name):
    fuzz(tmp_path, 40, SEED + 1, [name])


@pytest.mark.slow
@pytest.mark.timeout(0)
def test_ten_thousand_mutated_files(tmp_path):
    fuzz(tmp_path, int(os.environ.get("VIBRO_FUZZ", "10000")), SEED + 2, list(formats()))


def test_the_valid_files_are_accepted(tmp_path):
    host = PluginHost.create(autoload=False)
    readers = [cls.make({}, Context()) for cls in host.components("reader")]
    accepted = {}
    for name, content in formats().items():
        (tmp_path / f"x{name}").write_bytes(content)
        place = tmp_path / f"work{name}"
        found = ingest([tmp_path / f"x{name}"], readers, IngestOptions(need_fs=False), place, lambda event: None)
        accepted[name] = found.accounting.total.accepted
    assert accepted == {**dict.fromkeys(accepted, 6), ".mat": 1, ".wav": 1}


def test_a_mutation_changes_the_file():
    content: Callable[[int], bytes] = lambda seed: mutated(random.Random(seed), formats()[".jsonl"])  # noqa: E731
    assert len({content(seed) for seed in range(50)}) > 40 and content(3) == content(3)
