"""Reading ahead in worker processes: the same batch, books and notes as in one process, file by file."""

from __future__ import annotations

import os
import pickle
from concurrent.futures import BrokenExecutor, Executor, Future
from multiprocessing import parent_process

import numpy as np
import pytest

from vibro.api import Context
from vibro.ingest import Accounting, IngestOptions, ingest
from vibro.ingest import ahead as ahead_module
from vibro.ingest.ahead import worth
from vibro.ingest.intake import Intake
from vibro.ingest.matrix import SampleFile
from vibro.ingest.shaping import Shaper
from vibro.ingest.worker import Job, take_files
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


def test_what_a_worker_hands_over_is_joined_as_if_it_were_read_here(folder, tmp_path):
    files = [(path, path.relative_to(folder).as_posix()) for path in sorted(folder.rglob("*.csv"))]
    job = Job(((Table, Table.make({}, Context()).params),), OPTIONS[0], "in")
    got = []
    for name, count in (("one", len(files)), ("parts", 7)):
        with SampleFile(tmp_path / name) as samples:
            books = Accounting(tmp_path)
            intake = Intake(books, samples, print, Shaper(OPTIONS[0], "in"))
            for i in range(0, len(files), count):
                into = tmp_path / f"{name}{i}"
                part = take_files(job, [(*file, 0) for file in files[i : i + count]], into)
                intake.join(pickle.loads(pickle.dumps(part)), into)
            got.append((intake.taken, list(books.rows()), samples.since(0).tobytes()))
    (a, *rest), (b, *again) = got
    assert rest == again and len(rest[0]) >= 3 and len(rest[1]) > 50 * 4 * 64
    assert (a.words, a.withdrawn, a.sources, a.notes, a.by_rule) == (
        b.words,
        b.withdrawn,
        b.sources,
        b.notes,
        b.by_rule,
    )
    assert len(a.words) > 0 and len(a.withdrawn) >= 0 and len(a.by_rule) > 50
    a, b = a.index.freeze(), b.index.freeze()
    assert a.names == b.names and len(a) > 100
    for name in a.__dataclass_fields__:
        if isinstance(getattr(a, name), np.ndarray):
            assert np.array_equal(getattr(a, name).view("u1"), getattr(b, name).view("u1")), name


class Failing(Table):
    """Fails on one file, as a plugin may."""

    def read(self, path):
        if path.name == "id_1_9.csv":
            raise ZeroDivisionError("nothing there")
        return super().read(path)


def test_the_caller_meets_what_a_worker_failed_on(folder, tmp_path):
    job = Job(((Failing, Failing.make({}, Context()).params),), OPTIONS[0], "in")
    paths = [folder / "m0" / "normal" / name for name in ("id_3_3.csv", "id_1_9.csv")]
    assert take_files(job, [(path, path.name, 0) for path in paths], tmp_path / "s").endswith("nothing there")
    assert not isinstance(take_files(job, [(paths[0], paths[0].name, 0)], tmp_path / "s"), str)


class Hungry(Table):
    """Runs out of memory in a worker process alone."""

    def read(self, path):
        if parent_process() is not None:
            raise MemoryError
        return super().read(path)


def test_what_only_workers_fail_on_is_told(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(ahead_module, "worth", lambda readers, sizes: 1)
    files = [path for path in sorted((folder / "m0").rglob("*.csv")) if path.name != "latin.csv"]
    reader = Hungry.make({}, Context())
    got = ingest(files, [reader], IngestOptions(need_fs=False), tmp_path / "w", lambda event: None, side_by_side=True)
    assert "worker processes could not read some files, which were then read without them: MemoryError" in got.warnings
    assert len(got.batch)


def dies(paths):
    """Ends the process of a worker, but not that of the test."""
    if parent_process() is not None:
        os._exit(1)
    return len(paths)


def test_a_worker_that_dies_is_done_without(tmp_path):
    with ahead_module._Pool(made(), tmp_path / "ahead", 2) as pool:
        assert list(pool._in_order(dies, ((range(i),) for i in range(40)))) == list(range(40))


class Dead(Executor):
    """Worker processes that died: before they were given anything, or with it."""

    def __init__(self, at_once):
        self.at_once = at_once

    def submit(self, fn, /, *args):
        if self.at_once:
            raise BrokenExecutor
        future = Future()
        future.set_exception(BrokenExecutor())
        return future


@pytest.mark.parametrize("at_once", [False, True])
def test_that_a_worker_died_is_told(tmp_path, monkeypatch, at_once):
    monkeypatch.setattr(ahead_module, "make_executor", lambda spec: Dead(at_once))
    with ahead_module._Pool(made(), tmp_path / "ahead", 1) as pool:
        assert list(pool._in_order(dies, ((range(i),) for i in range(1)))) == [0]
        assert pool.failed == ahead_module.DIED


def test_workers_only_where_they_pay(monkeypatch):
    monkeypatch.setattr(ahead_module, "processors", lambda: 3)
    assert worth(made(), [1000] * 5) == 0
    assert worth(made(), [1 << 30]) == 0
    assert worth(made(), [1000] * 4000) == 2
    assert worth(made(), [2_000_000] * 300) == 2
    monkeypatch.setattr(ahead_module, "code_of", lambda cls: "")  # a plugin in a process of its own
    assert worth(made(), [1000] * 4000) == 0
    monkeypatch.undo()
    monkeypatch.setattr(ahead_module, "processors", lambda: 1)
    assert worth(made(), [1000] * 4000) == 0


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
