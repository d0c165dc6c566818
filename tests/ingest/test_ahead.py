"""Reading ahead in worker processes: the same batch, books and notes as in one process, file by file."""

from __future__ import annotations

import numpy as np
import pytest

from vibro.api import Context
from vibro.ingest import IngestOptions, ingest
from vibro.ingest import ahead as ahead_module
from vibro.ingest.ahead import worth
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
        path = tmp_path / "in" / f"m{i % 3}" / f"{i}.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        rows = [f"{a:.4f},{b:.4f}" for a, b in rng.normal(size=(64, 2))]
        if i == 17:
            rows[40] = "1,2,3"
        if i == 23:
            rows[:] = ["no table"]
        path.write_text("x,y\n" + "\n".join(rows) + "\n")
    np.savez(tmp_path / "in" / "m1" / "a.npz", signals=rng.normal(size=(3, 64)), sensor_id="s")
    (tmp_path / "in" / "broken.jsonl").write_text('{"sensor_id": 1}\n' * 3)
    (tmp_path / "in" / "m0" / "latin.csv").write_bytes("Höhe\n".encode("latin-1") + b"1.5\n2.5\n" * 32)
    return tmp_path / "in"


def take(folder, tmp_path, name, **options):
    events = []
    got = ingest([folder], made(), IngestOptions(need_fs=False), tmp_path / name, events.append, **options)
    got.accounting.check()
    return got, events


def test_workers_change_nothing(folder, tmp_path, monkeypatch):
    alone, told = take(folder, tmp_path, "w1")
    monkeypatch.setattr(ahead_module, "worth", lambda readers, sizes: 2)
    together, said = take(folder, tmp_path, "w2", side_by_side=True)
    assert alone.sources == together.sources and alone.warnings == together.warnings
    assert alone.ignored == together.ignored and alone.preview == together.preview
    assert list(alone.accounting.rows()) == list(together.accounting.rows())
    for name in alone.batch.__dataclass_fields__:
        a, b = getattr(alone.batch, name), getattr(together.batch, name)
        assert np.array_equal(a, b, equal_nan=a.dtype.kind in "fM") if isinstance(a, np.ndarray) else a == b, name
    assert [type(event) for event in told] == [type(event) for event in said]


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
    gone = folder / "m0" / "9.csv"
    real = ahead_module.ReadAhead.reading

    def reading(self, listing):
        gone.unlink()
        return real(self, listing)

    monkeypatch.setattr(ahead_module.ReadAhead, "reading", reading)
    got, _ = take(folder, tmp_path, "w", side_by_side=True)
    (row,) = [row for row in got.accounting.rows() if row["source"] == "m0/9.csv"]
    assert row["code"] == "Q020"
