"""Reading ahead in worker processes: the same batch, books and notes as in one process, file by file."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from vibro.api import Context, Rejected
from vibro.ingest import IngestOptions, ingest
from vibro.ingest import ahead as ahead_module
from vibro.ingest.ahead import worth
from vibro.ingest.shaping import Shaper
from vibro.ingest.worker import packed, read_file, unpacked
from vibro_plugins.readers.csv import CsvTable
from vibro_plugins.readers.jsonl import JsonLines
from vibro_plugins.readers.npz import Npz
from vibro_plugins.readers.table import Table

READERS = (JsonLines, CsvTable, Table, Npz)


def made():
    return [cls.make({}, Context()) for cls in READERS]


@pytest.fixture
def folder(tmp_path):
    """Many small recordings, with broken and foreign files among them."""
    rng = np.random.default_rng(0)
    for i in range(60):
        path = tmp_path / "in" / f"m{i % 3}" / ("normal" if i % 2 else "inner") / f"id_{i % 4}_{i}.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        rows = [f"{a:.4f},{b:.4f}" for a, b in rng.normal(size=(64, 2))]
        if i == 17:
            rows[40] = "1,2,3"
        if i == 23:
            rows[:] = ["no table"]
        if i == 31:
            rows[5] = "nan,1"
        if i == 37:
            rows[:] = ["0.5,1"] * 64
        path.write_text("x,y\n" + "\n".join(rows) + "\n")
    np.savez(tmp_path / "in" / "m1" / "a.npz", signals=rng.normal(size=(3, 64)), sensor_id="s")
    (tmp_path / "in" / "broken.jsonl").write_text('{"sensor_id": 1}\n' * 3)
    (tmp_path / "in" / "m0" / "latin.csv").write_bytes("Höhe\n".encode("latin-1") + b"1.5\n2.5\n" * 32)
    return tmp_path / "in"


def take(folder, tmp_path, name, options=None, **how):
    events = []
    options = options or IngestOptions(need_fs=False)
    got = ingest([folder], made(), options, tmp_path / name, events.append, **how)
    got.accounting.check()
    return got, events


OPTIONS = (
    IngestOptions(need_fs=False),
    IngestOptions(fs=100.0, window="24", hop="16", repair=2, unit="g"),
    IngestOptions(fs=100.0, resample=50.0, sensor_from="*id_{sensor}_*", tz="Asia/Shanghai"),
)


@pytest.mark.parametrize("options", OPTIONS, ids=["plain", "windows", "patterns"])
def test_workers_change_nothing(folder, tmp_path, monkeypatch, options):
    alone, told = take(folder, tmp_path, "w1", options)
    monkeypatch.setattr(ahead_module, "worth", lambda readers, sizes: 2)
    together, said = take(folder, tmp_path, "w2", options, side_by_side=True)
    assert alone.sources == together.sources and alone.warnings == together.warnings
    assert alone.ignored == together.ignored and alone.preview == together.preview
    assert list(alone.accounting.rows()) == list(together.accounting.rows())
    for name in alone.batch.__dataclass_fields__:
        a, b = getattr(alone.batch, name), getattr(together.batch, name)
        assert np.array_equal(a, b, equal_nan=a.dtype.kind in "fM") if isinstance(a, np.ndarray) else a == b, name
    assert (tmp_path / "w1" / "signals.npy").read_bytes() == (tmp_path / "w2" / "signals.npy").read_bytes()
    assert [type(event) for event in told] == [type(event) for event in said]


def test_what_a_worker_packs_comes_back_whole(folder, tmp_path):
    reader, shaper = Table.make({}, Context()), Shaper(OPTIONS[0], "in")
    for path in sorted(folder.rglob("*.csv")):
        read = read_file(path, path.relative_to(folder).as_posix(), reader, shaper)
        with (tmp_path / "samples").open("wb") as out:
            out.write(b"1234")
            wrapped = packed(read, out)
        again = unpacked(wrapped, np.fromfile(tmp_path / "samples", np.float32))
        assert again._replace(items=()) == read._replace(items=()) and len(again.items) == len(read.items) > 0
        for a, b in zip(again.items, read.items, strict=True):
            if isinstance(b, Rejected):
                assert a == b
                continue
            assert a[1:] == b[1:] and np.array_equal(a.record.signal, b.record.signal)
            empty = np.zeros((1, 0), np.float32)
            assert str(replace(a.record, signal=empty)) == str(replace(b.record, signal=empty))


def test_workers_only_where_they_pay(monkeypatch):
    monkeypatch.setattr(ahead_module, "processors", lambda: 3)
    assert worth(made(), [1000] * 5) == 0
    assert worth(made(), [1 << 30]) == 0
    assert worth(made(), [1000] * 2000) == 2
    assert worth(made(), [500_000] * 300) == 2
    monkeypatch.setattr(ahead_module, "code_of", lambda cls: "")  # a plugin in a process of its own
    assert worth(made(), [1000] * 2000) == 0
    monkeypatch.undo()
    monkeypatch.setattr(ahead_module, "processors", lambda: 1)
    assert worth(made(), [1000] * 2000) == 0


def test_a_file_that_is_gone_when_its_turn_comes(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(ahead_module, "worth", lambda readers, sizes: 1)
    gone = folder / "m0" / "normal" / "id_1_9.csv"
    real = ahead_module.ReadAhead.reading

    def reading(self, *args):
        gone.unlink()
        return real(self, *args)

    monkeypatch.setattr(ahead_module.ReadAhead, "reading", reading)
    got, _ = take(folder, tmp_path, "w", side_by_side=True)
    (row,) = [row for row in got.accounting.rows() if row["source"] == "m0/normal/id_1_9.csv"]
    assert row["code"] == "Q020"
