"""npz: columns, streams, and no pickle."""

from __future__ import annotations

import numpy as np

from vibro.api import Context, Rejected
from vibro_plugins.readers.npz import Npz

from .common import STAMP, read


def test_npz_columns(tmp_path):
    x = np.arange(12, dtype=np.float32).reshape(3, 4)
    np.savez(
        tmp_path / "a.npz",
        signals=x,
        fs=50.0,
        sensor_id=np.array(["a", "b", "c"]),
        data_time=np.array([STAMP, "", "2024-03-01T01:00:00"]),
        machine_id=np.array([1, 2, 3]),
        source_file=np.array(["f1", "f1", "f2"]),
        covariates=np.array([[1, np.nan]] * 3, np.float32),
        covariate_names=np.array(["load", "speed"]),
        unit="g",
        label=np.array([0, 1, 0]),
    )
    reader = Npz.make({}, Context())
    items = list(reader.read(tmp_path / "a.npz"))
    assert np.array_equal(np.concatenate([item.signal for item in items]), x)
    assert [item.sensor for item in items] == ["a", "b", "c"]
    assert [item.machine for item in items] == ["1", "2", "3"]
    assert [item.recording for item in items] == ["f1", "f1", "f2"]
    assert np.isnat(items[1].time) and not np.isnat(items[0].time)
    assert {item.fs for item in items} == {50.0} and {item.unit for item in items} == {"g"}
    assert all(item.covariates == {"load": 1.0} for item in items)
    assert [item.zoned for item in items].count(False) == 1 and reader.notes() == []


def test_npz_is_streamed(tmp_path, monkeypatch):
    from vibro_plugins.readers import npz

    monkeypatch.setattr(npz, "CHUNK", 100)
    x = np.random.default_rng(0).standard_normal((7, 2, 9)).astype(np.float32)
    np.savez_compressed(tmp_path / "a.npz", signals=x)
    np.savez(tmp_path / "b.npz", signals=np.asfortranarray(x))
    for name in ("a.npz", "b.npz"):
        items = read(Npz, tmp_path / name)
        assert np.array_equal(np.stack([item.signal for item in items]), x)
        assert [item.row for item in items] == list(range(7))


def test_a_pickle_is_never_loaded(tmp_path):
    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "touched"), "w"))

    np.savez(tmp_path / "a.npz", signals=np.zeros((2, 3)), sensor_id=np.array([Trap(), Trap()], dtype=object))
    (item,) = read(Npz, tmp_path / "a.npz")
    assert isinstance(item, Rejected) and item.code == "Q001"
    assert not (tmp_path / "touched").exists()
