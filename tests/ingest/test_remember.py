"""What was read of a file is recalled in the next run: no parsing, and not a byte of the outcome differs."""

from __future__ import annotations

import gzip
import json
from dataclasses import fields

import numpy as np
import pytest

from vibro.api import Context
from vibro.ingest import IngestOptions, ingest
from vibro.store.tables import write_quarantine
from vibro.store.viewcache import ViewCache
from vibro_plugins.readers.jsonl import JsonLines
from vibro_plugins.readers.npz import Npz


def lines() -> bytes:
    """Good records and one of every kind of trouble, behind a byte-order mark."""
    rng = np.random.default_rng(0)
    found = []
    for i in range(12):
        record = {
            "sensor_id": f"s{i % 3}",
            "data_time": f"2024-03-01T00:00:{i:02d}" + ("Z" if i % 2 else ""),
            "signal_value": ",".join(f"{v:.5f}" for v in rng.normal(size=20)),
        }
        if i % 4 == 0:
            record |= {"covariates": {"load": i / 7}, "machine_id": "M", "unit": "g", "recording": "r"}
        found.append(json.dumps(record))
    found += [found[0], "no json", found[1].replace("0.", "x.", 1), found[2].replace(",", ",,", 1), "[]"]
    found += [json.dumps({"sensor_id": "s0", "data_time": "2024-03-02T00:00:00Z", "signal_value": "1,2"})]
    found += [
        json.dumps({"sensor_id": "s0", "data_time": "2024-03-03T00:00:00Z", "signal_value": ",".join(["5"] * 20)})
    ]
    return b"\xef\xbb\xbf" + "\n".join(found).encode()


@pytest.fixture(autouse=True)
def _files_of_any_size(monkeypatch):
    monkeypatch.setattr("vibro.ingest.intake.SMALL", 0)


def test_small_files_are_parsed_as_quickly_as_recalled(take, monkeypatch, tmp_path):
    monkeypatch.setattr("vibro.ingest.intake.SMALL", 1 << 20)
    (tmp_path / "a.jsonl").write_bytes(lines())
    take(tmp_path / "a.jsonl")
    assert not (tmp_path / "cache").exists()


@pytest.fixture
def take(tmp_path):
    def once(path, cls=JsonLines, cache=None):
        work = tmp_path / f"work{len(list(tmp_path.glob('work*')))}"
        cache = cache or ViewCache(tmp_path / "cache")
        got = ingest([path], [cls.make({}, Context())], IngestOptions(fs=100.0), work, lambda event: None, cache=cache)
        got.accounting.check()
        write_quarantine(work, got.accounting.rows(), bom=False)
        return got, (work / "quarantine.csv").read_bytes()

    return once


@pytest.fixture
def deaf(monkeypatch):
    """Readers that fail when they are asked to read."""

    def refuse():
        monkeypatch.setattr(JsonLines, "read", lambda self, path: pytest.fail("the file was parsed again"))

    return refuse


def assert_same(a, b):
    (first, table), (again, same) = a, b
    assert same == table
    for field in fields(first.batch):
        x, y = getattr(first.batch, field.name), getattr(again.batch, field.name)
        if isinstance(x, np.ndarray):
            assert x.dtype == y.dtype and x.shape == y.shape and x.tobytes() == y.tobytes(), field.name
        else:
            assert x == y, field.name
    for name in ("fs_source", "mains_hz", "sources", "warnings", "ignored", "root"):
        assert getattr(first, name) == getattr(again, name), name
    assert first.accounting.summary() == again.accounting.summary()


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz"])
def test_the_second_time_nothing_is_parsed_and_nothing_differs(tmp_path, take, deaf, name):
    path = tmp_path / name
    path.write_bytes(gzip.compress(lines()) if name.endswith("gz") else lines())
    first = take(path)
    assert first[0].accounting.total.quarantined >= 6 and any("byte-order" in w for w in first[0].warnings)
    deaf()
    assert_same(first, take(path))


@pytest.mark.parametrize("harm", ["flip", "cut", "items"])
def test_a_damaged_entry_is_read_from_the_file_again(tmp_path, take, harm):
    path = tmp_path / "a.jsonl"
    path.write_bytes(lines())
    first = take(path)
    entry = next((tmp_path / "cache").iterdir())
    damaged = entry / ("state.safetensors" if harm == "items" else "view.npy")
    content = bytearray(damaged.read_bytes())
    content[-3] ^= 1
    damaged.write_bytes(bytes(content[: -8 if harm == "cut" else None]))
    assert_same(first, take(path))


def test_other_content_is_another_entry(tmp_path, take):
    path = tmp_path / "a.jsonl"
    path.write_bytes(lines())
    first = take(path)
    path.write_bytes(lines().replace(b'"s1"', b'"s9"'))
    again = take(path)
    assert first[0].batch.sensors == ("s0", "s1", "s2") and again[0].batch.sensors == ("s0", "s2", "s9")
    assert len(list((tmp_path / "cache").iterdir())) == 2


def test_a_file_that_changes_while_it_is_read_is_not_kept(tmp_path, take, monkeypatch):
    path = tmp_path / "a.jsonl"
    path.write_bytes(lines())
    plain = JsonLines.read

    def growing(self, file):
        yield from plain(self, file)
        file.write_bytes(lines() + b"\n")

    monkeypatch.setattr(JsonLines, "read", growing)
    got, _ = take(path)
    assert any("changed" in warning for warning in got.warnings)
    assert not (tmp_path / "cache").exists()


def test_a_file_that_changes_between_its_hash_and_its_reading_is_not_kept_under_that_hash(tmp_path, take, monkeypatch):
    path = tmp_path / "a.jsonl"
    path.write_bytes(lines())
    plain = JsonLines.read

    def replaced(self, file):
        file.write_bytes(lines() + b"\n")
        yield from plain(self, file)

    monkeypatch.setattr(JsonLines, "read", replaced)
    got, _ = take(path)
    assert any("changed" in warning for warning in got.warnings)
    assert not (tmp_path / "cache").exists()


def test_only_what_is_dear_to_read_and_fits_is_kept(tmp_path, take, monkeypatch):
    np.savez(tmp_path / "a.npz", signals=np.random.default_rng(0).normal(size=(4, 16)).astype(np.float32), fs=100.0)
    take(tmp_path / "a.npz", Npz)
    monkeypatch.setattr("vibro.ingest.remember.MOST", 500)
    (tmp_path / "a.jsonl").write_bytes(lines())
    first = take(tmp_path / "a.jsonl")
    assert not (tmp_path / "cache").exists()
    assert_same(first, take(tmp_path / "a.jsonl"))
