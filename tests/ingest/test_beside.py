"""A large file is parsed by a thread beside the writing: the outcome is that of one thread, byte by byte."""

from __future__ import annotations

import json
import threading

import numpy as np
import pytest

from vibro.api import Context, Record
from vibro.errors import PluginError
from vibro.ingest import IngestOptions, ingest
from vibro.ingest import beside as beside_module
from vibro.ingest.beside import beside
from vibro_plugins.readers.jsonl import JsonLines
from vibro_plugins.readers.table import Table


def lines():
    """Records of two sensors, and one of every kind of trouble among them."""
    rng = np.random.default_rng(0)
    found = []
    for i in range(600):
        values = ",".join(f"{value:.5f}" for value in rng.normal(size=64))
        found.append({"sensor_id": f"s{i % 2}", "data_time": f"2024-03-01T{i // 60:02d}:{i % 60:02d}:00Z"})
        found[-1]["signal_value"] = "1,2,x" if i == 70 else ",".join(["3"] * 64) if i == 300 else values
        found[-1] |= {"covariates": {"load": i / 7}} if i % 3 else {"unit": "g"}
    texts = [json.dumps(record) for record in found]
    texts[10] = "no json"
    texts[299] = texts[298]
    texts[599] = '{"sensor_id": "s0"}'
    return "\n".join(texts)


def table():
    rng = np.random.default_rng(1)
    return "x,y\n" + "\n".join(f"{a:.4f},{b:.4f}" for a, b in rng.normal(size=(4000, 2))) + "\n"


FILES = {
    "a.jsonl": (JsonLines, lines, IngestOptions(fs=100.0)),
    "b.csv": (Table, table, IngestOptions(fs=100.0, window="16", hop="8")),
}


def outcome(path, cls, options, work):
    got = ingest([path], [cls.make({}, Context())], options, work, lambda event: None)
    got.accounting.check()
    columns = {name: getattr(got.batch, name) for name in got.batch.__dataclass_fields__ if name != "x"}
    plain = {name: value.tobytes() if isinstance(value, np.ndarray) else value for name, value in columns.items()}
    return (
        len(got.batch),
        plain,
        (work / "signals.npy").read_bytes(),
        list(got.accounting.rows()),
        got.warnings,
        got.sources,
    )


@pytest.mark.parametrize("name", FILES)
def test_a_thread_changes_nothing(tmp_path, monkeypatch, name):
    cls, text, options = FILES[name]
    (tmp_path / name).write_text(text())
    alone = outcome(tmp_path / name, cls, options, tmp_path / "alone")
    threads, plain = set(), cls.read

    def read(self, path):
        for item in plain(self, path):
            threads.add(threading.current_thread())
            yield item

    monkeypatch.setattr(cls, "read", read)
    monkeypatch.setattr(beside_module, "LARGE", 0)
    monkeypatch.setattr(beside_module, "_BATCH", 2000)
    assert outcome(tmp_path / name, cls, options, tmp_path / "beside") == alone
    assert alone[0] > 400 and (name != "a.jsonl" or len(alone[3]) >= 5)
    assert len(threads) == 1 and threading.current_thread() not in threads
    assert not [thread for thread in threads if thread.is_alive()]


class Failing(JsonLines):
    """Fails in the middle of its file."""

    error: Exception

    def read(self, path):
        for i, item in enumerate(super().read(path)):
            if i == 100:
                raise self.error
            yield item


def test_an_error_costs_what_lies_behind_it_as_without_the_thread(tmp_path, monkeypatch):
    (tmp_path / "a.jsonl").write_text(lines())
    monkeypatch.setattr(Failing, "error", OSError("the disk is gone"), raising=False)
    alone = outcome(tmp_path / "a.jsonl", Failing, IngestOptions(fs=100.0), tmp_path / "alone")
    monkeypatch.setattr(beside_module, "LARGE", 0)
    assert outcome(tmp_path / "a.jsonl", Failing, IngestOptions(fs=100.0), tmp_path / "beside") == alone
    assert alone[0] == 98  # of a hundred lines two are refused
    monkeypatch.setattr(Failing, "error", ValueError("a mistake"))
    with pytest.raises(PluginError, match=r"failed on a\.jsonl: ValueError: a mistake"):
        outcome(tmp_path / "a.jsonl", Failing, IngestOptions(fs=100.0), tmp_path / "failed")


def record(samples):
    return Record(np.ones((1, samples), np.float32), "s")


@pytest.mark.parametrize(("samples", "most"), [(100, 1000), (2 << 20, 1)])
def test_short_records_are_made_ahead_and_long_ones_are_not(samples, most):
    made = []

    def items():
        for i in range(1000 if samples == 100 else 5):
            made.append(i)
            yield record(samples)

    ahead = 0
    for used, _ in enumerate(beside(items()), 1):
        ahead = max(ahead, len(made) - used)
    assert used == len(made)
    assert ahead == 0 if most == 1 else 100 < ahead <= 2 * beside_module._COUNT


def test_who_stops_early_leaves_no_thread():
    before = threading.active_count()
    items = beside(record(100) for _ in range(10_000))
    next(items)
    items.close()
    assert threading.active_count() == before
