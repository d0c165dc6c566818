"""The cache of views: same content, same array; anything else is computed again."""

from __future__ import annotations

import os
from dataclasses import replace

import numpy as np
import pytest

from vibro.api import FeatureExtractor, ViewKey
from vibro.context import Context
from vibro.core.views import ViewStore
from vibro.data import make_batch
from vibro.store.viewcache import ViewCache

KEY = ViewKey("centred")


class Centred(FeatureExtractor):
    name = "centred"
    work = 0

    def fit(self, inputs):
        self.mean = inputs["raw"].mean(axis=(0, 1), dtype=np.float64)

    def transform(self, inputs):
        type(self).work += 1
        return (inputs["raw"][:, 0] - self.mean).astype(np.float32)

    def state(self):
        return {"mean": self.mean}

    def load_state(self, state):
        self.mean = state["mean"]


@pytest.fixture
def batch():
    return make_batch(np.random.default_rng(0).standard_normal((40, 16)), fs=10.0)


@pytest.fixture
def view(tmp_path):
    def compute(batch, rows=20, states=None, cache=None):
        Centred.work = 0
        extractor = Centred.make({}, Context())
        fit_rows = None if states else np.arange(rows)
        cache = cache or ViewCache(tmp_path / "cache")
        store = ViewStore(batch, {KEY: extractor}, {KEY: 1}, fit_rows=fit_rows, states=states, cache=cache)
        array = np.array(store.get(KEY))
        store.release(KEY)
        return array, store.states[KEY], Centred.work

    return compute


def test_the_second_run_computes_nothing(view, batch, tmp_path):
    first, state, work = view(batch)
    again, same, none = view(batch)
    assert work == 1 and none == 0
    assert first.tobytes() == again.tobytes() and state["mean"].tobytes() == same["mean"].tobytes()
    assert len(list((tmp_path / "cache").iterdir())) == 1  # releasing a view leaves its entry


@pytest.mark.parametrize("change", ["sample", "fs", "rows", "order", "state"])
def test_whatever_decides_the_array_is_in_its_name(view, batch, change):
    view(batch)
    how = {}
    if change == "sample":
        x = batch.x.copy()
        x[3, 0, 5] += 1
        batch = make_batch(x, fs=10.0)
    elif change == "fs":
        batch = replace(batch, fs=20.0)
    elif change == "rows":
        how["rows"] = 21
    elif change == "order":
        batch = batch.take(np.arange(40)[::-1])
    else:
        how["states"] = {KEY: {"mean": np.zeros(16)}}
    assert view(batch, **how)[2] == 1


@pytest.mark.parametrize("name", ["view.npy", "state.safetensors", "seal"])
@pytest.mark.parametrize("harm", ["flip", "cut", "gone"])
def test_a_damaged_entry_is_computed_again(view, batch, tmp_path, name, harm):
    first, _, _ = view(batch)
    path = next((tmp_path / "cache").iterdir()) / name
    content = bytearray(path.read_bytes())
    if harm == "flip":
        content[-3] ^= 1
    if harm == "gone":
        path.unlink()
    else:
        path.write_bytes(bytes(content[: -1 if harm == "cut" else None]))
    again, _, work = view(batch)
    assert work == 1 and again.tobytes() == first.tobytes()


class Doubled(FeatureExtractor):
    name = "doubled"

    @classmethod
    def inputs(cls, params):
        return ("centred",)

    def transform(self, inputs):
        return 2 * inputs["centred"]


def test_a_cached_view_brings_the_states_of_those_below_it(batch, tmp_path):
    top = ViewKey("doubled")
    cache = ViewCache(tmp_path / "cache")

    def run():
        extractors = {KEY: Centred.make({}, Context()), top: Doubled.make({}, Context())}
        store = ViewStore(batch, extractors, {KEY: 1, top: 1}, fit_rows=np.arange(20), cache=cache)
        return np.array(store.get(top)), store.states[KEY]["mean"]

    first, mean = run()
    again, same = run()
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(mean, same)


def test_the_oldest_entries_make_room(view, batch, tmp_path):
    cache = ViewCache(tmp_path / "small", limit=3 * 40 * 16 * 4)
    for rows in (10, 20, 30, 40):
        view(batch, rows=rows, cache=cache)
    kept = list((tmp_path / "small").iterdir())
    assert 0 < len(kept) < 4
    assert view(batch, rows=40, cache=cache)[2] == 0


def test_unfinished_entries_are_not_left(view, batch, tmp_path, monkeypatch):
    def interrupted(folder):
        raise KeyboardInterrupt

    torn = tmp_path / "cache" / ".tmp-1-dead"
    torn.mkdir(parents=True)
    os.utime(torn, (0, 0))
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("vibro.store.viewcache.sync_tree", interrupted)
        view(batch)
    assert [e.name for e in (tmp_path / "cache").iterdir()] == [".tmp-1-dead"]
    view(batch)
    assert not torn.exists()


def test_nothing_is_kept_on_a_disk_that_is_nearly_full(view, batch, tmp_path, monkeypatch):
    monkeypatch.setattr("vibro.store.viewcache.SPARE", 1 << 60)
    view(batch)
    assert not (tmp_path / "cache").exists()


def test_a_folder_that_cannot_be_written_costs_the_cache_only(view, batch, tmp_path):
    (tmp_path / "file").write_text("")
    assert view(batch, cache=ViewCache(tmp_path / "file" / "below"))[2] == 1


@pytest.mark.parametrize("harm", ["a page is zero", "two pages are swapped", "a bit is flipped"])
def test_no_damage_passes_the_checksum(tmp_path, harm):
    cache = ViewCache(tmp_path)
    array = np.random.default_rng(0).standard_normal((300, 4096)).astype(np.float32)
    cache.put("k", array, {})
    assert cache.get("k")[0].tobytes() == array.tobytes()
    path = tmp_path / "k" / "view.npy"
    content = bytearray(path.read_bytes())
    if harm == "a page is zero":
        content[8192:12288] = bytes(4096)
    elif harm == "two pages are swapped":
        content[8192:12288], content[1 << 21 : (1 << 21) + 4096] = (
            content[1 << 21 : (1 << 21) + 4096],
            content[8192:12288],
        )
    else:
        content[3_000_001] ^= 16
    path.write_bytes(content)
    assert cache.get("k") is None and not path.exists()


def test_a_large_folder_is_looked_through_once_as_long_as_there_is_room(tmp_path, monkeypatch):
    looked = []
    shrink = ViewCache._shrink
    monkeypatch.setattr(ViewCache, "_shrink", lambda cache: (looked.append(1), shrink(cache)))
    roomy, small = ViewCache(tmp_path / "roomy"), ViewCache(tmp_path / "small", limit=5000)
    for i in range(20):
        roomy.put(f"{i:02}", np.zeros((10, 10), np.float32), {})
    assert len(looked) == 1
    for i in range(20):
        small.put(f"{i:02}", np.zeros((10, 10), np.float32), {})
        assert sum(path.stat().st_size for path in (tmp_path / "small").rglob("*.*") if path.is_file()) <= 5000
    kept = sorted(path.name for path in (tmp_path / "small").iterdir())
    assert kept and kept[-1] == "19" and len(kept) < 10
